//! `sluice check`: every mistake of both files at once.

use std::io::IsTerminal;

use super::{Common, FOUND_ERRORS, Failure, Format, print_json};

pub(super) fn carry_out(common: &Common) -> Result<(), Failure> {
    let bootstrap = common.bootstrap(FOUND_ERRORS)?;
    let reading = common.routes()?;
    if !reading.report.is_ok() {
        return Err(Failure::Config { report: Box::new(reading.report), code: FOUND_ERRORS });
    }
    match common.format {
        Format::Human => {
            eprint!("{}", reading.report.render_text(std::io::stderr().is_terminal()));
            let routes = reading.routes.as_ref().map_or(0, |routes| routes.routes.len());
            println!("{} and {}: {routes} routes, no errors", bootstrap.file, reading.report.file());
        }
        Format::Json => print_json(&reading.report.to_json()),
    }
    Ok(())
}
