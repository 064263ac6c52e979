//! `sluice revoke`: asks a gateway that runs to refuse what is good by itself.

use clap::{ArgGroup, Args};
use serde_json::{Map, Value};

use super::admin::{Admin, At, text};
use super::{Common, Failure, Format, print, print_json, tell};
use crate::auth::revocation::Id;
use crate::base::{clock, duration};

#[derive(Args)]
#[command(group = ArgGroup::new("what").required(true).multiple(true)
    .args(["token_id", "subject", "partner", "issued_before", "list", "delete"]))]
pub(super) struct Revoke {
    /// The token with this id (`jti`)
    #[arg(long, value_name = "ID", conflicts_with_all = ["subject", "partner", "issued_before"])]
    token_id: Option<String>,
    /// Tokens of this subject
    #[arg(long, value_name = "NAME", conflicts_with = "partner")]
    subject: Option<String>,
    /// Tokens, API keys and client certificates of this partner
    #[arg(long, value_name = "NAME")]
    partner: Option<String>,
    /// Only tokens issued before: a date, seconds since 1970, or `now`
    #[arg(long, value_name = "TIME")]
    issued_before: Option<String>,
    /// Only tokens of this issuer of the routes file
    #[arg(long, value_name = "NAME")]
    issuer: Option<String>,
    /// Forget it then: a date, seconds since 1970, or a duration from now such as `12h`
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Why, for whoever reads the list
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// List what is revoked
    #[arg(long, conflicts_with_all = [
        "token_id", "subject", "partner", "issued_before", "issuer", "until", "reason"])]
    list: bool,
    /// Take a revocation off, by its id
    #[arg(long, value_name = "ID", value_parser = id, conflicts_with_all = [
        "token_id", "subject", "partner", "issued_before", "issuer", "until", "reason", "list"])]
    delete: Option<Id>,
    #[command(flatten)]
    at: At,
}

impl Revoke {
    pub(super) fn carry_out(&self, common: &Common) -> Result<(), Failure> {
        let admin = self.at.admin(common)?;
        if self.list {
            return list(&admin, common.format);
        }
        let answer = match &self.delete {
            Some(id) => admin.ask("DELETE", &format!("/revocations/{id}"), None)?,
            None => admin.ask("POST", "/revocations", Some(&self.revocation()))?,
        };
        for warning in answer["warnings"].as_array().into_iter().flatten() {
            tell(&format!("warning: {}\n", text(warning)));
        }
        match common.format {
            Format::Json => print_json(&answer),
            Format::Human => {
                let done = match &answer["deleted"] {
                    Value::String(was) => format!("no longer: {was}"),
                    _ => text(&answer["effect"]).to_owned(),
                };
                print(&format!("{done}\nid {}\n", text(&answer["id"])))
            }
        }
    }

    fn revocation(&self) -> Value {
        let now = clock::since_epoch().as_secs();
        let mut members = Map::new();
        let texts = [
            ("token_id", &self.token_id),
            ("subject", &self.subject),
            ("partner", &self.partner),
            ("issuer", &self.issuer),
            ("reason", &self.reason),
        ];
        for (key, value) in texts {
            members.extend(value.clone().map(|value| (key.to_owned(), value.into())));
        }
        // Tokens say their second only, and one of this second is older than now.
        let before =
            self.issued_before.as_deref().map(|before| if before == "now" { (now + 1).into() } else { time(before) });
        members.extend(before.map(|before| ("issued_before".to_owned(), before)));
        let until = self.until.as_deref().map(|until| match duration::parse(until) {
            Ok(duration) => now.saturating_add(duration.as_secs()).into(),
            Err(_) => time(until),
        });
        members.extend(until.map(|until| ("until".to_owned(), until)));
        Value::Object(members)
    }
}

/// Page by page, as they come.
fn list(admin: &Admin, format: Format) -> Result<(), Failure> {
    let (mut all, mut path) = (Vec::new(), "/revocations".to_owned());
    loop {
        let mut page = admin.ask("GET", &path, None)?;
        match (page["revocations"].take(), format) {
            (Value::Array(listed), Format::Json) => all.extend(listed),
            (Value::Array(listed), Format::Human) => print(&listed.iter().map(line).collect::<String>())?,
            _ => return Err(Failure::found("the answer is not that of a gateway of this version")),
        }
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/revocations?after={next}");
    }
    if format == Format::Json { print_json(&serde_json::json!({ "revocations": all })) } else { Ok(()) }
}

fn line(listed: &Value) -> String {
    let sources: Vec<&str> = listed["sources"].as_array().into_iter().flatten().map(text).collect();
    let reason = listed["revocation"]["reason"].as_str().map(|reason| format!(" ({reason:?})")).unwrap_or_default();
    format!("{}  {:8}  {}{reason}\n", text(&listed["id"]), sources.join("+"), text(&listed["effect"]))
}

/// Seconds are a number, everything else is for the gateway to read.
fn time(text: &str) -> Value {
    text.parse::<u64>().map_or_else(|_| text.into(), Value::from)
}

fn id(text: &str) -> Result<Id, String> {
    Id::parse(text).ok_or_else(|| "it is not an id as `sluice revoke --list` shows it".to_owned())
}
