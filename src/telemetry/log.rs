//! The program's own log: events of `tracing`, and of dependencies that use `log`, to stderr.
//!
//! Stdout stays free for the access log.

use std::io::{self, IsTerminal as _};

use tracing_subscriber::filter::{EnvFilter, LevelFilter, ParseError};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};
use tracing_subscriber::{Layer, fmt};

use crate::config::checked;

/// What clients could fill the log with, by failing handshakes or going away, or by what they send. Every request is in the
/// access log with its reason, and handshakes are counted, so nothing is lost; and Pingora's lines about failed requests
/// show query strings. A filter that names such a target, or one above it, decides itself.
const QUIET: &[(&str, LevelFilter)] = &[
    ("pingora_proxy", LevelFilter::OFF),
    ("pingora_core::services", LevelFilter::OFF),
    ("pingora_core::protocols", LevelFilter::ERROR),
    ("pingora_core::apps", LevelFilter::ERROR),
    ("rustls", LevelFilter::ERROR),
    ("h2", LevelFilter::ERROR),
];

/// Why logging cannot start.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("`{0}` is not a log level; write `error`, `warn`, `info`, `debug`, `trace` or `off`, or `target=level`")]
    Level(String),
    #[error("`{text}` is not a log filter; write a level, or a list such as `info,sluice=debug`: {source}")]
    Filter { text: String, source: ParseError },
    #[error("the log has been set up before: {0}")]
    Repeated(#[from] TryInitError),
}

/// Sets up logging for the whole process; the second call is an error.
pub fn init(config: &checked::Log) -> Result<(), LogError> {
    let filter = filter(&config.level)?;
    let layer = fmt::layer().with_writer(io::stderr).with_ansi(colours());
    let layer = if config.json { layer.json().flatten_event(true).boxed() } else { layer.boxed() };
    tracing_subscriber::registry().with(filter).with(layer).try_init()?;
    Ok(())
}

/// On a terminal, unless its user asks for none (no-color.org).
fn colours() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// The filter that a text stands for, with [`QUIET`] where it says nothing about a target.
fn filter(text: &str) -> Result<EnvFilter, LogError> {
    let directives: Vec<&str> = text.split(',').map(str::trim).collect();
    // A filter by span (`target[span{field=value}]=level`) may hold commas and bare words: that is for the parser.
    let is_simple = !text.contains('[');
    for directive in &directives {
        // The parser takes a bare word that is no level for a target, so that `inof` would silence all others.
        let is_level = !directive.is_empty() && directive.parse::<LevelFilter>().is_ok();
        if is_simple && !directive.contains('=') && !is_level {
            return Err(LogError::Level((*directive).to_owned()));
        }
    }
    let targets: Vec<&str> = directives.iter().filter_map(|directive| directive.split(['=', '[']).next()).collect();
    let is_named = |quiet: &str| targets.iter().any(|target| !target.is_empty() && quiet.starts_with(target));
    let quiet = QUIET.iter().filter(|(target, _)| !is_named(target)).map(|(target, level)| format!("{target}={level}"));
    let all: Vec<String> = quiet.chain([text.to_owned()]).collect();
    EnvFilter::builder().parse(all.join(",")).map_err(|source| LogError::Filter { text: text.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Captured(Arc<Mutex<Vec<u8>>>);

    impl Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Which of these events pass the filter.
    fn passing(text: &str) -> Vec<String> {
        let captured = Captured::default();
        let writer = captured.clone();
        let layer = fmt::layer().with_ansi(false).without_time().with_writer(move || writer.clone());
        let subscriber = tracing_subscriber::registry().with(filter(text).unwrap()).with(layer);
        tracing::subscriber::with_default(subscriber, || {
            tracing::error!(target: "pingora_proxy", "a client went away");
            tracing::error!(target: "pingora_core::services::listening", "handshake failed");
            tracing::error!(target: "pingora_core::server", "cannot bind");
            tracing::warn!(target: "rustls::msgs::handshake", "illegal SNI");
            tracing::info!(target: "sluice::app", "started");
            tracing::debug!(target: "sluice::route", "matched");
        });
        let text = String::from_utf8(captured.0.lock().unwrap().clone()).unwrap();
        text.lines().map(|line| line.rsplit(": ").next().unwrap().to_owned()).collect()
    }

    #[test]
    fn clients_cannot_flood_the_log() {
        assert_eq!(passing("info"), ["cannot bind", "started"]);
        assert_eq!(passing("info,sluice=debug"), ["cannot bind", "started", "matched"]);
        assert_eq!(passing("off"), [""; 0]);
    }

    #[test]
    fn a_filter_that_names_a_quiet_target_decides() {
        assert_eq!(passing("info,pingora_proxy=error"), ["a client went away", "cannot bind", "started"]);
        assert_eq!(passing("pingora=error"), ["a client went away", "handshake failed", "cannot bind"]);
        assert_eq!(passing("warn,rustls=warn"), ["cannot bind", "illegal SNI"]);
    }

    #[test]
    fn a_misspelt_level_is_an_error() {
        for text in ["inof", "info,debgu", "", "info,"] {
            assert!(matches!(filter(text), Err(LogError::Level(_))), "{text}");
        }
        for text in ["sluice=loud", "a=b=c", "[span{"] {
            assert!(filter(text).is_err(), "{text}");
        }
        for text in ["info", "WARN", "sluice[request{route=a}]=trace", "off"] {
            assert!(filter(text).is_ok(), "{text}");
        }
    }

    /// In a process of its own, because logging is set up for a whole process.
    #[test]
    fn lines_go_to_stderr_and_a_second_setup_is_an_error() {
        const CHILD: &str = "SLUICE_TEST_LOG_CHILD";
        if std::env::var_os(CHILD).is_some() {
            let config = checked::Log { level: "info".to_owned(), json: true };
            init(&config).unwrap();
            assert!(matches!(init(&config), Err(LogError::Repeated(_))));
            tracing::info!(route = "orders", "compiled");
            return;
        }
        let this = "telemetry::log::tests::lines_go_to_stderr_and_a_second_setup_is_an_error";
        let child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", this, "--nocapture"])
            .env(CHILD, "1")
            .output()
            .unwrap();
        assert!(child.status.success(), "{child:?}");
        let line: serde_json::Value = serde_json::from_slice(&child.stderr).unwrap();
        assert_eq!((line["level"].as_str(), line["message"].as_str()), (Some("INFO"), Some("compiled")));
        assert_eq!(line["route"], "orders");
    }
}
