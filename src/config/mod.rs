//! From the two files to what runs: written (`model`), checked (`checked`), compiled (`compile`).
//!
//! Reading goes through three steps, and none of them stops at the first mistake: YAML becomes a tree with places
//! (`yaml`), the tree becomes what is written (`model`), and what is written becomes what is checked (`check`). All
//! findings of a file end up in one [`Report`].

use std::path::Path;
use std::sync::Arc;

use self::checked::{Bootstrap, Routes};
use self::yaml::{At, Reader};

pub mod checked;
pub mod defaults;
pub mod report;
pub mod schema;
pub mod watch;

mod check;
mod model;
mod reference;
mod yaml;

pub use reference::reference;
pub use report::Report;

use report::Source;

/// The bootstrap file that is used when none is named.
pub const DEFAULT_BOOTSTRAP: &str = include_str!("../../config/gateway.yaml");
/// Its name in messages.
pub const DEFAULT_BOOTSTRAP_FILE: &str = "config/gateway.yaml";

/// The routes that serve when no file is named and none is there.
pub const DEFAULT_ROUTES: &str = include_str!("../../routes.yaml");
/// Their name in messages.
pub const DEFAULT_ROUTES_FILE: &str = "<built-in>/routes.yaml";

/// Reads and checks a bootstrap file. Paths in it are resolved against the folder it lies in.
///
/// # Errors
/// The report with every mistake; one about the file itself when it cannot be read.
pub fn load_bootstrap(path: &Path) -> Result<Bootstrap, Report> {
    let file = path.display().to_string();
    let text = std::fs::read(path).and_then(decode).map_err(|error| Report::unreadable(&file, &error))?;
    read_bootstrap(&text, &file)
}

/// The text of a configuration file.
///
/// # Errors
/// When it is not UTF-8, which is never replaced or skipped: a name with a letter lost would be another name.
pub fn decode(bytes: Vec<u8>) -> std::io::Result<String> {
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
        let line = valid.iter().filter(|byte| **byte == b'\n').count() + 1;
        std::io::Error::new(std::io::ErrorKind::InvalidData, format!("line {line} is not UTF-8"))
    })
}

/// The bootstrap that this program carries, with paths resolved as if it lay in `config/` of the current directory.
#[must_use]
pub fn default_bootstrap() -> Bootstrap {
    match read_bootstrap(DEFAULT_BOOTSTRAP, DEFAULT_BOOTSTRAP_FILE) {
        Ok(bootstrap) => Bootstrap { built_in_routes: true, ..bootstrap },
        #[expect(clippy::panic, reason = "a test reads the same text")]
        Err(report) => panic!("the embedded bootstrap has mistakes:\n{report}"),
    }
}

/// Reads and checks the text of a bootstrap file; `file` is its path as people know it.
///
/// # Errors
/// The report with every mistake.
pub fn read_bootstrap(text: &str, file: &str) -> Result<Bootstrap, Report> {
    let source = Source::new(file, text);
    let mut report = Report::new(source.clone());
    let Some(tree) = yaml::parse(text, &source, &mut report) else { return Err(report) };
    let mut reader = Reader::new(&tree, source, report);
    let written = At::<model::gateway::Gateway>::read(tree.root(), &mut reader);
    let checked = written
        .and_then(|written| check::gateway::check(&Arc::from(file), folder_of(file), &written.value, &mut reader));
    match checked {
        Some(bootstrap) if !reader.is_faulty() => Ok(bootstrap),
        _ => Err(reader.into_report().sorted()),
    }
}

/// What became of a routes file.
#[derive(Clone, Debug)]
pub struct RoutesReading {
    /// `None` when the file is refused as a whole. Otherwise every route is there, in file order; one with mistakes
    /// keeps its name and match, so that its requests are answered 503 instead of falling through to another route.
    pub routes: Option<Routes>,
    pub report: Report,
}

/// Reads and checks the text of a routes file; `file` is its path as people know it, and paths in it are resolved
/// against its folder.
///
/// Mistakes within a route, and within the upstream that it uses, close that route. Everything else refuses the file:
/// broken YAML, unknown keys at the top, mistakes in `defaults`, and a `match` that cannot be read, because nobody can
/// tell which requests it would have kept from less specific routes.
#[must_use]
pub fn read_routes(text: &str, file: &str) -> RoutesReading {
    let source = Source::new(file, text);
    let mut report = Report::new(source.clone());
    let Some(tree) = yaml::parse(text, &source, &mut report) else { return RoutesReading { routes: None, report } };
    let mut reader = Reader::new(&tree, source, report);
    let written = At::<model::routes::RoutesFile>::read(tree.root(), &mut reader);
    let digest = digest(text.as_bytes());
    let routes = written.and_then(|written| {
        check::routes::check(&Arc::from(file), folder_of(file), &digest, &written.value, &mut reader)
    });
    let routes = routes.filter(|_| !reader.is_faulty());
    RoutesReading { routes, report: reader.into_report().sorted() }
}

/// Reads any bytes as a routes file; for fuzzing. Every place in the report lies inside the file.
pub fn fuzz_routes(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let reading = read_routes(&text, "routes.yaml");
    for diagnostic in reading.report.diagnostics() {
        for place in &diagnostic.places {
            assert!(place.span.start <= place.span.end && place.span.end as usize <= text.len(), "{diagnostic:?}");
            assert!(text.is_char_boundary(place.span.start as usize), "{diagnostic:?}");
        }
    }
    let closed =
        reading.routes.iter().flat_map(|routes| &routes.routes).filter_map(|route| route.action.as_ref().err());
    for faults in closed {
        assert!(!faults.is_empty() && !reading.report.is_ok(), "a route is closed without a word: {}", reading.report);
    }
    assert!(reading.routes.is_some() || !reading.report.is_ok(), "a file is refused without a word");
    let _ = (reading.report.render_text(true), reading.report.to_json());
}

fn folder_of(file: &str) -> &Path {
    // What is built in stands for files of the current directory.
    if file == DEFAULT_ROUTES_FILE {
        return Path::new("");
    }
    Path::new(file).parent().unwrap_or(Path::new(""))
}

/// First 12 hex digits of the SHA-256.
fn digest(bytes: &[u8]) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    digest.as_ref().iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
