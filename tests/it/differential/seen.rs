//! What one engine made of an exchange, and whether another made the same of it.

use std::fmt;

use serde_json::Value;

use super::exchange::Exchange;
use super::message::{self, Asked, End, Message};

/// The only date that upstreams of these tests write.
pub const DATE: &str = "Mon, 01 Jan 2024 00:00:00 GMT";
/// Stands for what is another for each request: ids, and dates that the gateway writes.
const NOW: &str = "(now)";

/// Members of a log line that are the same whoever forwards.
const LOGGED: [&str; 9] =
    ["protocol", "method", "host", "path", "status", "reason", "attempts", "request_bytes", "response_bytes"];

/// All that can be observed from outside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// At the upstream, in the order of connections.
    pub requests: Vec<Message>,
    /// At the client, interim ones included.
    pub answers: Vec<Message>,
    /// The lines of the access log.
    pub log: Vec<String>,
    /// A deadline was waited for.
    pub late: bool,
}

impl Seen {
    pub fn new(exchange: &Exchange, upstream: &[Vec<u8>], client: &[u8], log: &[Value], late: bool) -> Self {
        let asked: Vec<Asked> = message::requests(&exchange.client).iter().map(Message::asks).collect();
        let mut requests: Vec<Message> = upstream.iter().flat_map(|bytes| message::requests(bytes)).collect();
        let mut answers = message::answers(&without_ids(client), &asked);
        for message in requests.iter_mut().chain(&mut answers) {
            forget_the_moment(message);
        }
        let early = exchange.is_early();
        let log = log.iter().map(|line| logged(line, early)).collect();
        Self { requests, answers, log, late }
    }

    /// What is not the same, in words; `None` when everything is.
    ///
    /// When the upstream answers early, how much of an upload gets through is chance, and with it whether the connection goes
    /// on: then only what both have come to is compared.
    pub fn differs(&self, other: &Self, early: bool) -> Option<String> {
        if early {
            let answers = self.answers.len().min(other.answers.len());
            let log = self.log.len().min(other.log.len());
            let [mine, theirs] = [self, other].map(|seen| {
                let mut seen = seen.clone();
                seen.answers.truncate(answers);
                seen.log.truncate(log);
                seen.late = false;
                for answer in &mut seen.answers {
                    answer.fields.retain(|line| message::value_of(line, "connection").is_none());
                }
                seen
            });
            return mine.compare(&theirs, true);
        }
        self.compare(other, false)
    }

    fn compare(&self, other: &Self, early: bool) -> Option<String> {
        let whole_requests = |seen: &Self| -> Vec<Message> {
            seen.requests.iter().filter(|request| request.end == End::Whole && !early).cloned().collect()
        };
        let mut found = Vec::new();
        compare("requests at the upstream", &whole_requests(self), &whole_requests(other), &mut found);
        let halves = |seen: &Self| -> Vec<Message> {
            seen.requests.iter().filter(|request| request.end != End::Whole || early).cloned().collect()
        };
        for (mine, theirs) in halves(self).iter().zip(&halves(other)) {
            // How much of a request that was never whole has reached the upstream is chance.
            if !is_beginning(mine, theirs) && !is_beginning(theirs, mine) {
                found.push(format!("what the upstream got of a request:\n  one\n{mine}  other\n{theirs}"));
            }
        }
        compare("answers", &self.answers, &other.answers, &mut found);
        if self.log != other.log {
            found.push(format!("the access log:\n    {}\n    {}\n", self.log.join("\n    "), other.log.join("\n    ")));
        }
        if self.late != other.late {
            found.push(format!("waiting for a deadline: {} and {}\n", self.late, other.late));
        }
        (!found.is_empty()).then(|| found.concat())
    }
}

fn compare(what: &str, mine: &[Message], theirs: &[Message], found: &mut Vec<String>) {
    if mine.len() != theirs.len() {
        found.push(format!("{what}: {} and {}\n", mine.len(), theirs.len()));
    }
    let most = mine.len().max(theirs.len());
    for (index, (mine, theirs)) in (0..most).map(|index| (index, (mine.get(index), theirs.get(index)))) {
        if !is_same(mine, theirs) {
            let show = |one: Option<&Message>| one.map_or("    (none)\n".to_owned(), ToString::to_string);
            found.push(format!("{what}, number {}:\n  one\n{}  other\n{}", index + 1, show(mine), show(theirs)));
        }
    }
}

/// How much of a message has passed when it fails is chance.
fn is_same(mine: Option<&Message>, theirs: Option<&Message>) -> bool {
    let cut = |mine: &Message, theirs: &Message| {
        let failed = mine.end == End::Cut && theirs.end == End::Cut && mine.head_is_whole && theirs.head_is_whole;
        failed && (is_beginning(mine, theirs) || is_beginning(theirs, mine))
    };
    mine == theirs || mine.zip(theirs).is_some_and(|(mine, theirs)| cut(mine, theirs))
}

/// Whether the second goes on where the first was cut.
fn is_beginning(cut: &Message, longer: &Message) -> bool {
    if !cut.head_is_whole {
        return longer.start.starts_with(&cut.start) || cut.start.contains(&longer.start);
    }
    (&cut.start, &cut.fields) == (&longer.start, &longer.fields) && longer.body.starts_with(&cut.body)
}

fn forget_the_moment(message: &mut Message) {
    for line in &mut message.fields {
        let Some((name, value)) = line.split_once(": ") else { continue };
        let name = name.to_ascii_lowercase();
        let another = match &*name {
            "date" if value != DATE => NOW,
            "x-request-id" => NOW,
            // Of a request without Host.
            "host" if value.starts_with("127.0.0.1:") => "(the upstream's address)",
            _ => continue,
        };
        let at = line.len() - value.len();
        line.replace_range(at.., another);
    }
}

/// Refusals name the request behind `"request_id":"`.
fn without_ids(client: &[u8]) -> Vec<u8> {
    const MARK: &[u8] = b"\"request_id\":\"";
    let mut client = client.to_vec();
    let places = client.windows(MARK.len()).enumerate().filter(|(_, window)| *window == MARK);
    for at in places.map(|(at, _)| at + MARK.len()).collect::<Vec<_>>() {
        client.iter_mut().skip(at).take_while(|byte| **byte != b'"').for_each(|byte| *byte = b'0');
    }
    client
}

fn logged(line: &Value, early: bool) -> String {
    let failed = !line["reason"].is_null();
    let by_the_client = failed && line["status"].as_u64().is_some_and(|status| (400..500).contains(&status));
    // How much of something has passed when it fails is chance: whether a wrong chunk comes with its head, before a connection
    // to the upstream is thought of, or later.
    let chance = |member: &str| match member {
        "attempts" => by_the_client,
        _ => member.ends_with("_bytes") && (early || failed),
    };
    let members = LOGGED.iter().filter(|member| !line[**member].is_null() && !chance(member));
    members.map(|member| format!("{member}={}", line[*member])).collect::<Vec<_>>().join(" ")
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  the upstream gets")?;
        self.requests.iter().try_for_each(|request| write!(f, "{request}"))?;
        writeln!(f, "  the client gets{}", if self.late { ", after waiting for a deadline" } else { "" })?;
        self.answers.iter().try_for_each(|answer| write!(f, "{answer}"))?;
        writeln!(f, "  the log says")?;
        self.log.iter().try_for_each(|line| writeln!(f, "    {line}"))
    }
}
