//! Golden files of what is said about configuration mistakes, schemas and documentation. `SLUICE_UPDATE=1` writes
//! them anew.

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use sluice::config::{self, Report, checked, report, schema};
use sluice::telemetry::log::{self, LogError};
use sluice::telemetry::metrics::{MAX_UPSTREAMS, Metrics};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn fixtures(folder: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(root().join("tests/fixtures").join(folder))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    files.sort();
    files
}

/// Reads a fixture as people would: by its path from the root of the repository.
fn read(path: &Path) -> (Report, bool) {
    let text = fs::read_to_string(path).unwrap();
    let name = path.file_name().unwrap().to_str().unwrap();
    if name.starts_with("gateway") {
        return match config::read_bootstrap(&text, name) {
            Ok(_) => (Report::new(report::Source::new(name, text)), true),
            Err(report) => (report, false),
        };
    }
    let reading = config::read_routes(&text, name);
    (reading.report, reading.routes.is_some())
}

fn same(path: &Path, now: &str) {
    if std::env::var_os("SLUICE_UPDATE").is_some_and(|value| value == "1") {
        fs::write(path, now).unwrap();
        return;
    }
    let golden = fs::read_to_string(path).unwrap_or_default();
    assert_eq!(golden, now, "{} differs; SLUICE_UPDATE=1 writes it anew", path.display());
}

#[test]
fn every_mistake_is_told_as_its_golden_file_says() {
    let files = fixtures("invalid");
    assert!(files.len() >= 40);
    let mut told = std::collections::BTreeSet::new();
    for path in &files {
        let (report, usable) = read(path);
        assert!(report.diagnostics().next().is_some(), "{} has no mistake", path.display());
        told.extend(report.diagnostics().map(|diagnostic| diagnostic.code));
        let is_routes = !path.file_name().unwrap().to_str().unwrap().starts_with("gateway");
        let effect = match (is_routes, usable, report.is_ok()) {
            (_, true, true) => "accepted",
            (true, true, false) => "faulty routes are closed, the others go live",
            _ => "refused",
        };
        same(&path.with_extension("txt"), &format!("{}=> {effect}\n", report.render_text(false)));
    }
    let untold: Vec<_> = report::Code::ALL.iter().filter(|code| !told.contains(code)).collect();
    assert_eq!(untold, [&report::Code::Unreadable], "every code needs a fixture");
}

#[test]
fn sound_files_are_accepted_without_a_word() {
    for path in fixtures("valid") {
        let (report, usable) = read(&path);
        assert!(usable && report.diagnostics().next().is_none(), "{report}");
    }
}

#[test]
fn schemas_are_the_ones_that_are_shipped() {
    for (name, schema) in [("gateway", schema::gateway()), ("routes", schema::routes())] {
        let text = serde_json::to_string_pretty(&schema).unwrap() + "\n";
        same(&root().join(format!("config/schema/{name}.schema.json")), &text);
    }
}

#[test]
fn the_documentation_lists_every_code_and_key() {
    same(&root().join("docs/config-errors.md"), &report::documentation());
    let path = root().join("docs/configuration.md");
    let page = fs::read_to_string(&path).unwrap();
    let marker = "<!-- keys: generated from the types; run the tests with SLUICE_UPDATE=1 to write them anew -->\n\n";
    let (written, _) = page.split_once(marker).expect("the page has the marker of its generated part");
    same(&path, &format!("{written}{marker}{}", config::reference()));
}

#[test]
fn the_embedded_bootstrap_finds_its_files_in_the_current_directory() {
    let bootstrap = config::default_bootstrap();
    assert_eq!(bootstrap.routes, Path::new("routes.yaml"));
    let tls = bootstrap.listeners[0].tls.as_ref().unwrap();
    assert_eq!(tls.certificates[0].key, Path::new("certs/dev-key.pem"));
    assert_eq!(&*bootstrap.file, "config/gateway.yaml");
}

#[test]
fn a_bootstrap_file_that_is_not_there_is_a_report_of_its_own() {
    let report = config::load_bootstrap(Path::new("nowhere/gateway.yaml")).unwrap_err();
    assert_eq!(report.errors().next().unwrap().code, report::Code::Unreadable);
    assert!(report.render_text(false).contains("nowhere/gateway.yaml"));
}

fn codes(report: &Report) -> Vec<report::Code> {
    report.diagnostics().map(|diagnostic| diagnostic.code).collect()
}

/// Whether `sluice check` accepts a log filter, and whether `sluice run` can log with it.
fn checked_and_started(level: &str) -> (bool, bool) {
    let text = format!(
        "version: 1\nlisteners: [{{name: http, address: \"127.0.0.1:80\"}}]\nlog: {{level: {}}}\n",
        serde_json::Value::from(level)
    );
    let checked = config::read_bootstrap(&text, "gateway.yaml");
    assert!(checked.as_ref().err().is_none_or(|report| codes(report) == [report::Code::LogLevel]), "{checked:?}");
    // The log of this process is set up once and quiet; only the filters matter.
    let init = |level: &str| log::init(&checked::Log { level: level.to_owned(), json: false });
    assert!(matches!(init("off"), Ok(()) | Err(LogError::Repeated(_))));
    (checked.is_ok(), matches!(init(level), Err(LogError::Repeated(_))))
}

#[test]
fn the_check_and_the_log_agree_about_log_filters() {
    for (level, sound) in [
        ("info", true),
        ("WARN", true),
        ("off", true),
        ("error,sluice=debug", true),
        ("info,sluice::route=TRACE,pingora_core=off", true),
        ("sluice[request{route=a}]=trace", true),
        ("[request]=debug", true),
        ("inof", false),
        ("info,debgu", false),
        ("", false),
        (",", false),
        ("info,", false),
        ("info,,sluice=debug", false),
        ("info, sluice=debug", false),
        ("=info", false),
        ("=", false),
        ("sluice", false),
        ("sluice=loud", false),
        ("a=b=c", false),
        ("*=info", false),
        ("info;debug", false),
        ("[span{", false),
        ("[a{b=1,c}]=debug,x", false),
    ] {
        assert_eq!(checked_and_started(level), (sound, sound), "{level:?}");
    }
    // The log would take these for names of modules, or for all levels.
    for level in [" info", "info ", "a b=info", "sluice=", "é=info"] {
        assert_eq!(checked_and_started(level), (false, true), "{level:?}");
    }
}

proptest! {
    #[test]
    fn no_log_filter_passes_the_check_and_stops_the_start(
        pieces in prop::collection::vec(
            prop::sample::select(vec!["info", "OFF", "3", "sluice", "::", ":", "-", "=", ",", "[", "]", "{", "}", "a", " ", "\"", "/"]),
            0..8,
        ),
    ) {
        let (checked, started) = checked_and_started(&pieces.concat());
        prop_assert!(!checked || started);
    }
}

#[test]
fn names_that_metrics_reserve_are_refused() {
    let reserved = |route: &str, upstream: &str| {
        let text = format!(
            "version: 1\nupstreams: {{{upstream}: {{endpoints: [\"a:1\"]}}}}\nroutes:\n  \
             - {{name: {route}, match: {{path: /}}, auth: none, upstream: {upstream}}}\n"
        );
        let reading = config::read_routes(&text, "routes.yaml");
        assert!(reading.routes.unwrap().routes[0].action.is_err() != reading.report.is_ok());
        codes(&reading.report) == [report::Code::ReservedName]
    };
    let metrics = Metrics::new();
    for number in 0..=MAX_UPSTREAMS {
        drop(metrics.upstream(&format!("up-{number}")));
    }
    let text = metrics.encode();
    for (label, name) in [("route", "none"), ("upstream", "other")] {
        assert!(text.contains(&format!("{label}=\"{name}\"")), "metrics no longer use `{name}`");
    }
    assert!(reserved("none", "a") && reserved("other", "a") && reserved("a", "other"));
    assert!(!reserved("a", "none") && !reserved("others", "a") && !reserved("None", "a"));
}
