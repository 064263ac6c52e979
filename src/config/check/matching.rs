//! Which requests a route is for.

use http::header::HOST;
use http::{HeaderName, Method};

use super::super::model::{At, List, Text, routes as written};
use super::super::report::{Code, Diagnostic, Span};
use super::super::yaml::{Reader, did_you_mean};
use super::{headers, not_empty};
use crate::base::host_pattern::HostPattern;
use crate::route::{FieldMatch, PathPattern, RouteMatch, ValueMatch};

/// The methods of the IANA registry that a gateway is asked for.
const REGISTERED: [&str; 37] = [
    "ACL",
    "BASELINE-CONTROL",
    "BIND",
    "CHECKIN",
    "CHECKOUT",
    "COPY",
    "DELETE",
    "GET",
    "HEAD",
    "LABEL",
    "LINK",
    "LOCK",
    "MERGE",
    "MKACTIVITY",
    "MKCALENDAR",
    "MKCOL",
    "MKREDIRECTREF",
    "MKWORKSPACE",
    "MOVE",
    "OPTIONS",
    "ORDERPATCH",
    "PATCH",
    "POST",
    "PROPFIND",
    "PROPPATCH",
    "PUT",
    "QUERY",
    "REBIND",
    "REPORT",
    "SEARCH",
    "UNBIND",
    "UNCHECKOUT",
    "UNLINK",
    "UNLOCK",
    "UPDATE",
    "UPDATEREDIRECTREF",
    "VERSION-CONTROL",
];
/// A CONNECT is a tunnel past every check, and a TRACE shows credentials; the front refuses both.
const NEVER_SERVED: [&str; 2] = ["CONNECT", "TRACE"];

/// The match, or `None` when it is not known which requests are meant.
pub(super) fn check(written: &written::Match, reader: &mut Reader<'_>) -> Option<RouteMatch> {
    let hosts = match &written.hosts {
        None => vec![HostPattern::Any],
        Some(list) => hosts(list, reader),
    };
    let path = written.path.as_ref().and_then(|path| pattern(path, reader));
    let methods = written.methods.as_ref().map_or_else(Vec::new, |list| methods(list, reader));
    let mut fields = Vec::new();
    for (name, condition) in written.headers.iter().flat_map(|headers| &headers.value.0) {
        if let Some(parsed) = headers::name(&name.value, name.span, reader) {
            not_host(&parsed, name.span, reader);
            fields.push((name.span, FieldMatch { name: parsed, value: value(&condition.value) }));
        }
        if let written::Condition::Exact(text) = &condition.value {
            headers::value(text, condition.span, reader);
        }
    }
    let mut query = Vec::new();
    for (name, condition) in written.query.iter().flat_map(|query| &query.value.0) {
        if name.value.is_empty() {
            reader.note(Diagnostic::new(Code::QueryName, name.span, "a query parameter has no name"));
        }
        query.push((name.span, FieldMatch { name: name.value.clone(), value: value(&condition.value) }));
    }
    Some(RouteMatch {
        hosts,
        path: path?,
        methods,
        headers: unrepeated(fields, HeaderName::as_str, "header", reader),
        query: unrepeated(query, |name| name, "query parameter", reader),
    })
}

/// The host of a request may also stand in its target, is compared without case and port, and decides before all else.
fn not_host(name: &HeaderName, span: Span, reader: &mut Reader<'_>) {
    if *name == HOST {
        let mistake = Diagnostic::new(Code::HostCondition, span, "the host is not a condition on a header");
        reader.note(mistake.help("write it in `hosts` of this match, such as `hosts: [api.example.com]`"));
    }
}

fn value(condition: &written::Condition) -> ValueMatch {
    match condition {
        written::Condition::Present => ValueMatch::Present,
        written::Condition::Exact(text) => ValueMatch::Exact(text.clone()),
    }
}

/// Header names differ in case only at first sight, so the mapping itself does not notice a repetition.
fn unrepeated<N>(
    conditions: Vec<(Span, FieldMatch<N>)>,
    text: impl Fn(&N) -> &str,
    what: &str,
    reader: &mut Reader<'_>,
) -> Vec<FieldMatch<N>> {
    let mut kept: Vec<(Span, FieldMatch<N>)> = Vec::new();
    for (span, condition) in conditions {
        let name = text(&condition.name);
        if let Some((first, _)) = kept.iter().find(|(_, earlier)| text(&earlier.name) == name) {
            let mistake = Diagnostic::new(Code::RepeatedCondition, span, format!("{what} `{name}` is asked for twice"));
            reader.note(mistake.label("again here").also(*first, "first here"));
            continue;
        }
        kept.push((span, condition));
    }
    kept.into_iter().map(|(_, condition)| condition).collect()
}

fn hosts(list: &At<List<super::super::model::Host>>, reader: &mut Reader<'_>) -> Vec<HostPattern> {
    not_empty(list, "`hosts`", "leave `hosts` out to match every host", reader);
    let mut kept: Vec<HostPattern> = Vec::new();
    for host in &list.value.0 {
        if kept.contains(&host.value.0) {
            repeated(host.span, &host.value.0.to_string(), reader);
        } else {
            kept.push(host.value.0.clone());
        }
    }
    kept
}

pub(super) fn repeated(span: Span, entry: &str, reader: &mut Reader<'_>) {
    reader.note(Diagnostic::new(Code::RepeatedEntry, span, format!("`{entry}` is listed twice")).label("again here"));
}

/// A path pattern.
pub(super) fn pattern(path: &At<Text>, reader: &mut Reader<'_>) -> Option<PathPattern> {
    match PathPattern::parse(&path.value.0) {
        Ok(pattern) => Some(pattern),
        Err(message) => {
            reader.note(Diagnostic::new(Code::PathPattern, path.span, message));
            None
        }
    }
}

fn methods(list: &At<List<Text>>, reader: &mut Reader<'_>) -> Vec<Method> {
    not_empty(list, "`methods`", "leave `methods` out to match every method", reader);
    let mut kept = Vec::new();
    for At { value: Text(text), span, .. } in &list.value.0 {
        let Some(method) = method(text, *span, reader) else { continue };
        if kept.contains(&method) {
            repeated(*span, text, reader);
        } else {
            kept.push(method);
        }
    }
    kept
}

fn method(text: &str, span: Span, reader: &mut Reader<'_>) -> Option<Method> {
    let upper = text.to_ascii_uppercase();
    if NEVER_SERVED.contains(&upper.as_str()) {
        reader.note(Diagnostic::new(Code::Method, span, format!("`{text}` is never served by this gateway")));
        return None;
    }
    let Ok(method) = Method::from_bytes(text.as_bytes()) else {
        reader.note(Diagnostic::new(Code::Method, span, format!("`{text}` is not a method (RFC 9110 section 9.1)")));
        return None;
    };
    if REGISTERED.contains(&text) {
        return Some(method);
    }
    if REGISTERED.contains(&upper.as_str()) {
        let mistake =
            Diagnostic::new(Code::Method, span, format!("`{text}` is not a method: methods are case-sensitive"));
        reader.note(mistake.label(format!("did you mean `{upper}`?")));
        return None;
    }
    let mut mistake = Diagnostic::new(Code::UnregisteredMethod, span, format!("`{text}` is not a registered method"));
    if let Some(meant) = did_you_mean(text, REGISTERED) {
        mistake = mistake.label(format!("did you mean `{meant}`?"));
    }
    reader.note(mistake);
    Some(method)
}
