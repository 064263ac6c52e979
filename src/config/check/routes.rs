//! The routes file, checked: what can be pinned on a route closes that route, everything else refuses the file.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;

use super::super::checked::expectation::Expectation;
use super::super::checked::{Route, RouteAction, Routes, Timeouts, Upstream};
use super::super::defaults;
use super::super::model::{At, Guarded, Named, routes as written};
use super::super::report::{Code, Diagnostic, Span};
use super::super::yaml::Reader;
use super::callers::{self, Callers};
use super::expectation::{self, Names};
use super::partner::limit_named_twice;
use super::route::Used;
use super::route::{self, Around, UpstreamState};
use super::{BEYOND, anomaly, matching, name_is_sound, not_reserved, upstream, version};
use crate::route::{RouteMatch, conflicts};

/// The label of requests that no route matched.
const UNROUTED: &str = "none";
/// Names that metrics give a meaning of their own.
const RESERVED_ROUTES: [&str; 2] = [UNROUTED, BEYOND];
const RESERVED_UPSTREAMS: [&str; 1] = [BEYOND];

/// Checks what was read. `None` when the file is refused; then the reader is faulty.
pub(in crate::config) fn check(
    file: &Arc<str>,
    folder: &Path,
    digest: &str,
    written: &written::RoutesFile,
    reader: &mut Reader<'_>,
) -> Option<Routes> {
    version(written.version.as_ref(), reader)?;
    let defaults = written.defaults.as_ref().map(|defaults| defaults.value.clone()).unwrap_or_default();
    let factory =
        Timeouts { connect: defaults::CONNECT, first_byte: defaults::FIRST_BYTE, idle: defaults::IDLE, total: None };
    let timeouts = route::timeouts(defaults.timeouts.as_ref().map(|timeouts| &timeouts.value), &factory, reader);
    let max_body = defaults.max_body.as_ref().map_or(Some(defaults::MAX_BODY), |limit| route::max_body(&limit.value));
    anomaly::defaults(defaults.anomaly.as_ref(), reader);
    let settings = anomaly::settings(written.anomaly.as_ref(), reader);
    let (upstreams, states) = self::upstreams(written.upstreams.as_ref(), folder, reader);
    let callers = callers::check(written, folder, reader);
    let around = Around {
        upstreams: &states,
        callers: &callers,
        timeouts,
        max_body,
        engine: defaults.engine.as_ref(),
        limit_fields: defaults.rate_limit_fields.as_ref(),
        anomaly: defaults.anomaly.as_ref(),
    };
    let mut used = Used::default();
    let mut routes = Vec::new();
    let mut all_sound = written.routes.is_some();
    for (index, one) in written.routes.iter().flat_map(|list| &list.value.0).enumerate() {
        let route = self::route(index, one, &around, &mut used, reader);
        all_sound &= route.as_ref().is_some_and(|route| route.faults.is_empty());
        routes.extend(route);
    }
    unique_names(&mut routes, reader);
    unique_limits(&mut routes, &callers, reader);
    ties(&mut routes, reader);
    tests(written, &mut routes, &callers, &states, reader);
    // A mistake in a route may well be what hides the name of its upstream.
    if all_sound {
        unused(written, &used, reader);
    }
    if written.partners.is_some() && callers.faults.is_empty() {
        unused_plans(written, &callers, reader);
    }
    if reader.is_faulty() {
        return None;
    }
    let routes = routes.into_iter().map(Checked::finish).collect();
    Some(Routes {
        file: Arc::clone(file),
        version: digest.to_owned(),
        issuers: callers.sound_issuers,
        plans: callers.plans,
        partners: callers.partners,
        identity: callers.identity,
        anomaly: settings,
        upstreams,
        routes,
    })
}

fn unused(written: &written::RoutesFile, used: &Used<'_>, reader: &mut Reader<'_>) {
    for (name, _) in written.upstreams.iter().flat_map(|named| &named.value.0) {
        if !used.upstreams.contains(&*name.value) {
            let message = format!("no route uses the upstream `{}`", name.value);
            reader.note(Diagnostic::new(Code::UnusedUpstream, name.span, message));
        }
    }
    for (name, _) in written.issuers.iter().flat_map(|named| &named.value.0) {
        if !used.issuers.contains(&*name.value) {
            let message = format!("no route uses the issuer `{}`", name.value);
            reader.note(Diagnostic::new(Code::UnusedIssuer, name.span, message));
        }
    }
}

fn unused_plans(written: &written::RoutesFile, callers: &Callers<'_>, reader: &mut Reader<'_>) {
    let used: BTreeSet<&str> = callers.partners.values().filter_map(|partner| partner.plan.as_deref()).collect();
    for (name, _) in written.plans.iter().flat_map(|named| &named.value.0) {
        if !used.contains(&*name.value) {
            let message = format!("no partner is on the plan `{}`", name.value);
            reader.note(Diagnostic::new(Code::UnusedPlan, name.span, message));
        }
    }
}

type States<'a> = HashMap<&'a str, UpstreamState>;

fn upstreams<'a>(
    written: Option<&'a At<Named<Guarded<written::Upstream>>>>,
    folder: &Path,
    reader: &mut Reader<'_>,
) -> (BTreeMap<Arc<str>, Upstream>, States<'a>) {
    let mut sound = BTreeMap::new();
    let mut states = States::new();
    for (name, guarded) in written.iter().flat_map(|named| &named.value.0) {
        let (checked, mut faults) = reader.guard(|reader| {
            name_is_sound(name, reader);
            not_reserved(&name.value, name.span, &RESERVED_UPSTREAMS, reader);
            guarded.value.value.as_ref().and_then(|written| upstream::check(name, written, folder, reader))
        });
        faults.extend_from_slice(&guarded.value.faults);
        if let (Some(upstream), true) = (checked, faults.is_empty()) {
            sound.insert(Arc::clone(&upstream.name), upstream);
        }
        let protocol = guarded.value.value.as_ref().and_then(|written| written.protocol.as_ref());
        let http2 = protocol.filter(|protocol| protocol.value == written::Protocol::Http2).map(|at| at.span);
        states.insert(&name.value, UpstreamState { faults, http2 });
    }
    (sound, states)
}

/// A route on its way: what is wrong with it is still being gathered.
struct Checked {
    name: Arc<str>,
    name_span: Option<Span>,
    span: Span,
    matches: RouteMatch,
    match_span: Span,
    action: Option<RouteAction>,
    faults: Vec<String>,
    /// The names of its limits.
    limits: Vec<(Arc<str>, Span)>,
    tests: Vec<Expectation>,
    /// Its place in the file's list.
    index: usize,
    at: crate::base::location::Location,
}

impl Checked {
    fn finish(self) -> Route {
        let action = match self.action {
            Some(action) if self.faults.is_empty() => Ok(action),
            _ => Err(self.faults),
        };
        Route { name: self.name, matches: self.matches, action, tests: self.tests, at: self.at }
    }
}

/// `None` when it is not known which requests are meant: they must not fall through to a less specific route, so the
/// whole file is refused.
fn route<'a>(
    index: usize,
    written: &'a At<Guarded<written::Route>>,
    around: &Around<'_>,
    used: &mut Used<'a>,
    reader: &mut Reader<'_>,
) -> Option<Checked> {
    let mut faults = written.value.faults.clone();
    let Some(route) = &written.value.value else {
        reader.escalate(&faults);
        return None;
    };
    let matches = match &route.r#match {
        Some(At { value: Guarded { value: Some(matching), faults }, .. }) => {
            let (checked, mistakes) = reader.guard(|reader| matching::check(matching, reader));
            let sound = faults.is_empty() && mistakes.is_empty();
            reader.escalate(faults);
            reader.escalate(&mistakes);
            if sound { Ok(checked) } else { Err(checked) }
        }
        Some(At { value: Guarded { value: None, faults }, .. }) => {
            reader.escalate(faults);
            Err(None)
        }
        None => {
            reader.escalate(&faults);
            Err(None)
        }
    };
    let asked = match &matches {
        Ok(matches) | Err(matches) => matches.as_ref(),
    };
    let name = route.name.as_ref();
    let (action, mistakes) = reader.guard(|reader| {
        if let Some(name) = name {
            not_reserved(&name.value.0, name.span, &RESERVED_ROUTES, reader);
        }
        route::check(route, asked, around, used, reader)
    });
    faults.extend(mistakes);
    Some(Checked {
        name: name.map_or_else(|| Arc::from(format!("routes[{index}]")), |name| Arc::from(&*name.value.0)),
        name_span: name.map(|name| name.span),
        span: written.span,
        matches: matches.ok().flatten()?,
        match_span: route.keys.place("match").unwrap_or(written.span),
        action,
        faults,
        limits: std::mem::take(&mut used.limits),
        tests: Vec::new(),
        index,
        at: reader.location(written.span),
    })
}

fn unique_names(routes: &mut [Checked], reader: &mut Reader<'_>) {
    let mut seen: HashMap<Arc<str>, usize> = HashMap::new();
    for index in 0..routes.len() {
        let Some(route) = routes.get(index) else { continue };
        let Some(&first) = seen.get(&route.name) else {
            seen.insert(Arc::clone(&route.name), index);
            continue;
        };
        let first_span = routes.get(first).and_then(|first| first.name_span).unwrap_or_default();
        let message = format!("two routes have the name `{}`", route.name);
        let mistake = Diagnostic::new(Code::RouteName, route.name_span.unwrap_or(route.span), message);
        blame(routes, [first, index], mistake.label("again here").also(first_span, "first here"), reader);
    }
}

/// Metrics, logs and answers tell limits by their names. A route gives way to a plan: plans are everybody's.
fn unique_limits(routes: &mut [Checked], callers: &Callers<'_>, reader: &mut Reader<'_>) {
    let of_plans = callers.limit_names.iter().map(|(name, span)| (name, None, *span));
    let of_routes = routes.iter().enumerate();
    let of_routes =
        of_routes.flat_map(|(index, route)| route.limits.iter().map(move |(name, span)| (name, Some(index), *span)));
    let mut seen: HashMap<Arc<str>, (Option<usize>, Span)> = HashMap::new();
    let mut clashes = Vec::new();
    for (name, owner, span) in of_plans.chain(of_routes) {
        let Some(owner) = owner else {
            seen.insert(Arc::clone(name), (None, span));
            continue;
        };
        match seen.get(name) {
            Some((first, place)) => {
                clashes.push(([first.unwrap_or(owner), owner], limit_named_twice(name, span, *place)));
            }
            None => {
                seen.insert(Arc::clone(name), (Some(owner), span));
            }
        }
    }
    for (both, mistake) in clashes {
        // Routes of one name have limits of one name, too, which has been told.
        let [first, second] = both.map(|index| routes.get(index).map(|route| &route.name));
        if both[0] != both[1] && first == second {
            continue;
        }
        blame(routes, both, mistake, reader);
    }
}

/// Mistakes in tests are told, and close nothing: no request depends on them.
fn tests(
    written: &written::RoutesFile,
    routes: &mut [Checked],
    callers: &Callers<'_>,
    upstreams: &States<'_>,
    reader: &mut Reader<'_>,
) {
    let names: Vec<Arc<str>> = routes.iter().map(|route| Arc::clone(&route.name)).collect();
    let names = Names {
        routes: names.iter().map(|name| &**name).collect(),
        upstreams: upstreams.keys().copied().collect(),
        callers,
    };
    let list = written.routes.as_ref().map(|list| &list.value.0);
    for checked in routes {
        let route = list.and_then(|list| list.get(checked.index)).and_then(|route| route.value.value.as_ref());
        let tests = route.and_then(|route| route.tests.as_ref());
        let Some(tests) =
            tests.and_then(|tests| Some(At { value: tests.value.value.clone()?, span: tests.span, node: tests.node }))
        else {
            continue;
        };
        checked.tests = expectation::check(&tests, &names, reader);
    }
}

fn ties(routes: &mut [Checked], reader: &mut Reader<'_>) {
    let rules: Vec<&RouteMatch> = routes.iter().map(|route| &route.matches).collect();
    for conflict in conflicts(&rules) {
        let (Some(first), Some(second)) = (routes.get(conflict.first), routes.get(conflict.second)) else { continue };
        let message = format!(
            "routes `{}` and `{}` match the same requests, and neither is more specific",
            first.name, second.name
        );
        let mistake = Diagnostic::new(Code::Tie, second.match_span, message)
            .label(format!("`{}`", second.name))
            .also(first.match_span, format!("`{}`", first.name))
            .note(format!("for example: {}", conflict.example))
            .help("make one more specific: a longer path, a method, a header or query condition more");
        blame(routes, [conflict.first, conflict.second], mistake, reader);
    }
}

/// Notes a finding that closes two routes.
fn blame(routes: &mut [Checked], both: [usize; 2], mistake: Diagnostic, reader: &mut Reader<'_>) {
    let fault = reader.fault(&mistake);
    for index in both {
        if let Some(route) = routes.get_mut(index)
            && !route.faults.contains(&fault)
        {
            route.faults.push(fault.clone());
        }
    }
    reader.guard(|reader| reader.note(mistake));
}
