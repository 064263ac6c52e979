//! `sluice test`: what stands under `tests` of the routes, decided about by the gateway's own code, without a network and on
//! a clock of its own.

mod report;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;

use self::report::Results;
use super::offline::{self, Offline, Request, Url, as_caller};
use super::{Common, FOUND_ERRORS, Failure, Format, colours, print, print_json, read_routes, tell};
use crate::base::clock;
use crate::base::host_pattern::HostPattern;
use crate::base::reason::Reason;
use crate::config::checked::Route;
use crate::config::checked::expectation::{Expectation, Expected};
use crate::listener::request::Http1View;
use crate::listener::worker::Settings;
use crate::pipeline::{self, Decision, Given};
use crate::route::RouteMatch;
use crate::snapshot::{CompiledRoute, Snapshot};

#[derive(Args)]
pub(super) struct Test {
    /// Only tests whose route or name has this in it
    #[arg(value_name = "TEXT")]
    filter: Option<String>,
    /// Only the tests of this route; may be repeated
    #[arg(long = "route", value_name = "NAME")]
    of: Vec<String>,
}

impl Test {
    pub(super) fn carry_out(&self, common: &Common) -> Result<(), Failure> {
        let began = clock::now();
        let bootstrap = common.bootstrap(FOUND_ERRORS)?;
        let offline = Offline::new(read_routes(&bootstrap)?)?;
        self.judge(&offline)?;
        let settings = Settings::of(&bootstrap);
        let mut bench = Bench::new(&offline, &settings);
        let mut results = Results::new(&offline.routes().file, common.flags());
        for route in &offline.routes().routes {
            let chosen = route.tests.iter().filter(|test| self.wants(route, test));
            for test in chosen {
                results.add(route, test, bench.run(route, test)?);
            }
            if route.tests.is_empty() {
                results.untested.push(Arc::clone(&route.name));
            }
        }
        let report = &bench.snapshot.report;
        results.faulty = !report.is_ok();
        results.took = clock::now() - began;
        match common.format {
            Format::Json => print_json(&results.to_json())?,
            Format::Human => {
                if results.faulty {
                    tell(&report.render_text(colours()));
                }
                print(&results.to_text())?;
            }
        }
        if results.passed() { Ok(()) } else { Err(Failure::Told { code: FOUND_ERRORS }) }
    }

    /// A name that is no route's, or a filter that leaves nothing, would look like success.
    fn judge(&self, offline: &Offline) -> Result<(), Failure> {
        let routes = &offline.routes().routes;
        if let Some(name) = self.of.iter().find(|name| routes.iter().all(|route| *route.name != ***name)) {
            return Err(Failure::found(format!("--route {name}: {} has no such route", offline.routes().file)));
        }
        let is_any = routes.iter().any(|route| route.tests.iter().any(|test| self.wants(route, test)));
        let is_filtered = self.filter.is_some() || !self.of.is_empty();
        if is_filtered && !is_any {
            return Err(Failure::found(format!("no test of {} is chosen", offline.routes().file)));
        }
        Ok(())
    }

    fn wants(&self, route: &Route, test: &Expectation) -> bool {
        let named = self.of.is_empty() || self.of.iter().any(|name| **name == *route.name);
        named && self.filter.as_deref().is_none_or(|text| route.name.contains(text) || test.name.contains(text))
    }
}

/// Where tests are run, each as if it were the first.
struct Bench<'b> {
    offline: &'b Offline,
    settings: &'b Settings,
    snapshot: Arc<Snapshot>,
    /// Some limit is about requests that are on their way.
    is_held: bool,
    /// All tests are at this moment.
    moment: (Instant, Duration),
}

impl<'b> Bench<'b> {
    fn new(offline: &'b Offline, settings: &'b Settings) -> Self {
        // To come, so that what a refused request gets back does not depend on how long the test takes.
        let moment = (clock::now() + Duration::from_secs(86_400), clock::since_epoch());
        let routes = offline.routes();
        let of_routes =
            routes.routes.iter().filter_map(|route| route.action.as_ref().ok()).map(|action| &action.limits);
        let mut limits = of_routes.chain(routes.plans.values().map(|plan| &plan.limits));
        let is_held = limits.any(|limits| !limits.concurrencies.is_empty());
        Self { offline, settings, snapshot: Arc::new(offline.snapshot(None)), is_held, moment }
    }

    fn run(&mut self, route: &Route, test: &Expectation) -> Result<Outcome, Failure> {
        let request = request(route, test)?;
        let own = self.snapshot.routes.iter().find(|compiled| compiled.name == route.name);
        let caller = test.caller.as_ref().map(|who| as_caller(who, own, &self.snapshot));
        // No keys are fetched, so nothing is waited for.
        let given = Given { caller, moment: Some(self.moment), waited: true };
        let mut last = self.decide(&request, &given)?;
        // What earlier ones hold stays theirs until the last is decided.
        let mut held = Vec::new();
        for _ in 1..test.repeat {
            let before = std::mem::replace(&mut last, self.decide(&request, &given)?);
            held.extend(Some(before).filter(|decision| self.is_held && decision.answer.is_none()));
        }
        let got = Got::of(&last, &self.snapshot);
        let is_limited = is_limited(&last, &self.snapshot);
        drop((held, last));
        if is_limited {
            self.snapshot = Arc::new(self.offline.snapshot(Some(&self.snapshot)));
        }
        let differences = differences(&test.expected, &route.name, &got);
        Ok(Outcome { got, differences, request })
    }

    fn decide(&self, request: &Request, given: &Given) -> Result<Decision, Failure> {
        let connection = offline::connection(request);
        let (snapshot, settings) = (Arc::clone(&self.snapshot), self.settings);
        offline::read(request, settings, |read| match read {
            Ok(view) => pipeline::decide(snapshot, &connection, view, settings, given),
            Err(rejection) => pipeline::refuse(snapshot, &connection, None::<&Http1View<'_, '_>>, rejection, settings),
        })
    }
}

/// Whether limits may have been charged.
fn is_limited(decision: &Decision, snapshot: &Snapshot) -> bool {
    let route = decision.route().and_then(|index| snapshot.action(index));
    let partner = decision.facts().caller.as_ref().and_then(|caller| caller.partner.as_ref());
    route.is_some_and(|action| !action.guard.limits.is_empty()) || partner.is_some_and(|known| !known.limits.is_empty())
}

/// What a test came to.
struct Outcome {
    got: Got,
    /// Empty when it is as expected.
    differences: Vec<String>,
    request: Request,
}

/// What became of a request.
#[derive(Default)]
struct Got {
    route: Option<Arc<str>>,
    status: Option<u16>,
    reason: Option<Reason>,
    upstream: Option<Arc<str>>,
    path: Option<String>,
}

impl Got {
    fn of(decision: &Decision, snapshot: &Snapshot) -> Self {
        let route = decision.route().and_then(|index| snapshot.routes.get(index));
        let answer = decision.answer.as_ref();
        let plan = decision.plan().filter(|_| answer.is_none());
        Self {
            route: route.map(|route: &CompiledRoute| Arc::clone(&route.name)),
            status: answer.map(|answer| answer.status.as_u16()),
            reason: answer.and_then(|answer| answer.reason),
            upstream: plan.map(|plan| Arc::clone(plan.upstream.cluster.name())),
            path: plan.map(|plan| plan.target.clone()),
        }
    }

    /// In few words.
    fn outcome(&self) -> String {
        match (self.status, self.reason, &self.upstream) {
            (Some(status), Some(reason), _) => format!("{status} {reason}"),
            (Some(status), None, _) => format!("{status}"),
            (None, _, Some(upstream)) => format!("forwarded to `{upstream}`"),
            (None, _, None) => "nothing decided".to_owned(),
        }
    }
}

fn differences(expected: &Expected, own: &str, got: &Got) -> Vec<String> {
    let mut found = Vec::new();
    let mut differ = |what: &str, expected: &str, got: String| {
        found.push(format!("expected {what}{expected}, got {got}"));
    };
    let route = expected.route.as_deref().unwrap_or(own);
    // Whoever expects a refusal such as ROUTE_NOT_FOUND expects no route.
    let says_refused = expected.route.is_none() && (expected.status.is_some() || expected.reason.is_some());
    if got.route.as_deref() != Some(route) && !(got.route.is_none() && says_refused) {
        let taken = got.route.as_ref().map_or_else(|| "no route".to_owned(), |taken| format!("route `{taken}`"));
        differ("route ", &format!("`{route}`"), taken);
    }
    if let Some(status) = expected.status.filter(|status| Some(status.as_u16()) != got.status) {
        differ("status ", status.as_str(), got.outcome());
    }
    if let Some(reason) = expected.reason.filter(|reason| Some(*reason) != got.reason) {
        differ("reason ", reason.as_str(), got.outcome());
    }
    if let Some(upstream) = expected.upstream.as_ref().filter(|upstream| Some(*upstream) != got.upstream.as_ref()) {
        differ("", &format!("to be forwarded to `{upstream}`"), got.outcome());
    }
    if let Some(path) = expected.path.as_deref().filter(|path| Some(*path) != got.path.as_deref()) {
        differ("path ", path, got.path.clone().unwrap_or_else(|| got.outcome()));
    }
    found
}

/// The request as it would arrive. A path alone is asked of a host that the route takes.
fn request(route: &Route, test: &Expectation) -> Result<Request, Failure> {
    let mut url = Url::parse(&test.url).map_err(|error| Failure::found(format!("{}: {error}", test.at)))?;
    if test.url.starts_with('/') {
        url.authority = host(&route.matches);
    }
    Ok(Request {
        method: test.method.clone(),
        url,
        headers: test.headers.clone(),
        body: 0,
        client: test.client.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)),
    })
}

fn host(matches: &RouteMatch) -> String {
    match matches.hosts.first() {
        Some(HostPattern::Exact(name)) => name.to_string(),
        Some(HostPattern::Wildcard(suffix)) => format!("test.{suffix}"),
        Some(HostPattern::Any) | None => "localhost".to_owned(),
    }
}

#[cfg(test)]
mod tests;
