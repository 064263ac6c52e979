//! `sluice schema`: the JSON Schema of a configuration file, for editors.

use clap::{Args, ValueEnum};

use super::{Failure, print_json};
use crate::config;

#[derive(Args)]
pub(super) struct Schema {
    /// Which file
    #[arg(value_enum, default_value_t = File::Routes)]
    file: File,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum File {
    Gateway,
    Routes,
}

impl Schema {
    pub(super) fn carry_out(&self) -> Result<(), Failure> {
        print_json(&match self.file {
            File::Gateway => config::schema::gateway(),
            File::Routes => config::schema::routes(),
        })
    }
}
