//! Which answers a route keeps, and which it makes invalid.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use http::header::{AUTHORIZATION, COOKIE, HOST};
use http::{HeaderName, Method, StatusCode};

use super::super::checked::Template;
use super::super::checked::cache::{Bypass, BypassOn, CacheKey, CachePolicy, CacheScope, QueryRule, Ttl, TtlMode};
use super::super::checked::identity::{self, Auth};
use super::super::defaults;
use super::super::model::cache::{self as written, CachedMethod, RouteCache, WrittenTtl};
use super::super::model::{self, At, List, OneOrMany, OrOff, Size, Text, routes};
use super::super::report::{Code, Diagnostic, Span};
use super::super::yaml::{Reader, list_of};
use super::callers::Callers;
use super::issuer::{Choice, exactly_one};
use super::template::{self, Makes};
use super::{access, headers, matching, not_empty, out_of_range, size};
use crate::base::{byte_size, duration};
use crate::route::{PathPattern, RouteMatch};

/// Whoever keeps an answer for longer has forgotten it (RFC 9111 §1.2.2 only asks for so much to be counted).
const LONGEST: Duration = Duration::from_secs(365 * 86_400);
/// Larger bodies belong to a service.
const MAX_OBJECTS: RangeInclusive<u64> = 1..=1 << 30;
/// In percent. The rest is the time in which an answer is only given.
const AHEAD: RangeInclusive<u8> = 1..=90;
/// What the cache itself reads of a request, beside the conditions `if-*`.
const READ_BY_CACHE: [&str; 3] = ["cache-control", "pragma", "range"];
/// Fields that are another one in almost every request, or for almost every client.
const OF_ONE_REQUEST: [&str; 11] = [
    "cookie",
    "date",
    "forwarded",
    "idempotency-key",
    "traceparent",
    "tracestate",
    "user-agent",
    "x-correlation-id",
    "x-forwarded-for",
    "x-real-ip",
    "x-request-id",
];
const CONDITIONS: [&str; 3] = ["header", "cookie", "query"];

/// What of a route a cache has to know.
pub(super) struct Of<'a> {
    pub(super) route: &'a routes::Route,
    /// Which requests come, when that is known.
    pub(super) matches: Option<&'a RouteMatch>,
    pub(super) auth: Option<&'a Auth>,
    pub(super) callers: &'a Callers<'a>,
}

impl Of<'_> {
    fn pattern(&self) -> Option<&PathPattern> {
        self.matches.map(|matches| &matches.path)
    }

    /// Notes a key that is there for other methods than those that come.
    fn comes(&self, key: &str, suits: impl Fn(&Method) -> bool, why: &str, reader: &mut Reader<'_>) {
        let (Some(place), Some(matches)) = (self.route.keys.place(key), self.matches) else { return };
        if matches.methods.is_empty() || matches.methods.iter().any(suits) {
            return;
        }
        let methods = list_of(matches.methods.iter().map(Method::as_str));
        let message = format!("`{key}` has no effect on a route for {methods}");
        let mut mistake = Diagnostic::new(Code::NoEffect, place, message).label(why);
        if let Some(matching) = self.route.r#match.as_ref().and_then(|matching| matching.value.value.as_ref())
            && let Some(place) = matching.keys.place("methods")
        {
            mistake = mistake.also(place, "no other methods come");
        }
        reader.note(mistake);
    }
}

/// The policy; only to be used when no error was noted.
pub(super) fn check(of: &Of<'_>, reader: &mut Reader<'_>) -> Option<Arc<CachePolicy>> {
    let OrOff::On(cache) = &of.route.cache.as_ref()?.value else { return None };
    let RouteCache(cache) = &**cache;
    let is_kept = |method: &Method| matches!(*method, Method::GET | Method::HEAD);
    of.comes("cache", is_kept, "answers to GET are what is kept", reader);
    let key = CacheKey {
        per: scope(cache, of.auth, reader),
        headers: fields(cache.headers.as_ref(), of, reader),
        query: query(cache.query.as_ref(), reader),
        sort_query: cache
            .query
            .as_ref()
            .is_some_and(|query| query.value.sort.as_ref().is_some_and(|sort| sort.value.0)),
    };
    let stale = |written: Option<&At<_>>, reader: &mut Reader<'_>| {
        written.map_or(Duration::ZERO, |written| lasting(written, reader))
    };
    Some(Arc::new(CachePolicy {
        ttl: cache.ttl.as_ref().map(|ttl| self::ttl(ttl, reader)).unwrap_or_default(),
        key,
        head: head(cache.methods.as_ref(), reader),
        max_object: size(cache.max_object.as_ref(), defaults::MAX_OBJECT, MAX_OBJECTS, reader),
        bypass: cache.bypass.iter().flat_map(|list| &list.value.0).filter_map(|one| bypass(one, reader)).collect(),
        tags: tags(cache.tags.as_ref(), of.pattern(), reader),
        stale_while_revalidate: stale(cache.stale_while_revalidate.as_ref(), reader),
        stale_if_error: stale(cache.stale_if_error.as_ref(), reader),
        refresh_ahead: refresh_ahead(cache.refresh_ahead.as_ref(), reader),
    }))
}

/// The tags that a change by this route purges.
pub(super) fn invalidates(of: &Of<'_>, reader: &mut Reader<'_>) -> Vec<Template> {
    let why = "requests with these methods change nothing (RFC 9110 section 9.2.1)";
    of.comes("invalidates", |method| !method.is_safe(), why, reader);
    tags(of.route.invalidates.as_ref(), of.pattern(), reader)
}

fn tags(
    written: Option<&At<OneOrMany<Text>>>,
    pattern: Option<&PathPattern>,
    reader: &mut Reader<'_>,
) -> Vec<Template> {
    let mut tags = Vec::new();
    for tag in written.iter().flat_map(|list| &list.value.0) {
        let Some(template) = template::check(tag, Makes::Tag, pattern, reader) else { continue };
        if tags.contains(&template) {
            matching::repeated(tag.span, &tag.value.0, reader);
        } else {
            tags.push(template);
        }
    }
    tags
}

/// Notes two keys that cannot hold together.
fn clash(message: &str, second: Span, first: Option<Span>, reader: &mut Reader<'_>) {
    let mistake = Diagnostic::new(Code::CacheClash, second, message);
    reader.note(match first {
        Some(first) => mistake.also(first, "the other one"),
        None => mistake,
    });
}

fn scope(cache: &written::CachePolicy, auth: Option<&Auth>, reader: &mut Reader<'_>) -> CacheScope {
    let is_shared = cache.shared.as_ref().is_some_and(|shared| shared.value.0);
    if let Some(per) = cache.keys.place("per") {
        if is_shared {
            let message = "with `shared: true` everybody gets the same answer, and `per` says that they do not";
            clash(message, per, cache.keys.place("shared"), reader);
        } else if matches!(auth, Some(Auth::None)) {
            let mistake = Diagnostic::new(Code::UnknownCallers, per, "this route asks nobody who they are");
            let mistake = mistake.label("so everybody gets the same answer");
            reader.note(mistake.help("write `shared: true` if that is meant, or ask callers for a credential"));
        }
    }
    match cache.per.as_ref().map(|per| per.value) {
        _ if is_shared => CacheScope::Everyone,
        Some(written::CacheScope::Partner) => CacheScope::Partner,
        Some(written::CacheScope::Subject) | None => CacheScope::Subject,
    }
}

/// Whether a HEAD is answered, too. A GET has to be: nothing else brings what could be given.
fn head(written: Option<&At<OneOrMany<CachedMethod>>>, reader: &mut Reader<'_>) -> bool {
    let Some(At { value: OneOrMany(methods), span, .. }) = written else { return true };
    let has = |method| methods.iter().any(|written| written.value == method);
    if has(CachedMethod::Head) && !has(CachedMethod::Get) {
        let mistake = Diagnostic::new(Code::CacheMethods, *span, "a HEAD is answered from what a GET has brought");
        reader.note(mistake.label("write `[GET, HEAD]`"));
    }
    has(CachedMethod::Head)
}

fn lasting(written: &At<model::Duration>, reader: &mut Reader<'_>) -> Duration {
    if written.value.0 > LONGEST {
        out_of_range(written, "0s", &duration::format(LONGEST), reader);
    }
    written.value.0
}

fn ttl(written: &At<WrittenTtl>, reader: &mut Reader<'_>) -> Ttl {
    let WrittenTtl(ttl) = &written.value;
    let default = ttl.default.as_ref().map(|ttl| lasting(ttl, reader));
    let mut by_status = Vec::new();
    for (code, lifetime) in ttl.by_status.iter().flat_map(|named| &named.value.0) {
        let lifetime = lasting(lifetime, reader);
        by_status.extend(status(code, reader).map(|status| (status, lifetime)));
    }
    let mode = match ttl.mode.as_ref().map(|mode| mode.value) {
        Some(written::TtlMode::Override) => TtlMode::Override,
        Some(written::TtlMode::Respect) | None => TtlMode::Respect,
    };
    if let (TtlMode::Override, Some(place)) = (mode, ttl.keys.place("mode")) {
        let is_meant = ["default", "by_status"].iter().any(|key| ttl.keys.is_meant(key));
        if !is_meant {
            let message = "`mode: override` has no effect without a time to override with";
            reader.note(Diagnostic::new(Code::NoEffect, place, message).help("write `default` or `by_status`"));
        } else if default == Some(Duration::ZERO) && by_status.iter().all(|(_, lifetime)| lifetime.is_zero()) {
            let mistake = Diagnostic::new(Code::NoEffect, place, "this cache never keeps anything");
            reader.note(mistake.label("whatever answers say, they are not kept").help("leave `cache` out"));
        }
    }
    Ttl { default, by_status, mode }
}

/// A status whose answers can be kept.
fn status(written: &At<Box<str>>, reader: &mut Reader<'_>) -> Option<StatusCode> {
    let text = &*written.value;
    let digits = Some(text).filter(|text| text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit()));
    let code = digits.and_then(|text| text.parse().ok()).filter(|code| (100..600).contains(code));
    let Some(code) = code else {
        let mistake = Diagnostic::new(Code::Status, written.span, format!("`{text}` is not a status"));
        reader.note(mistake.label("three digits, from 200 to 599"));
        return None;
    };
    let why = match code {
        100..200 => "an answer that is not the last one is never kept",
        206 => "what is kept is the whole, and parts are made from it",
        304 => "it says that what is kept still holds, and is not kept itself",
        _ => return StatusCode::from_u16(code).ok(),
    };
    let message = format!("status {text} cannot have a time of its own");
    reader.note(Diagnostic::new(Code::Status, written.span, message).label(why));
    None
}

/// The fields of the key. Credentials are not among them: who calls is what `per` is for.
fn fields(written: Option<&At<OneOrMany<Text>>>, of: &Of<'_>, reader: &mut Reader<'_>) -> Vec<HeaderName> {
    let mut fields = Vec::new();
    for At { value: Text(text), span, .. } in written.iter().flat_map(|list| &list.value.0) {
        let Some(name) = headers::name(text, *span, reader) else { continue };
        let no_key = |message: String| Diagnostic::new(Code::CacheHeader, *span, message);
        if name == HOST {
            reader.note(no_key("the host is part of every key already".into()));
        } else if is_credential(&name, of.auth) {
            let mistake = no_key(format!("`{name}` is a credential, and none is part of a key"));
            reader.note(mistake.help("`per: subject` (the default) or `per: partner` tells callers apart"));
        } else if READ_BY_CACHE.contains(&name.as_str()) || name.as_str().starts_with("if-") {
            reader.note(no_key(format!("`{name}` is about caches, and this one does what it says")));
        } else if headers::free(text, *span, reader).is_some() {
            of.callers.not_identity(&name, *span, reader);
            if OF_ONE_REQUEST.contains(&name.as_str()) {
                let message = format!("`{name}` is another one in almost every request");
                let mistake = Diagnostic::new(Code::KeyOfOneRequest, *span, message);
                reader.note(mistake.label("with it in the key, hardly an answer is found again"));
            }
            if fields.contains(&name) {
                matching::repeated(*span, text, reader);
            } else {
                fields.push(name);
            }
        }
    }
    fields
}

fn is_credential(name: &HeaderName, auth: Option<&Auth>) -> bool {
    let methods = match auth {
        Some(Auth::Required(access)) => &access.methods[..],
        Some(Auth::None) | None => &[],
    };
    let is_theirs = |method: &identity::Method| match method {
        identity::Method::ApiKey(places) => places.header.as_ref() == Some(name),
        identity::Method::Token { from, .. } => *name == COOKIE && from.cookie.is_some(),
        identity::Method::Certificate => false,
    };
    *name == AUTHORIZATION || methods.iter().any(is_theirs)
}

fn query(written: Option<&At<written::CacheQuery>>, reader: &mut Reader<'_>) -> QueryRule {
    let Some(At { value: query, .. }) = written else { return QueryRule::Ignore(Vec::new()) };
    if let (Some(ignore), Some(only)) = (query.keys.place("ignore"), query.keys.place("only")) {
        clash("`only` leaves nothing for `ignore` to take away", only, Some(ignore), reader);
    }
    let everything = "`ignore: [\"*\"]` leaves out the whole query";
    match (&query.only, &query.ignore) {
        (Some(only), _) => QueryRule::Only(parameters(only, "`only`", everything, reader)),
        (None, Some(ignore)) => {
            QueryRule::Ignore(parameters(ignore, "`ignore`", "leave it out when all of the query counts", reader))
        }
        (None, None) => QueryRule::Ignore(Vec::new()),
    }
}

fn parameters(list: &At<List<Text>>, what: &str, help: &str, reader: &mut Reader<'_>) -> Vec<Box<str>> {
    not_empty(list, what, help, reader);
    let mut names: Vec<Box<str>> = Vec::new();
    for At { value: Text(name), span, .. } in &list.value.0 {
        if name.is_empty() {
            reader.note(Diagnostic::new(Code::QueryName, *span, "a query parameter has no name"));
        } else if name.strip_suffix('*').unwrap_or(name).contains('*') {
            let message = format!("`{name}` has a `*` that does not end it");
            reader.note(Diagnostic::new(Code::CacheQuery, *span, message).label("only the end of a name may be open"));
        } else if names.contains(name) {
            matching::repeated(*span, name, reader);
        } else {
            names.push(name.clone());
        }
    }
    names
}

fn bypass(written: &At<written::CacheBypass>, reader: &mut Reader<'_>) -> Option<Bypass> {
    let condition = &written.value;
    let mistake = |place: Span, message: String| Diagnostic::new(Code::CacheBypass, place, message);
    let of = match exactly_one(&condition.keys, &CONDITIONS) {
        Choice::One("header") => {
            let name = condition.header.as_ref()?;
            BypassOn::Header(headers::name(&name.value.0, name.span, reader)?)
        }
        Choice::One("cookie") => BypassOn::Cookie(access::cookie_name(condition.cookie.as_ref()?, reader)?),
        Choice::One(_) => BypassOn::Query(access::query_name(condition.query.as_ref()?, reader)?),
        Choice::Meant => return None,
        Choice::None => {
            let message = format!("a condition of `bypass` needs one of {}", list_of(CONDITIONS));
            reader.note(mistake(condition.keys.mapping, message).label("what is to be there?"));
            return None;
        }
        Choice::Many(first, second) => {
            let message = format!("a condition is about one thing, and this one has `{}` and `{}`", first.0, second.0);
            let mistake = mistake(second.1, message).also(first.1, "the other one");
            reader.note(mistake.help("write two conditions: each alone is enough"));
            return None;
        }
    };
    if let (BypassOn::Header(_), Some(value)) = (&of, &condition.value) {
        headers::value(&value.value.0, value.span, reader)?;
    }
    Some(Bypass { of, value: condition.value.as_ref().map(|value| value.value.0.clone()) })
}

fn refresh_ahead(written: Option<&At<OrOff<written::Percent>>>, reader: &mut Reader<'_>) -> u8 {
    match written {
        None => defaults::REFRESH_AHEAD,
        Some(At { value: OrOff::Off, .. }) => 0,
        Some(at @ At { value: OrOff::On(written::Percent(part)), .. }) => {
            if !AHEAD.contains(part) {
                out_of_range(at, &format!("{}%", AHEAD.start()), &format!("{}%", AHEAD.end()), reader);
            }
            *part
        }
    }
}

/// Bytes for all answers; 0 when none is kept.
pub(super) fn memory(written: Option<&At<OrOff<Size>>>, reader: &mut Reader<'_>) -> usize {
    /// Less has room for hardly an answer; more than this is a slip of the unit.
    const SENSIBLE: RangeInclusive<u64> = 1 << 20..=64 << 30;
    let bytes = match written {
        None => defaults::CACHE_MEMORY,
        Some(At { value: OrOff::Off, .. }) => 0,
        Some(at @ At { value: OrOff::On(memory), .. }) => {
            if memory.0 != 0 && !SENSIBLE.contains(&memory.0) {
                let [least, most] = [SENSIBLE.start(), SENSIBLE.end()].map(|bytes| byte_size::format(*bytes));
                out_of_range(at, &least, &format!("{most}, or `off`"), reader);
            }
            memory.0
        }
    };
    usize::try_from(bytes).unwrap_or(usize::MAX)
}
