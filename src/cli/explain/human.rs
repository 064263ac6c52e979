//! An explained request for people.

use http::{HeaderName, HeaderValue};

use super::sheet::Sheet;
use super::{Explained, max_body, text, timeouts};
use crate::base::location::Location;
use crate::base::reason::Reason;
use crate::config::checked::{HeaderEdits, UpstreamProtocol};
use crate::pipeline::verdict::{Answer, Forward};
use crate::route;

/// What is said of a setting that the route does not write.
const BY_DEFAULT: &str = "(default)";

impl Explained<'_> {
    pub(super) fn to_text(&self) -> String {
        let mut sheet = Sheet::default();
        self.tell_request(&mut sheet);
        self.tell_routes(&mut sheet);
        self.tell_gate(&mut sheet);
        self.tell_anomaly(&mut sheet);
        if let Some(answer) = &self.decision.answer {
            self.tell_answer(answer, &mut sheet);
        }
        if let Some(plan) = self.decision.plan() {
            self.tell_forward(plan, &mut sheet);
        }
        self.tell_cache(&mut sheet);
        sheet.render()
    }

    fn tell_request(&self, sheet: &mut Sheet) {
        let (request, facts) = (&self.request, self.decision.facts());
        let sent = format!("{}://{}{}", request.scheme(), request.authority(), request.url.target);
        sheet.say("request", format!("{} {sent}", request.method));
        let sent_path = request.url.target.split('?').next().unwrap_or_default();
        if !facts.path.is_empty() && facts.path != sent_path {
            sheet.say("", format!("path in normal form: {}", facts.path));
        }
        if facts.client != request.client {
            sheet.say("", format!("client {}, by way of {}", facts.client, request.client));
        }
    }

    /// Beside a winner, routes for other paths would only distract.
    fn tell_routes(&self, sheet: &mut Sheet) {
        let routes = self.candidates.iter().filter_map(|(same_path, candidate)| {
            Some((*same_path, self.snapshot.routes.get(candidate.index)?, &candidate.verdict))
        });
        if self.decision.route().is_none() && !self.candidates.is_empty() {
            sheet.say("route", "none; nearest:");
        }
        for (same_path, route, verdict) in routes {
            match verdict {
                route::Verdict::Won => sheet.row("route", &*route.name, Some(&route.at)),
                route::Verdict::Lost(why) if same_path || self.decision.route().is_none() => {
                    sheet.row("  not", format!("{}: {why}", route.name), Some(&route.at));
                }
                route::Verdict::Lost(_) => {}
            }
        }
        for problem in self.errors() {
            // Problems of the file begin with their place.
            let place = problem.split_once(' ').filter(|(at, _)| at.starts_with(&*self.snapshot.file));
            let (place, problem) = place.map_or((None, &**problem), |(at, problem)| (Some(at), problem));
            sheet.row("  faulty", problem, place);
        }
    }

    fn tell_answer(&self, answer: &Answer, sheet: &mut Sheet) {
        let reason = answer.reason.map(|reason| format!(", {reason}")).unwrap_or_default();
        let keys: &[&str] = match answer.reason {
            None => &["redirect", "respond"],
            Some(Reason::BodyTooLarge) => &["max_body"],
            Some(_) => &[],
        };
        let place = keys.iter().find_map(|key| self.place(key));
        sheet.row("answer", format!("{}{reason}", answer.status), place);
        if let Some(detail) = self.detail(answer) {
            sheet.say("", detail);
        }
        // What to do about a request that no route matches stands above.
        if let Some(reason) = answer.reason.filter(|reason| *reason != Reason::RouteNotFound) {
            sheet.say("  next", reason.next_step());
        }
        let edited = self.action().map(|action| &action.written.response_headers).filter(|_| answer.reason.is_none());
        for (name, value) in &answer.fields {
            let place = edited.and_then(|edits| self.edit_place("response_headers", edits, name));
            sheet.row("", self.line(name, value), place);
        }
    }

    fn tell_forward(&self, plan: &Forward, sheet: &mut Sheet) {
        let written = |key: &str| Some(self.place(key).map_or_else(|| BY_DEFAULT.to_owned(), ToString::to_string));
        sheet.row("max_body", max_body(plan.max_body), written("max_body"));
        sheet.row("target", &*plan.target, self.place("rewrite"));
        match &plan.host {
            Some(host) => sheet.row("host", text(host), self.place("host")),
            None => sheet.row("host", format!("{}, as sent", self.request.authority()), self.place("host")),
        }
        let edits = self.action().map(|action| &action.written.request_headers);
        let place = |name: &HeaderName| edits.and_then(|edits| self.edit_place("request_headers", edits, name));
        for name in self.withheld(plan) {
            let removed = edits.filter(|edits| edits.remove.iter().any(|removed| removed.as_str() == name));
            sheet.row("  without", name, removed.and_then(|_| self.place("request_headers")));
        }
        for (name, value) in Self::added(plan) {
            sheet.row("  with", self.line(&name, &value), place(&name));
        }
        let cluster = &plan.upstream.cluster;
        sheet.row("upstream", &**cluster.name(), self.place("upstream"));
        let protocol = match (cluster.protocol(), cluster.tls().is_some()) {
            (UpstreamProtocol::Http1, false) => "HTTP/1.1",
            (UpstreamProtocol::Http1, true) => "HTTP/1.1 over TLS",
            (UpstreamProtocol::Http2, false) => "HTTP/2",
            (UpstreamProtocol::Http2, true) => "HTTP/2 over TLS",
            (UpstreamProtocol::Auto, _) => "HTTP/2 or HTTP/1.1 over TLS",
        };
        let endpoints = Self::endpoints(plan).join(", ");
        sheet.row(
            "",
            format!("{endpoints}, {protocol}"),
            self.routes.upstreams.get(cluster.name()).map(|upstream| &upstream.at),
        );
        let timeouts =
            timeouts(&plan.timeouts).map(|(key, value)| format!("{key} {}", value.as_str().unwrap_or_default()));
        sheet.row("timeouts", timeouts.join(", "), written("timeouts"));
        if let Some(action) = self.action() {
            let HeaderEdits { remove, set, add } = &action.written.response_headers;
            let place = || self.place("response_headers");
            remove.iter().for_each(|name| sheet.row("answer", format!("without {name}"), place()));
            set.iter()
                .for_each(|(name, value)| sheet.row("answer", format!("with {}", self.line(name, value)), place()));
            add.iter()
                .for_each(|(name, value)| sheet.row("answer", format!("and {}", self.line(name, value)), place()));
        }
    }

    fn line(&self, name: &HeaderName, value: &HeaderValue) -> String {
        format!("{name}: {}", self.value(name, value))
    }

    /// Where a field was set or added by the route.
    fn edit_place(&self, key: &str, edits: &HeaderEdits, name: &HeaderName) -> Option<&Location> {
        let written = edits.set.iter().chain(&edits.add).any(|(edited, _)| edited == name);
        written.then(|| self.place(key)).flatten()
    }
}
