//! `sluice anomaly`: models of what is usual, made from an access log, held against one, and asked why.

mod chosen;
mod evaluate;
mod explain;
mod log;
mod models;
mod replay;
mod train;
mod words;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Common, Failure};

#[derive(Args)]
pub(super) struct Anomaly {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Why a request of the access log is unusual
    Explain(explain::Explain),
    /// Make a model, by a gateway that runs or from an access log
    Train(train::Train),
    /// Show how a model judges an access log
    Evaluate(evaluate::Evaluate),
    /// List models
    Models(models::Models),
}

/// Which requests.
#[derive(Args)]
struct From {
    /// Access log; may be repeated, `-` is standard input
    #[arg(long, value_name = "FILE", required = true)]
    from: Vec<PathBuf>,
}

impl Anomaly {
    pub(super) fn carry_out(&self, common: &Common) -> Result<(), Failure> {
        match &self.command {
            Command::Explain(explain) => explain.carry_out(common),
            Command::Train(train) => train.carry_out(common),
            Command::Evaluate(evaluate) => evaluate.carry_out(common),
            Command::Models(models) => models.carry_out(common),
        }
    }
}
