//! What is said of tests that were run.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Got, Outcome};
use crate::cli::offline::Request;
use crate::cli::quoted;
use crate::config::checked::Route;
use crate::config::checked::expectation::{Caller, Expectation, Expected};

/// Fields whose value is nobody's business.
const SECRET: [&str; 3] = ["authorization", "cookie", "x-api-key"];

pub(super) struct Results {
    file: Arc<str>,
    /// The options that name the files.
    flags: String,
    done: Vec<Done>,
    /// Routes without tests.
    pub(super) untested: Vec<Arc<str>>,
    /// The file has errors.
    pub(super) faulty: bool,
    pub(super) took: Duration,
}

struct Done {
    route: Arc<str>,
    name: Arc<str>,
    at: String,
    expected: Expected,
    got: Got,
    differences: Vec<String>,
    explain: String,
}

impl Results {
    pub(super) fn new(file: &Arc<str>, flags: String) -> Self {
        Self {
            file: Arc::clone(file),
            flags,
            done: Vec::new(),
            untested: Vec::new(),
            faulty: false,
            took: Duration::ZERO,
        }
    }

    pub(super) fn add(&mut self, route: &Route, test: &Expectation, outcome: Outcome) {
        let Outcome { got, differences, request } = outcome;
        self.done.push(Done {
            route: Arc::clone(&route.name),
            name: Arc::clone(&test.name),
            at: test.at.to_string(),
            expected: test.expected.clone(),
            explain: explain(&self.flags, &request, test.caller.as_ref()),
            got,
            differences,
        });
    }

    /// Whether there is nothing to mend.
    pub(super) fn passed(&self) -> bool {
        !self.faulty && self.failed() == 0
    }

    fn failed(&self) -> usize {
        self.done.iter().filter(|done| !done.differences.is_empty()).count()
    }

    pub(super) fn to_text(&self) -> String {
        let mut text = String::new();
        let width = self.done.iter().map(|done| done.route.chars().count()).max().unwrap_or(0);
        for of_route in self.done.chunk_by(|a, b| a.route == b.route) {
            let failed: Vec<&Done> = of_route.iter().filter(|done| !done.differences.is_empty()).collect();
            let passed = of_route.len() - failed.len();
            let route = of_route.first().map_or("", |done| &*done.route);
            let verdict = match failed.len() {
                0 => format!("{passed} passed"),
                failed => format!("{passed} passed, {failed} FAILED"),
            };
            text.push_str(&format!("{route:width$}  {verdict}\n"));
            for done in failed {
                text.push_str(&format!("  {}: {}\n", done.at, done.name));
                done.differences.iter().for_each(|line| text.push_str(&format!("    {line}\n")));
                text.push_str(&format!("    why: {}\n", done.explain));
            }
        }
        text.push_str(&self.summary());
        text
    }

    fn summary(&self) -> String {
        let count = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
        let (all, failed) = (self.done.len(), self.failed());
        let untested = match self.untested.len() {
            0 => String::new(),
            untested => format!("; {} without", count(untested, "route")),
        };
        let took = format!("{:.1} ms", self.took.as_secs_f64() * 1_000.0);
        let (passed, tests) = (all - failed, count(all, "test"));
        format!("{}: {tests}, {passed} passed, {failed} failed in {took}{untested}\n", self.file)
    }

    pub(super) fn to_json(&self) -> Value {
        let failed = self.failed();
        json!({
            "ok": self.passed(),
            "file": &*self.file,
            "faulty": self.faulty,
            "passed": self.done.len() - failed,
            "failed": failed,
            "took_ms": self.took.as_secs_f64() * 1_000.0,
            "untested": self.untested.iter().map(|name| &**name).collect::<Vec<_>>(),
            "tests": self.done.iter().map(Done::to_json).collect::<Vec<_>>(),
        })
    }
}

impl Done {
    fn to_json(&self) -> Value {
        let Expected { status, reason, upstream, path, route } = &self.expected;
        json!({
            "route": &*self.route,
            "name": &*self.name,
            "at": self.at,
            "passed": self.differences.is_empty(),
            "differences": self.differences,
            "expected": {
                "route": route.as_deref().unwrap_or(&self.route),
                "status": status.map(|status| status.as_u16()),
                "reason": reason.map(|reason| reason.as_str()),
                "upstream": upstream.as_deref(),
                "path": path.as_deref(),
            },
            "got": {
                "route": self.got.route.as_deref(),
                "status": self.got.status,
                "reason": self.got.reason.map(|reason| reason.as_str()),
                "upstream": self.got.upstream.as_deref(),
                "path": self.got.path,
            },
            "explain": self.explain,
        })
    }
}

/// The command that shows the same decision.
fn explain(flags: &str, request: &Request, caller: Option<&Caller>) -> String {
    let url = format!("{}://{}{}", request.scheme(), request.url.authority, request.url.target);
    let mut words = vec![format!("sluice explain{flags}"), request.method.to_string(), quoted(&url)];
    for (name, value) in &request.headers {
        let is_secret = SECRET.contains(&name.as_str());
        let value = if is_secret { "…".to_owned() } else { String::from_utf8_lossy(value.as_bytes()).into_owned() };
        words.push(format!("-H {}", quoted(&format!("{name}: {value}"))));
    }
    if !request.client.is_loopback() {
        words.push(format!("--client {}", request.client));
    }
    if let Some(Caller { partner, subject, scopes, claims }) = caller {
        let subject = subject.as_ref().map(|subject| format!("/{subject}")).unwrap_or_default();
        let scopes: Vec<&str> = scopes.iter().map(AsRef::as_ref).collect();
        let scopes = if scopes.is_empty() { String::new() } else { format!(":{}", scopes.join(",")) };
        words.push(format!("--as {}", quoted(&format!("{}{subject}{scopes}", partner.as_deref().unwrap_or_default()))));
        for (name, value) in claims {
            // A slash at the front would begin a pointer.
            let name = if name.starts_with('/') {
                format!("/{}", name.replace('~', "~0").replace('/', "~1"))
            } else {
                name.clone()
            };
            words.push(format!("--claim {}", quoted(&format!("{name}={value}"))));
        }
    }
    words.join(" ")
}
