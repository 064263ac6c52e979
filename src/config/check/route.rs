//! What one route does.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use http::{HeaderValue, StatusCode};

use super::super::checked::identity::Auth;
use super::super::checked::limits::LimitFields;
use super::super::checked::{Engine, HostRewrite, Rewrite, RouteAction, RouteTarget, Timeouts};
use super::super::defaults;
use super::super::model::anomaly::RouteAnomaly;
use super::super::model::{At, Count, OrOff, Text, limits as written_limits, routes as written};
use super::super::report::{Code, Diagnostic, Span};
use super::super::yaml::{Reader, did_you_mean, list_of};
use super::callers::Callers;
use super::headers::{self, Side};
use super::template::{self, Makes};
use super::{access, anomaly, cache, limits, positive, time};
use crate::base::{byte_size, host_pattern};
use crate::route::{PathPattern, RouteMatch, Segment};

/// A fixed answer stays in memory for every request; files belong to a service.
const MAX_FIXED_BODY: usize = 64 << 10;
/// What only forwarding uses.
const FORWARD_ONLY: [&str; 7] = ["rewrite", "host", "request_headers", "timeouts", "engine", "cache", "invalidates"];
const ACTIONS: [&str; 3] = ["upstream", "redirect", "respond"];

/// What is known of the rest of the file.
pub(super) struct Around<'a> {
    /// Every upstream that was written.
    pub(super) upstreams: &'a HashMap<&'a str, UpstreamState>,
    pub(super) callers: &'a Callers<'a>,
    pub(super) timeouts: Timeouts,
    pub(super) max_body: Option<u64>,
    pub(super) engine: Option<&'a At<written::Engine>>,
    pub(super) limit_fields: Option<&'a At<written_limits::LimitFields>>,
    pub(super) anomaly: Option<&'a At<OrOff<Box<RouteAnomaly>>>>,
}

/// What routes have named.
#[derive(Default)]
pub(super) struct Used<'a> {
    pub(super) upstreams: BTreeSet<&'a str>,
    pub(super) issuers: BTreeSet<&'a str>,
    /// The limits of the route that was checked last.
    pub(super) limits: Vec<(Arc<str>, Span)>,
}

/// What a route has to know of an upstream.
pub(super) struct UpstreamState {
    /// What is wrong with it.
    pub(super) faults: Vec<String>,
    /// Where it says that it speaks HTTP/2 and nothing else.
    pub(super) http2: Option<Span>,
}

/// Names for what is wrong with an upstream are given to each route that uses it, up to so many.
const INHERITED: usize = 3;

/// Checks one route; only to be used when no error was noted. `used` gathers what is named.
pub(super) fn check<'a>(
    written: &'a written::Route,
    matches: Option<&RouteMatch>,
    around: &Around<'_>,
    used: &mut Used<'a>,
    reader: &mut Reader<'_>,
) -> Option<RouteAction> {
    let pattern = matches.map(|matches| &matches.path);
    used.upstreams.extend(written.upstream.as_ref().map(|upstream| &*upstream.value.0));
    let auth = access::check(written, around.callers, &mut used.issuers, reader);
    let action = action(written, reader);
    let target = match action {
        Some("upstream") => forward(written, pattern, around, reader),
        Some("redirect") => written.redirect.as_ref().and_then(|to| redirect(&to.value, pattern, reader)),
        Some(_) => written.respond.as_ref().and_then(|with| respond(&with.value, reader)),
        None => None,
    };
    if let Some(action) = action.filter(|action| *action != "upstream") {
        no_effect(written, action, reader);
    }
    let request_headers = headers::edits(written.request_headers.as_ref(), Side::Request, reader);
    let response_headers = headers::edits(written.response_headers.as_ref(), Side::Response, reader);
    for (name, place) in headers::written(written.request_headers.as_ref()) {
        around.callers.not_identity(&name, place, reader);
    }
    let limits = limits(written, auth.as_ref(), reader);
    let plans = auth.as_ref().filter(|auth| matches!(auth, Auth::Required(_))).map(|_| &around.callers.rooms[..]);
    let cost = limits::cost(written, limits.rooms.iter().chain(plans.unwrap_or_default()), reader);
    used.limits = limits.names;
    let addresses = written.addresses.as_ref().map(|addresses| access::addresses(&addresses.value, reader));
    let of = cache::Of { route: written, matches, auth: auth.as_ref(), callers: around.callers };
    let (cache, invalidates) = (cache::check(&of, reader), cache::invalidates(&of, reader));
    let of = anomaly::Of { route: written, otherwise: around.anomaly, auth: auth.as_ref(), callers: around.callers };
    let anomaly = anomaly::check(&of, reader);
    let timeouts = timeouts(written.timeouts.as_ref().map(|timeouts| &*timeouts.value), &around.timeouts, reader);
    let places = written.keys.written.iter().map(|(key, span)| (*key, reader.location(*span)));
    let places: BTreeMap<_, _> = places.collect();
    Some(RouteAction {
        addresses,
        limits: limits.limits,
        limit_fields: limit_fields(written, around),
        cost,
        target: target?,
        auth: auth?,
        request_headers,
        response_headers,
        timeouts,
        max_body: written.max_body.as_ref().map_or(around.max_body, |limit| max_body(&limit.value)),
        allow_encoded_slash: written.allow_encoded_slash.as_ref().is_some_and(|allow| allow.value.0),
        engine: engine(written, around, reader),
        anomaly,
        cache,
        invalidates,
        places,
    })
}

pub(super) fn max_body(written: &OrOff<super::super::model::Size>) -> Option<u64> {
    written.clone().on().map(|size| size.0)
}

/// The limits of the route. Such as tell callers apart need callers that are known.
fn limits(written: &written::Route, auth: Option<&Auth>, reader: &mut Reader<'_>) -> limits::Checked {
    let checked = limits::of_route(written, reader);
    if let (Some(Auth::None), Some(place)) = (auth, checked.asks_callers) {
        let mut mistake = Diagnostic::new(Code::UnknownCallers, place, "this route asks nobody who they are")
            .label("so this tells callers apart by address at best");
        if let Some(auth) = written.keys.place("auth") {
            mistake = mistake.also(auth, "nobody is asked here");
        }
        reader.note(mistake.help("write `per: address`, or ask callers for a credential"));
    }
    checked
}

fn limit_fields(written: &written::Route, around: &Around<'_>) -> LimitFields {
    match written.rate_limit_fields.as_ref().or(around.limit_fields).map(|fields| fields.value) {
        Some(written_limits::LimitFields::Off) => LimitFields::Off,
        Some(written_limits::LimitFields::Both) => LimitFields::Both,
        Some(written_limits::LimitFields::Standard) | None => LimitFields::Standard,
    }
}

fn action(written: &written::Route, reader: &mut Reader<'_>) -> Option<&'static str> {
    let mut found = ACTIONS.iter().filter_map(|key| Some((*key, written.keys.place(key)?)));
    let Some((action, first)) = found.next() else {
        if ACTIONS.iter().any(|key| written.keys.is_meant(key)) {
            return None;
        }
        let message = format!("a route needs one of {}", list_of(ACTIONS));
        reader.note(Diagnostic::new(Code::NoAction, written.keys.mapping, message).label("this route does nothing"));
        return None;
    };
    if let Some((other, second)) = found.next() {
        let message = format!("a route does one thing, and this one has `{action}` and `{other}`");
        reader.note(Diagnostic::new(Code::ManyActions, second, message).also(first, "the other one"));
        return None;
    }
    Some(action)
}

fn no_effect(written: &written::Route, action: &str, reader: &mut Reader<'_>) {
    for key in FORWARD_ONLY {
        if let Some(span) = written.keys.place(key) {
            let mut mistake =
                Diagnostic::new(Code::NoEffect, span, format!("`{key}` has no effect without `upstream`"));
            if let Some(place) = written.keys.place(action) {
                mistake = mistake.also(place, "this route answers by itself");
            }
            reader.note(mistake);
        }
    }
}

fn forward(
    written: &written::Route,
    pattern: Option<&PathPattern>,
    around: &Around<'_>,
    reader: &mut Reader<'_>,
) -> Option<RouteTarget> {
    let upstream = written.upstream.as_ref().and_then(|name| upstream(name, around, reader));
    let rewrite = written.rewrite.as_ref().map(|rewrite| self::rewrite(rewrite, pattern, reader));
    let host = written.host.as_ref().map_or(Some(HostRewrite::Keep), |host| self::host(host, reader));
    let rewrite = match rewrite {
        Some(rewrite) => Some(rewrite?),
        None => None,
    };
    Some(RouteTarget::Forward { upstream: upstream?, rewrite, host: host? })
}

fn upstream(written: &At<Text>, around: &Around<'_>, reader: &mut Reader<'_>) -> Option<Arc<str>> {
    let name = &*written.value.0;
    if let Some(UpstreamState { faults, .. }) = around.upstreams.get(name) {
        reader.escalate(faults.get(..INHERITED).unwrap_or(faults));
        return Some(Arc::from(name));
    }
    let mut mistake = Diagnostic::new(Code::UnknownUpstream, written.span, format!("there is no upstream `{name}`"));
    if let Some(meant) = reader.suggest(name, around.upstreams.keys().copied()) {
        mistake = mistake.label(format!("did you mean `{meant}`?"));
    } else if around.upstreams.is_empty() {
        mistake = mistake.help("write it under `upstreams` at the top of the file");
    }
    reader.note(mistake);
    None
}

/// Who forwards. Asking for the forwarder of our own where only Pingora can is a mistake, never silently Pingora.
fn engine(written: &written::Route, around: &Around<'_>, reader: &mut Reader<'_>) -> Engine {
    let Some(engine) = written.engine.as_ref().or(around.engine) else { return Engine::Auto };
    match engine.value {
        written::Engine::Auto => Engine::Auto,
        written::Engine::Pingora => Engine::Pingora,
        written::Engine::Direct => {
            let upstream = written.upstream.as_ref();
            let http2 = upstream.and_then(|name| Some((name, around.upstreams.get(&*name.value.0)?.http2?)));
            if let Some((name, protocol)) = http2 {
                let message =
                    format!("`engine: direct` speaks HTTP/1.1, and the upstream `{}` HTTP/2 only", name.value.0);
                let mistake = match &written.engine {
                    Some(here) => Diagnostic::new(Code::EngineProtocol, here.span, message),
                    None => Diagnostic::new(Code::EngineProtocol, name.span, message)
                        .label("this route is forwarded as `defaults` say")
                        .also(engine.span, "asked for here"),
                };
                reader.note(mistake.also(protocol, "the upstream").help("write `engine: auto` in this route"));
            }
            Engine::Direct
        }
    }
}

fn rewrite(
    written: &At<Box<written::Rewrite>>,
    pattern: Option<&PathPattern>,
    reader: &mut Reader<'_>,
) -> Option<Rewrite> {
    let keys = &written.value.keys;
    match (keys.place("strip_prefix"), keys.place("path")) {
        (Some(first), Some(second)) => {
            let message = "`rewrite` does one thing, and this one has `strip_prefix` and `path`";
            reader.note(Diagnostic::new(Code::ManyActions, second, message).also(first, "the other one"));
            None
        }
        (Some(_), None) => {
            let prefix = written.value.strip_prefix.as_ref()?;
            strip_prefix(prefix, pattern, reader).map(Rewrite::StripPrefix)
        }
        (None, Some(_)) => {
            let path = written.value.path.as_ref()?;
            template::check(path, Makes::Path, pattern, reader).map(Rewrite::Path)
        }
        (None, None) if keys.is_meant("strip_prefix") || keys.is_meant("path") => None,
        (None, None) => {
            let message = "`rewrite` needs `strip_prefix` or `path`";
            reader.note(Diagnostic::new(Code::MissingKey, written.span, message));
            None
        }
    }
}

fn strip_prefix(written: &At<Text>, pattern: Option<&PathPattern>, reader: &mut Reader<'_>) -> Option<Arc<str>> {
    let text = &*written.value.0;
    let mistake = |message: String| Diagnostic::new(Code::StripPrefix, written.span, message);
    let prefix = match PathPattern::parse(text) {
        Ok(prefix) => prefix,
        Err(message) => {
            reader.note(mistake(message));
            return None;
        }
    };
    if text.ends_with('/') {
        let short = text.trim_end_matches('/');
        let problem = mistake(format!("`{text}` ends with a slash, which stays with the path"));
        reader.note(if short.is_empty() { problem } else { problem.label(format!("write `{short}`")) });
        return None;
    }
    if prefix.param_names().next().is_some() {
        reader.note(mistake(format!("`{text}` has a parameter; write `path` to make a path anew")));
        return None;
    }
    if let Some(pattern) = pattern
        && !pattern.segments.starts_with(&prefix.segments)
    {
        let meant = pattern.segments.iter().take_while(|segment| matches!(segment, Segment::Literal(_)));
        let meant: String = meant.map(|segment| format!("/{segment}")).collect();
        let mut problem = mistake(format!("the path `{pattern}` does not begin with `{text}`"));
        if let Some(meant) = did_you_mean(text, [meant.trim_end_matches('/')]) {
            problem = problem.label(format!("did you mean `{meant}`?"));
        }
        reader.note(problem);
        return None;
    }
    Some(Arc::from(prefix.to_string()))
}

fn host(written: &At<Text>, reader: &mut Reader<'_>) -> Option<HostRewrite> {
    let text = &*written.value.0;
    if text == "keep" {
        return Some(HostRewrite::Keep);
    }
    let (name, port) = match text.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
        _ => (text, None),
    };
    let port_is_sound = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
    // A single label one slip away from the keyword is the keyword.
    let slip = did_you_mean(text, ["keep"]).is_some();
    let value = host_pattern::normalise(name).filter(|_| port_is_sound && !slip);
    let value = value.map(|name| port.map_or(name.clone(), |port| format!("{name}:{port}")));
    let value = value.and_then(|value| HeaderValue::try_from(value).ok());
    if value.is_none() {
        let mut mistake = Diagnostic::new(Code::HostPattern, written.span, format!("`{text}` is not a host"));
        if slip {
            mistake = mistake.label("did you mean `keep`?");
        }
        reader.note(mistake.help("write `keep`, or a host such as `orders.internal` or `orders.internal:8080`"));
    }
    value.map(HostRewrite::Set)
}

fn status(
    written: Option<&At<Count>>,
    default: u64,
    allowed: impl Fn(u64) -> bool,
    expected: &str,
    reader: &mut Reader<'_>,
) -> Option<StatusCode> {
    let code = written.map_or(default, |status| status.value.0);
    let parsed = u16::try_from(code).ok().and_then(|code| StatusCode::from_u16(code).ok()).filter(|_| allowed(code));
    if let (None, Some(written)) = (parsed, written) {
        reader.note(
            Diagnostic::new(Code::Status, written.span, format!("status {code} cannot be used here")).label(expected),
        );
    }
    parsed
}

fn redirect(
    written: &written::Redirect,
    pattern: Option<&PathPattern>,
    reader: &mut Reader<'_>,
) -> Option<RouteTarget> {
    let allowed = |code| matches!(code, 301 | 302 | 303 | 307 | 308);
    let expected = "a redirect is 301, 302, 303, 307 or 308";
    let status = status(written.status.as_ref(), defaults::REDIRECT_STATUS, allowed, expected, reader);
    let location = written.location.as_ref();
    let location = location.and_then(|location| template::check(location, Makes::Location, pattern, reader));
    Some(RouteTarget::Redirect { status: status?, location: location? })
}

fn respond(written: &written::Respond, reader: &mut Reader<'_>) -> Option<RouteTarget> {
    let allowed = |code| (200..=599).contains(&code);
    let status = status(written.status.as_ref(), defaults::RESPOND_STATUS, allowed, "from 200 to 599", reader);
    let content_type = match &written.content_type {
        None => Some(HeaderValue::from_static(defaults::CONTENT_TYPE)),
        Some(media_type) => headers::value(&media_type.value.0, media_type.span, reader),
    };
    let (body, span) = written.body.as_ref().map_or(("", Span::default()), |body| (&body.value.0, body.span));
    if body.len() > MAX_FIXED_BODY {
        let size = byte_size::format(MAX_FIXED_BODY as u64);
        let message = format!("a fixed body has at most {size}; this one has {} bytes", body.len());
        reader.note(
            Diagnostic::new(Code::BodyTooLarge, span, message).help("serve it from a service behind the gateway"),
        );
    }
    let status = status?;
    if !body.is_empty() && matches!(status.as_u16(), 204 | 205 | 304) {
        let message = format!("an answer with status {} has no body", status.as_u16());
        reader.note(Diagnostic::new(Code::BodyNotAllowed, span, message));
    }
    Some(RouteTarget::Respond { status, content_type: content_type?, body: Arc::from(body.as_bytes()) })
}

/// What is written here, and for the rest what holds otherwise.
pub(super) fn timeouts(written: Option<&written::Timeouts>, otherwise: &Timeouts, reader: &mut Reader<'_>) -> Timeouts {
    let Some(written) = written else { return otherwise.clone() };
    let total = match &written.total {
        None => otherwise.total,
        Some(At { value: OrOff::Off, .. }) => None,
        Some(At { value: OrOff::On(total), span, node }) => {
            let total = At { value: total.clone(), span: *span, node: *node };
            Some(time(Some(&total), total.value.0, positive(), reader))
        }
    };
    Timeouts {
        connect: time(written.connect.as_ref(), otherwise.connect, positive(), reader),
        first_byte: time(written.first_byte.as_ref(), otherwise.first_byte, positive(), reader),
        idle: time(written.idle.as_ref(), otherwise.idle, positive(), reader),
        total,
    }
}
