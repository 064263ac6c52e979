//! The routes file, checked: what can be pinned on a route closes that route, everything else refuses the file.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;

use super::super::checked::identity::Identity;
use super::super::checked::{Route, RouteAction, Routes, Timeouts, Upstream};
use super::super::defaults;
use super::super::model::{At, Guarded, Named, routes as written};
use super::super::report::{Code, Diagnostic, Span};
use super::super::yaml::Reader;
use super::route::{self, Around, UpstreamState};
use super::{matching, upstream, version};
use crate::route::{RouteMatch, conflicts};

/// The label of requests that no route matched.
const UNROUTED: &str = "none";
/// The label of names beyond the limit of metrics.
const BEYOND: &str = "other";
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
    let (upstreams, states) = self::upstreams(written.upstreams.as_ref(), folder, reader);
    let around = Around { upstreams: &states, timeouts, max_body, engine: defaults.engine.as_ref() };
    let mut used = BTreeSet::new();
    let mut routes = Vec::new();
    let mut all_sound = written.routes.is_some();
    for (index, one) in written.routes.iter().flat_map(|list| &list.value.0).enumerate() {
        let route = self::route(index, one, &around, &mut used, reader);
        all_sound &= route.as_ref().is_some_and(|route| route.faults.is_empty());
        routes.extend(route);
    }
    unique_names(&mut routes, reader);
    ties(&mut routes, reader);
    // A mistake in a route may well be what hides the name of its upstream.
    if all_sound {
        unused(written.upstreams.as_ref(), &used, reader);
    }
    if reader.is_faulty() {
        return None;
    }
    let routes = routes.into_iter().map(Checked::finish).collect();
    Some(Routes {
        file: Arc::clone(file),
        version: digest.to_owned(),
        issuers: BTreeMap::new(),
        plans: BTreeMap::new(),
        partners: BTreeMap::new(),
        identity: Identity { partner: None, subject: None, scopes: None, token: None },
        upstreams,
        routes,
    })
}

fn unused(written: Option<&At<Named<Guarded<written::Upstream>>>>, used: &BTreeSet<&str>, reader: &mut Reader<'_>) {
    for (name, _) in written.iter().flat_map(|named| &named.value.0) {
        if !used.contains(&*name.value) {
            let message = format!("no route uses the upstream `{}`", name.value);
            reader.note(Diagnostic::new(Code::UnusedUpstream, name.span, message));
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

fn name_is_sound(name: &At<Box<str>>, reader: &mut Reader<'_>) {
    if let Err(message) = super::super::model::check_name(&name.value) {
        reader.note(Diagnostic::new(Code::Name, name.span, message));
    }
}

/// A name of a metric's own would mix two things in one series.
fn not_reserved(name: &str, span: Span, reserved: &[&str], reader: &mut Reader<'_>) {
    if reserved.contains(&name) {
        let mistake = Diagnostic::new(Code::ReservedName, span, format!("the name `{name}` is reserved"));
        reader.note(mistake.label("choose another name").note(match name {
            UNROUTED => "metrics use it for requests that no route matched",
            _ => "metrics use it for all names beyond their limit",
        }));
    }
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
    at: crate::base::location::Location,
}

impl Checked {
    fn finish(self) -> Route {
        let action = match self.action {
            Some(action) if self.faults.is_empty() => Ok(action),
            _ => Err(self.faults),
        };
        Route { name: self.name, matches: self.matches, action, tests: Vec::new(), at: self.at }
    }
}

/// `None` when it is not known which requests are meant: they must not fall through to a less specific route, so the
/// whole file is refused.
fn route<'a>(
    index: usize,
    written: &'a At<Guarded<written::Route>>,
    around: &Around<'_>,
    used: &mut BTreeSet<&'a str>,
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
    let pattern = match &matches {
        Ok(matches) | Err(matches) => matches.as_ref().map(|matches| &matches.path),
    };
    let name = route.name.as_ref();
    let (action, mistakes) = reader.guard(|reader| {
        if let Some(name) = name {
            not_reserved(&name.value.0, name.span, &RESERVED_ROUTES, reader);
        }
        route::check(route, pattern, around, used, reader)
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
