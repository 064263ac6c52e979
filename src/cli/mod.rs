//! The command line: one file a command.

mod check;
mod explain;
mod routes;
mod run;
mod sandbox;
mod schema;

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config::checked::Bootstrap;
use crate::config::report::Report;
use crate::config::{self, RoutesReading};

/// Found errors.
const FOUND_ERRORS: u8 = 1;
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
    /// Bootstrap file [default: config/gateway.yaml if present, else built in]
    #[arg(long, global = true, env = "SLUICE_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Routes file, instead of the one that the bootstrap file names
    #[arg(long, global = true, env = "SLUICE_ROUTES", value_name = "FILE")]
    routes: Option<PathBuf>,
    /// How results are printed
    #[arg(long, global = true, value_enum, default_value_t = Format::Human)]
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
    /// List the routes
    Routes,
    /// Print the JSON Schema of a configuration file
    Schema(schema::Schema),
    /// Run the sandbox upstream alone
    Sandbox(sandbox::Sandbox),
}

/// Reads the command line and carries it out.
#[must_use]
pub fn main() -> ExitCode {
    let Cli { command, common, run } = Cli::parse();
    let done = match command {
        None => run.carry_out(&common),
        Some(Command::Run(run)) => run.carry_out(&common),
        Some(Command::Check) => check::carry_out(&common),
        Some(Command::Explain(explain)) => explain.carry_out(&common),
        Some(Command::Routes) => routes::carry_out(&common),
        Some(Command::Schema(schema)) => schema.carry_out(),
        Some(Command::Sandbox(sandbox)) => sandbox.carry_out(&common),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(common.format),
    }
}

/// How a command ends badly.
enum Failure {
    /// Configuration that has errors; the report says which.
    Config { report: Box<Report>, code: u8 },
    /// Anything else, in one message.
    Message { message: String, code: u8 },
}

impl Failure {
    fn start(message: impl ToString) -> Self {
        Self::Message { message: message.to_string(), code: CANNOT_START }
    }

    fn found(message: impl ToString) -> Self {
        Self::Message { message: message.to_string(), code: FOUND_ERRORS }
    }

    fn report(self, format: Format) -> ExitCode {
        let code = match self {
            Self::Config { report, code } => {
                match format {
                    Format::Human => eprint!("{}", report.render_text(std::io::stderr().is_terminal())),
                    Format::Json => print_json(&report.to_json()),
                }
                code
            }
            Self::Message { message, code } => {
                match format {
                    Format::Human => eprintln!("error: {message}"),
                    Format::Json => print_json(&serde_json::json!({ "error": message })),
                }
                code
            }
        };
        ExitCode::from(code)
    }
}

impl Common {
    fn bootstrap(&self, code: u8) -> Result<Bootstrap, Failure> {
        let usual = Path::new(USUAL_BOOTSTRAP);
        let file = self.config.as_deref().or_else(|| usual.exists().then_some(usual));
        let mut bootstrap = match file {
            Some(file) => {
                config::load_bootstrap(file).map_err(|report| Failure::Config { report: Box::new(report), code })?
            }
            None => config::default_bootstrap(),
        };
        if let Some(routes) = &self.routes {
            bootstrap.routes.clone_from(routes);
        }
        Ok(bootstrap)
    }

    /// The routes file, read and checked.
    fn routes(&self) -> Result<RoutesReading, Failure> {
        let path = self.bootstrap(FOUND_ERRORS)?.routes;
        let bytes = std::fs::read(&path)
            .map_err(|error| Failure::found(format!("routes: cannot read {}: {error}", path.display())))?;
        Ok(config::read_routes(&String::from_utf8_lossy(&bytes), &path.display().to_string()))
    }
}

fn print_json(value: &serde_json::Value) {
    println!("{value:#}");
}

/// `NAME=ADDRESS` of a flag.
fn named_address(text: &str) -> Result<(String, SocketAddr), String> {
    let (name, address) = text.split_once('=').ok_or("write NAME=ADDRESS, such as https=127.0.0.1:9443")?;
    let address = address.parse().map_err(|_| format!("`{address}` is not an address such as 127.0.0.1:9443"))?;
    Ok((name.to_owned(), address))
}
