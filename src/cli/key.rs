//! `sluice key`: API keys for partners.

use clap::{Args, Subcommand};
use serde_json::json;

use super::{Common, Failure, Format, print, print_json, tell};
use crate::auth::api_key::{self, GenerateError, NewKey};
use crate::base::{clock, timestamp};

#[derive(Args)]
pub(super) struct Key {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make a key, and what is written under its partner; the key is printed here and kept nowhere
    New(New),
}

#[derive(Args)]
struct New {
    /// Whose it is, as in the routes file
    #[arg(long, value_name = "NAME", value_parser = partner)]
    partner: Option<String>,
    /// When it ends: a date such as 2027-01-31, or date and time (RFC 3339)
    #[arg(long, value_name = "DATE", value_parser = to_come)]
    expires: Option<String>,
    /// Its public part, 12 letters and digits [default: at random]
    #[arg(long, value_name = "ID", value_parser = id)]
    id: Option<String>,
}

impl Key {
    pub(super) fn carry_out(&self, common: &Common) -> Result<(), Failure> {
        match &self.command {
            Command::New(new) => new.carry_out(common),
        }
    }
}

impl New {
    fn carry_out(&self, common: &Common) -> Result<(), Failure> {
        let made = api_key::generate(self.id.as_deref()).map_err(Failure::found)?;
        let key = String::from_utf8_lossy(made.key.reveal());
        let written = self.written(&made);
        match common.format {
            Format::Human => {
                print(&format!("{key}\n\n{written}"))?;
                tell(
                    "note: the key is for the partner and shown this once; the lines below it, which cannot be turned back \
                     into the key, belong under `partners` in the routes file\n",
                );
                Ok(())
            }
            Format::Json => print_json(&json!({
                "key": key,
                "id": made.id,
                "sha256": hex(&made.sha256),
                "expires": self.expires,
                "partner": self.partner,
                "yaml": written,
            })),
        }
    }

    /// As it stands in the routes file.
    fn written(&self, made: &NewKey) -> String {
        let indented = |text: String| text.lines().map(|line| format!("    {line}\n")).collect::<String>();
        let mut entry = format!("api_keys:\n  - id: \"{}\"\n    sha256: \"{}\"\n", made.id, hex(&made.sha256));
        if let Some(expires) = &self.expires {
            entry.push_str(&format!("    expires: \"{expires}\"\n"));
        }
        match &self.partner {
            Some(partner) => format!("  {partner}:\n{}", indented(entry)),
            None => indented(entry),
        }
    }
}

fn hex(digest: &[u8; 32]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What the routes file takes for a name, so that what is printed can be pasted.
fn partner(text: &str) -> Result<String, String> {
    let is_name = text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text.len() <= 64
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    if is_name { Ok(text.to_owned()) } else { Err("a name is letters, digits, `.`, `_` and `-`".to_owned()) }
}

fn to_come(text: &str) -> Result<String, String> {
    let ends = timestamp::parse(text)?;
    if ends <= clock::since_epoch() { Err("this is past already".to_owned()) } else { Ok(text.to_owned()) }
}

fn id(text: &str) -> Result<String, GenerateError> {
    if api_key::is_id(text.as_bytes()) { Ok(text.to_owned()) } else { Err(GenerateError::Id) }
}
