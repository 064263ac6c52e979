//! Changes to headers: what may be named, and what belongs to the connection.

use http::{HeaderName, HeaderValue};

use super::super::checked::HeaderEdits;
use super::super::model::{At, Named, Text, routes as written};
use super::super::report::{Code, Diagnostic, Span};
use super::super::yaml::Reader;
use crate::base::field::Known;

/// Which header is edited.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Request,
    Response,
}

/// Why a header cannot be edited, if it cannot (RFC 9110 §7.6.1, RFC 9112 §6).
fn forbidden(name: &HeaderName, side: Side) -> Option<&'static str> {
    match name.as_str() {
        "connection" | "keep-alive" | "te" | "trailer" | "upgrade" => {
            Some("it is about one connection, and the gateway speaks for its own on either side")
        }
        "transfer-encoding" | "content-length" => Some("it says where the body ends, which only the gateway knows"),
        name if name.starts_with("proxy-") => Some("it is between a client and its proxy"),
        "host" if side == Side::Request => Some("the host that the upstream sees is the `host` of the route"),
        _ => None,
    }
}

/// What, beside the [`Known`], means something to HTTP or to upstreams already.
const TAKEN: [&str; 10] = [
    "cache-control",
    "date",
    "origin",
    "pragma",
    "range",
    "referer",
    "server",
    "set-cookie",
    "tracestate",
    "www-authenticate",
];
/// The names of groups of such fields.
const TAKEN_GROUPS: [&str; 6] = ["accept-", "access-control-", "content-", "if-", "sec-", "x-forwarded-"];

/// Whether a request field means something to the gateway itself or to HTTP, so that nothing else can be said in it.
pub(super) fn has_meaning(name: &HeaderName) -> bool {
    let name = name.as_str();
    Known::of(name) != Known::Other || TAKEN.contains(&name) || TAKEN_GROUPS.iter().any(|group| name.starts_with(group))
}

pub(super) fn name(text: &str, span: Span, reader: &mut Reader<'_>) -> Option<HeaderName> {
    let parsed = HeaderName::from_bytes(text.as_bytes()).ok();
    if parsed.is_none() {
        let message = format!("`{text}` is not a header name (RFC 9110 section 5.1)");
        reader.note(Diagnostic::new(Code::HeaderName, span, message));
    }
    parsed
}

pub(super) fn value(text: &str, span: Span, reader: &mut Reader<'_>) -> Option<HeaderValue> {
    let parsed = HeaderValue::from_str(text).ok().filter(|_| text.is_ascii() && text.trim() == text);
    if parsed.is_none() {
        let message = "this is not a header value: visible ASCII characters, without spaces at the ends";
        reader.note(Diagnostic::new(Code::HeaderValue, span, message));
    }
    parsed
}

pub(super) fn edits(
    written: Option<&At<Box<written::HeaderEdits>>>,
    side: Side,
    reader: &mut Reader<'_>,
) -> HeaderEdits {
    let Some(written) = written.map(|edits| &edits.value) else { return HeaderEdits::default() };
    let mut remove: Vec<(HeaderName, Span)> = Vec::new();
    for At { value: Text(text), span, .. } in written.remove.iter().flat_map(|list| &list.value.0) {
        if let Some(name) = editable(text, *span, side, reader)
            && first_time(&name, *span, &remove, reader)
        {
            remove.push((name, *span));
        }
    }
    HeaderEdits {
        remove: remove.into_iter().map(|(name, _)| name).collect(),
        set: pairs(written.set.as_ref(), side, reader),
        add: pairs(written.add.as_ref(), side, reader),
    }
}

/// The fields that get a value, with their places; without a word about what is wrong with them.
pub(super) fn written(edits: Option<&At<Box<written::HeaderEdits>>>) -> Vec<(HeaderName, Span)> {
    let lists = edits.into_iter().flat_map(|edits| [&edits.value.set, &edits.value.add]).flatten();
    let names = lists.flat_map(|named| &named.value.0).map(|(name, _)| name);
    names.filter_map(|name| Some((HeaderName::from_bytes(name.value.as_bytes()).ok()?, name.span))).collect()
}

fn pairs(written: Option<&At<Named<Text>>>, side: Side, reader: &mut Reader<'_>) -> Vec<(HeaderName, HeaderValue)> {
    let mut seen: Vec<(HeaderName, Span)> = Vec::new();
    let mut pairs = Vec::new();
    for (key, text) in written.iter().flat_map(|named| &named.value.0) {
        let name = editable(&key.value, key.span, side, reader);
        let value = value(&text.value.0, text.span, reader);
        if let (Some(name), Some(value)) = (name, value)
            && first_time(&name, key.span, &seen, reader)
        {
            seen.push((name.clone(), key.span));
            pairs.push((name, value));
        }
    }
    pairs
}

fn first_time(name: &HeaderName, span: Span, seen: &[(HeaderName, Span)], reader: &mut Reader<'_>) -> bool {
    let Some((_, first)) = seen.iter().find(|(earlier, _)| earlier == name) else { return true };
    let mistake = Diagnostic::new(Code::RepeatedHeader, span, format!("header `{name}` is named twice"));
    reader.note(mistake.label("again here; names differ only in case").also(*first, "first here"));
    false
}

fn editable(text: &str, span: Span, side: Side, reader: &mut Reader<'_>) -> Option<HeaderName> {
    allowed(text, span, side, "edited", reader)
}

/// The name of a request field that may carry what we decide.
pub(super) fn free(text: &str, span: Span, reader: &mut Reader<'_>) -> Option<HeaderName> {
    allowed(text, span, Side::Request, "used for this", reader)
}

fn allowed(text: &str, span: Span, side: Side, what: &str, reader: &mut Reader<'_>) -> Option<HeaderName> {
    let name = name(text, span, reader)?;
    let Some(why) = forbidden(&name, side) else { return Some(name) };
    reader.note(Diagnostic::new(Code::ForbiddenHeader, span, format!("header `{name}` cannot be {what}")).note(why));
    None
}
