//! `sluice revoke`: asks a gateway that runs to refuse what is good by itself.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use clap::{ArgGroup, Args};
use serde_json::{Map, Value};

use super::run::reachable;
use super::{Common, FOUND_ERRORS, Failure, Format, print, print_json, tell};
use crate::auth::revocation::Id;
use crate::base::{clock, duration};

/// For a connection on this machine or nearby.
const CONNECT: Duration = Duration::from_secs(3);
/// Longer than a store may keep the gateway waiting.
const ANSWER: Duration = Duration::from_secs(20);
/// Far above a page of revocations.
const MAX_ANSWER: u64 = 64 << 20;

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
    /// The admin API of the gateway [default: what the bootstrap file says]
    #[arg(long, env = "SLUICE_ADMIN", value_name = "ADDRESS")]
    admin: Option<SocketAddr>,
}

impl Revoke {
    pub(super) fn carry_out(&self, common: &Common) -> Result<(), Failure> {
        let admin = match self.admin {
            Some(address) => address,
            None => common.bootstrap(FOUND_ERRORS)?.admin.ok_or_else(|| {
                Failure::found("the bootstrap file has no admin API (`admin: off`), through which this command works")
            })?,
        };
        let admin = Admin(reachable(admin));
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

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Seconds are a number, everything else is for the gateway to read.
fn time(text: &str) -> Value {
    text.parse::<u64>().map_or_else(|_| text.into(), Value::from)
}

fn id(text: &str) -> Result<Id, String> {
    Id::parse(text).ok_or_else(|| "it is not an id as `sluice revoke --list` shows it".to_owned())
}

/// The admin API of a gateway.
struct Admin(SocketAddr);

impl Admin {
    fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value, Failure> {
        let body = body.map(ToString::to_string).unwrap_or_default();
        let fields = if body.is_empty() { "" } else { "Content-Type: application/json\r\n" };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{fields}Content-Length: {}\r\n\r\n{body}",
            self.0,
            body.len()
        );
        let failed = |error: io::Error| Failure::found(format!("the admin API at http://{}: {error}", self.0));
        let answer = self.exchange(&request).map_err(failed)?;
        let (status, body) = read(&answer).map_err(failed)?;
        let problem = |value: &Value| {
            let errors = value["errors"].as_array().into_iter().flatten().map(text).collect::<Vec<_>>().join("; ");
            format!("{status}: {} {errors}", text(&value["detail"]))
        };
        match serde_json::from_slice::<Value>(body) {
            Ok(value) if (200..300).contains(&status) => Ok(value),
            Ok(value) => Err(Failure::found(problem(&value).trim_end())),
            Err(_) => Err(Failure::found(format!("the admin API at http://{} answered {status}, and no JSON", self.0))),
        }
    }

    fn exchange(&self, request: &str) -> io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect_timeout(&self.0, CONNECT)?;
        stream.set_read_timeout(Some(ANSWER))?;
        stream.set_write_timeout(Some(ANSWER))?;
        stream.write_all(request.as_bytes())?;
        let mut answer = Vec::new();
        stream.take(MAX_ANSWER).read_to_end(&mut answer)?;
        Ok(answer)
    }
}

/// Status and body of an answer that ends with its connection.
fn read(answer: &[u8]) -> io::Result<(u16, &[u8])> {
    let invalid = || io::Error::new(io::ErrorKind::InvalidData, "the answer is no HTTP, or was cut");
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut head = httparse::Response::new(&mut fields);
    let Ok(httparse::Status::Complete(length)) = head.parse(answer) else { return Err(invalid()) };
    let body = answer.get(length..).unwrap_or_default();
    let announced = head.headers.iter().find(|field| field.name.eq_ignore_ascii_case("content-length"));
    let announced = announced.and_then(|field| str::from_utf8(field.value).ok()?.parse::<usize>().ok());
    match (head.code, announced) {
        (Some(status), Some(length)) if length == body.len() => Ok((status, body)),
        _ => Err(invalid()),
    }
}
