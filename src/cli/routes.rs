//! `sluice routes`: the routes as they were understood.

use super::{Common, FOUND_ERRORS, Failure, Format, print_json};
use crate::admin::status;
use crate::snapshot::Snapshot;

pub(super) fn carry_out(common: &Common) -> Result<(), Failure> {
    let snapshot = super::explain::offline(common)?;
    match common.format {
        Format::Json => print_json(&status::routes(&snapshot)),
        Format::Human => print_table(&snapshot),
    }
    if snapshot.faulty() > 0 {
        return Err(Failure::Config { report: Box::new(snapshot.report), code: FOUND_ERRORS });
    }
    Ok(())
}

fn print_table(snapshot: &Snapshot) {
    let rows: Vec<[String; 4]> = snapshot
        .routes
        .iter()
        .map(|route| {
            let methods: Vec<&str> = route.matches.methods.iter().map(http::Method::as_str).collect();
            let hosts: Vec<String> = route.matches.hosts.iter().map(ToString::to_string).collect();
            let methods = if methods.is_empty() { "*".to_owned() } else { methods.join(",") };
            let state = if route.action.is_ok() { "" } else { "  (faulty: closed)" };
            [route.name.to_string(), methods, hosts.join(","), format!("{}{state}", route.matches.path)]
        })
        .collect();
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths = [width(0), width(1), width(2)];
    for [name, methods, hosts, path] in &rows {
        println!("{name:0$}  {methods:1$}  {hosts:2$}  {path}", widths[0], widths[1], widths[2]);
    }
}
