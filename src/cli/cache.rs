//! `sluice cache`: what a gateway that runs has stored, and taking it out.

use std::fmt::Write as _;

use clap::{ArgGroup, Args, Subcommand};
use serde_json::{Map, Value};

use super::admin::{At, text};
use super::{Common, Failure, Format, print, print_json, tell};

#[derive(Args)]
pub(super) struct Cache {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// How much is stored
    Stats(Stats),
    /// What is stored for a URL; without a query in it, for all queries
    LookUp(LookUp),
    /// Take stored answers out
    Purge(Purge),
}

#[derive(Args)]
struct Stats {
    #[command(flatten)]
    at: At,
}

#[derive(Args)]
struct LookUp {
    /// As clients ask for it, such as https://api.example.com/orders/1
    #[arg(value_name = "URL")]
    url: String,
    /// Only what this partner gets
    #[arg(long, value_name = "NAME")]
    partner: Option<String>,
    /// Only what this subject alone gets
    #[arg(long, value_name = "NAME")]
    subject: Option<String>,
    #[command(flatten)]
    at: At,
}

#[derive(Args)]
#[command(group = ArgGroup::new("what").required(true).args(["all", "url", "tag", "route", "partner"]))]
struct Purge {
    /// Everything
    #[arg(long)]
    all: bool,
    /// What is stored for this URL, for whomever; without a query in it, for all queries
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// What has this tag
    #[arg(long, value_name = "TAG")]
    tag: Option<String>,
    /// What is stored by this route
    #[arg(long, value_name = "NAME")]
    route: Option<String>,
    /// What is stored for this partner
    #[arg(long, value_name = "NAME")]
    partner: Option<String>,
    /// Leave it as stale: it is given again where a stale answer may be, or once the upstream has confirmed it
    #[arg(long)]
    soft: bool,
    #[command(flatten)]
    at: At,
}

impl Cache {
    pub(super) fn carry_out(&self, common: &Common) -> Result<(), Failure> {
        let (answer, shown): (Value, fn(&Value) -> String) = match &self.command {
            Command::Stats(Stats { at }) => (at.admin(common)?.ask("GET", "/cache", None)?, numbers),
            Command::LookUp(asked) => (asked.at.admin(common)?.ask("GET", &asked.target(), None)?, entries),
            Command::Purge(purge) => {
                (purge.at.admin(common)?.ask("POST", "/cache/purge", Some(&purge.body()))?, purged)
            }
        };
        for warning in answer["warnings"].as_array().into_iter().flatten() {
            tell(&format!("warning: {}\n", text(warning)));
        }
        match common.format {
            Format::Json => print_json(&answer),
            Format::Human => print(&shown(&answer)),
        }
    }
}

impl LookUp {
    fn target(&self) -> String {
        let optional = [("partner", &self.partner), ("subject", &self.subject)];
        let optional = optional.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?)));
        optional.fold(format!("/cache/look-up?url={}", escaped(&self.url)), |target, (name, value)| {
            format!("{target}&{name}={}", escaped(value))
        })
    }
}

impl Purge {
    fn body(&self) -> Value {
        let mut members = Map::new();
        let texts = [("url", &self.url), ("tag", &self.tag), ("route", &self.route), ("partner", &self.partner)];
        for (key, value) in texts {
            members.extend(value.clone().map(|value| (key.to_owned(), value.into())));
        }
        for (key, is_set) in [("all", self.all), ("soft", self.soft)] {
            members.extend(is_set.then(|| (key.to_owned(), true.into())));
        }
        Value::Object(members)
    }
}

fn numbers(answer: &Value) -> String {
    let number = |name: &str| answer[name].as_u64().unwrap_or_default();
    format!(
        "stored     {} answers, {} of {} bytes\nevicted    {}\npurged     {}\ncollapsed  {} requests\nin flight  {}\n",
        number("entries"),
        number("bytes"),
        number("budget"),
        number("evicted"),
        number("purged"),
        number("collapsed"),
        number("in_flight")
    )
}

fn purged(answer: &Value) -> String {
    format!("purged {}\n", counted(answer["purged"].as_u64().unwrap_or_default()))
}

fn counted(answers: u64) -> String {
    if answers == 1 { "1 answer".to_owned() } else { format!("{answers} answers") }
}

/// The key of each answer, and what there is to say of it.
fn entries(answer: &Value) -> String {
    let entries = answer["entries"].as_array().map(Vec::as_slice).unwrap_or_default();
    let (shown, count) = (entries.len() as u64, answer["count"].as_u64().unwrap_or_default());
    let mut lines: String = entries.iter().map(entry).collect();
    match (count, shown) {
        (0, _) => lines.push_str("nothing is stored\n"),
        (count, shown) if count > shown => writeln!(lines, "and {} more", count - shown).unwrap_or_default(),
        _ => {}
    }
    lines
}

fn entry(entry: &Value) -> String {
    let number = |name: &str| entry[name].as_u64().unwrap_or_default();
    let freshness = match entry["stale"].as_bool() {
        Some(true) => "stale".to_owned(),
        _ => format!("fresh for {}s", number("fresh_for")),
    };
    let tags: String = entry["tags"].as_array().into_iter().flatten().map(|tag| format!(" {:?}", text(tag))).collect();
    let tags = if tags.is_empty() { tags } else { format!(", tags{tags}") };
    format!(
        "{}\n  {}, {}s old, {freshness}, {} bytes, given {} times, route {:?}{tags}, id {}\n",
        text(&entry["key"]),
        number("status"),
        number("age"),
        number("body_bytes"),
        number("hits"),
        text(&entry["route"]),
        text(&entry["id"]),
    )
}

/// For a query: everything that has a meaning there is percent-encoded (RFC 3986 §2.1).
fn escaped(text: &str) -> String {
    text.bytes().fold(String::new(), |mut escaped, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~:/".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            write!(escaped, "%{byte:02X}").unwrap_or_default();
        }
        escaped
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_url_is_one_parameter() {
        assert_eq!(escaped("https://a.test/x?a=1&b=%20ä"), "https://a.test/x%3Fa%3D1%26b%3D%2520%C3%A4");
    }

    #[test]
    fn what_is_stored_is_told_in_two_lines() {
        let answer = json!({ "count": 3, "entries": [{
            "key": "https://a.test/orders/1 for partner acme", "status": 200, "age": 35, "fresh_for": 25, "stale": false,
            "body_bytes": 5, "hits": 2, "route": "orders", "tags": ["order:1", "orders"], "partner": "acme",
            "id": "0a1b2c3d4e5f",
        }, {
            "key": "https://a.test/orders/1 for everyone", "status": 404, "age": 3, "fresh_for": 0, "stale": true,
            "body_bytes": 0, "hits": 0, "route": "orders", "tags": [], "partner": null, "id": "5f4e3d2c1b0a",
        }] });
        assert_eq!(
            entries(&answer),
            "https://a.test/orders/1 for partner acme\n  \
             200, 35s old, fresh for 25s, 5 bytes, given 2 times, route \"orders\", tags \"order:1\" \"orders\", id 0a1b2c3d4e5f\n\
             https://a.test/orders/1 for everyone\n  \
             404, 3s old, stale, 0 bytes, given 0 times, route \"orders\", id 5f4e3d2c1b0a\nand 1 more\n"
        );
        assert_eq!(entries(&json!({ "count": 0, "entries": [] })), "nothing is stored\n");
    }
}
