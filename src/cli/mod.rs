//! The command line: one file a command.

mod admin;
mod anomaly;
mod cache;
mod check;
mod claims;
mod explain;
mod key;
mod offline;
mod revoke;
mod routes;
mod run;
mod sandbox;
mod schema;
mod test;
mod token;

use std::io::{ErrorKind, IsTerminal, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::error::ErrorKind as UsageError;
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};

use crate::config::checked::Bootstrap;
use crate::config::report::Report;
use crate::config::{self, RoutesReading};

/// Found errors.
const FOUND_ERRORS: u8 = 1;
/// Ended by a failure of its own (`EX_SOFTWARE`).
const FAILED: u8 = 70;
/// Cannot start.
const CANNOT_START: u8 = 64;

/// Read when `--config` is not given and this file is there; otherwise the same settings are built in.
const USUAL_BOOTSTRAP: &str = "config/gateway.yaml";

/// A programmable edge API gateway.
#[derive(Parser)]
#[command(name = "sluice", version, about, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    run: run::Run,
}

#[derive(Args, Clone)]
struct Common {
    /// Bootstrap file [default: config/gateway.yaml; built in if it is not there]
    #[arg(long, global = true, env = "SLUICE_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Routes file, instead of the one that the bootstrap file names
    #[arg(long, global = true, env = "SLUICE_ROUTES", value_name = "FILE")]
    routes: Option<PathBuf>,
    /// How results are printed
    #[arg(long, global = true, env = "SLUICE_FORMAT", value_enum, default_value_t = Format::Human)]
    format: Format,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Human,
    Json,
}

#[derive(Subcommand)]
enum Command {
    /// Run the gateway (what happens without a command)
    Run(run::Run),
    /// Check both configuration files and show every mistake
    Check,
    /// Show what the gateway would do with a request, and why
    Explain(explain::Explain),
    /// Run the tests that stand beside the routes
    Test(test::Test),
    /// List the routes
    Routes,
    /// Print a token to try the gateway with
    Token(Box<token::Token>),
    /// Make API keys
    Key(key::Key),
    /// Have a gateway that runs refuse tokens, keys or partners
    Revoke(Box<revoke::Revoke>),
    /// See and purge what a gateway that runs has stored
    Cache(cache::Cache),
    /// Make models of what is usual, see how they judge, and ask why
    Anomaly(Box<anomaly::Anomaly>),
    /// Print the JSON Schema of a configuration file
    Schema(schema::Schema),
    /// Run the sandbox upstream alone
    Sandbox(sandbox::Sandbox),
}

/// Reads the command line and carries it out.
#[must_use]
pub fn main() -> ExitCode {
    let matches = Cli::command().get_matches();
    let cli = refuse_stray(&matches).and_then(|()| Cli::from_arg_matches(&matches));
    let Cli { command, common, run } = cli.unwrap_or_else(|error| error.format(&mut Cli::command()).exit());
    let done = match command {
        None => run.carry_out(&common),
        Some(Command::Run(run)) => run.carry_out(&common),
        Some(Command::Check) => check::carry_out(&common),
        Some(Command::Explain(explain)) => explain.carry_out(&common),
        Some(Command::Test(test)) => test.carry_out(&common),
        Some(Command::Routes) => routes::carry_out(&common),
        Some(Command::Token(token)) => token.carry_out(&common),
        Some(Command::Key(key)) => key.carry_out(&common),
        Some(Command::Revoke(revoke)) => revoke.carry_out(&common),
        Some(Command::Cache(cache)) => cache.carry_out(&common),
        Some(Command::Anomaly(anomaly)) => anomaly.carry_out(&common),
        Some(Command::Schema(schema)) => schema.carry_out(),
        Some(Command::Sandbox(sandbox)) => sandbox.carry_out(&common),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(common.format),
    }
}

/// An option of `run` before another command would have no effect.
fn refuse_stray(matches: &ArgMatches) -> Result<(), clap::Error> {
    let Some(command) = matches.subcommand_name() else { return Ok(()) };
    for option in ["listen", "admin", "sandbox", "threads"] {
        if matches.value_source(option) == Some(ValueSource::CommandLine) {
            let message =
                format!("`--{option}` belongs to `run`; write it behind that command, not before `{command}`");
            return Err(clap::Error::raw(UsageError::ArgumentConflict, message));
        }
    }
    Ok(())
}

/// How a command ends badly.
enum Failure {
    /// Configuration that has errors; the report says which.
    Config { report: Box<Report>, code: u8 },
    /// Anything else, in one message.
    Message { message: String, code: u8 },
    /// The result that was printed says it.
    Told { code: u8 },
}

impl Failure {
    fn start(message: impl ToString) -> Self {
        Self::Message { message: message.to_string(), code: CANNOT_START }
    }

    fn found(message: impl ToString) -> Self {
        Self::Message { message: message.to_string(), code: FOUND_ERRORS }
    }

    fn report(self, format: Format) -> ExitCode {
        let (json, text, code) = match self {
            Self::Config { report, code } => (report.to_json(), report.render_text(colours()), code),
            Self::Message { message, code } => {
                (serde_json::json!({ "error": message }), format!("error: {message}\n"), code)
            }
            Self::Told { code } => return ExitCode::from(code),
        };
        match format {
            Format::Human => tell(&text),
            // What is wrong is said already; that it cannot be said to stdout is not worth more words.
            Format::Json => drop(print_json(&json)),
        }
        ExitCode::from(code)
    }
}

impl Common {
    fn bootstrap(&self, code: u8) -> Result<Bootstrap, Failure> {
        let mut bootstrap = match self.bootstrap_file() {
            Some(file) => {
                config::load_bootstrap(file).map_err(|report| Failure::Config { report: Box::new(report), code })?
            }
            None => config::default_bootstrap(),
        };
        if let Some(routes) = &self.routes {
            bootstrap.routes.clone_from(routes);
            bootstrap.built_in_routes = false;
        }
        Ok(bootstrap)
    }

    /// The options that name the same files, for a shell.
    fn flags(&self) -> String {
        let named = [("config", &self.config), ("routes", &self.routes)];
        let flag = |(option, file): (&str, &Option<PathBuf>)| {
            file.as_ref().map(|file| format!(" --{option} {}", quoted(&file.display().to_string())))
        };
        named.into_iter().filter_map(flag).collect()
    }

    /// `None` is the one that is built in.
    fn bootstrap_file(&self) -> Option<&Path> {
        let usual = Path::new(USUAL_BOOTSTRAP);
        self.config.as_deref().or_else(|| usual.exists().then_some(usual))
    }
}

/// The routes file of a bootstrap, read and checked; the built-in routes where `run` would serve those.
fn read_routes(bootstrap: &Bootstrap) -> Result<RoutesReading, Failure> {
    let path = &bootstrap.routes;
    match std::fs::read(path).and_then(config::decode) {
        Ok(text) => Ok(config::read_routes(&text, &path.display().to_string())),
        Err(error) if bootstrap.built_in_routes && error.kind() == ErrorKind::NotFound => {
            Ok(config::read_routes(config::DEFAULT_ROUTES, config::DEFAULT_ROUTES_FILE))
        }
        Err(error) => Err(Failure::found(format!("routes: cannot read {}: {error}", path.display()))),
    }
}

/// Writes a result to stdout. A reader that has seen enough, such as `head`, is no error.
fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Failure::found(format!("stdout: {error}"))),
        _ => Ok(()),
    }
}

fn print_json(value: &serde_json::Value) -> Result<(), Failure> {
    print(&format!("{value:#}\n"))
}

/// Writes a message to stderr; if nobody can read it, there is nowhere left to say so.
fn tell(text: &str) {
    drop(std::io::stderr().write_all(text.as_bytes()));
}

/// Whether messages may have colours: on a terminal, unless its user asks for none (no-color.org).
fn colours() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// `NAME=ADDRESS` of a flag.
fn named_address(text: &str) -> Result<(String, SocketAddr), String> {
    let (name, address) = text.split_once('=').ok_or("write NAME=ADDRESS, such as https=127.0.0.1:9443")?;
    let address = address.parse().map_err(|_| format!("`{address}` is not an address such as 127.0.0.1:9443"))?;
    Ok((name.to_owned(), address))
}

/// For a shell.
fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,:=@%".contains(c);
    if text.chars().all(is_plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}
