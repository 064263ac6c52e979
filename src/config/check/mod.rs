//! From what is written to what is checked; every mistake is noted, none hides another.

use std::collections::HashSet;
use std::ops::RangeInclusive;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::model::{self, At, Count, List, Size, Text};
use super::report::{Code, Diagnostic, Span};
use super::yaml::Reader;
use crate::base::{byte_size, duration};

mod access;
mod anomaly;
mod cache;
mod callers;
mod claims;
mod expectation;
pub(super) mod gateway;
mod headers;
mod identity;
mod issuer;
mod limits;
mod log_level;
mod matching;
mod partner;
mod route;
pub(super) mod routes;
mod secret;
mod template;
mod upstream;

/// The version of both formats.
const VERSION: u64 = 1;
/// Longer than any deadline makes sense, shorter than what timers overflow at.
const LONGEST: Duration = Duration::from_secs(7 * 86_400);

/// Notes a version that is not ours; nothing else in such a file can be trusted to mean what it says.
fn version(written: Option<&At<Count>>, reader: &mut Reader<'_>) -> Option<()> {
    let written = written?;
    if written.value.0 == VERSION {
        return Some(());
    }
    let message = format!("version {} of this file is not known", written.value.0);
    reader.note(
        Diagnostic::new(Code::Version, written.span, message).label(format!("this program reads version {VERSION}")),
    );
    None
}

fn out_of_range<T>(written: &At<T>, from: &str, to: &str, reader: &mut Reader<'_>) {
    let message = format!("`{}` is out of range", reader.scalar(written.node).unwrap_or_default());
    reader.note(Diagnostic::new(Code::OutOfRange, written.span, message).label(format!("from {from} to {to}")));
}

/// A duration within what makes sense, or what holds otherwise.
fn time(
    written: Option<&At<model::Duration>>,
    default: Duration,
    range: RangeInclusive<Duration>,
    reader: &mut Reader<'_>,
) -> Duration {
    let Some(written) = written else { return default };
    if !range.contains(&written.value.0) {
        out_of_range(written, &duration::format(*range.start()), &duration::format(*range.end()), reader);
    }
    written.value.0
}

/// Durations that end something: never zero.
fn positive() -> RangeInclusive<Duration> {
    Duration::from_millis(1)..=LONGEST
}

fn size(written: Option<&At<Size>>, default: u64, range: RangeInclusive<u64>, reader: &mut Reader<'_>) -> u64 {
    let Some(written) = written else { return default };
    if !range.contains(&written.value.0) {
        out_of_range(written, &byte_size::format(*range.start()), &byte_size::format(*range.end()), reader);
    }
    written.value.0
}

fn count(written: Option<&At<Count>>, default: u64, range: RangeInclusive<u64>, reader: &mut Reader<'_>) -> u64 {
    let Some(written) = written else { return default };
    if !range.contains(&written.value.0) {
        out_of_range(written, &range.start().to_string(), &range.end().to_string(), reader);
    }
    written.value.0
}

/// Notes a list without entries.
fn not_empty<T>(list: &At<model::List<T>>, what: &str, help: &str, reader: &mut Reader<'_>) -> bool {
    if list.value.0.is_empty() && reader.items(list.node).is_none_or(<[_]>::is_empty) {
        let mistake = Diagnostic::new(Code::EmptyList, list.span, format!("{what} is empty"));
        reader.note(mistake.label("nothing is listed").help(help));
        return false;
    }
    true
}

/// The entries of a list that has some, each once and none of them empty.
fn texts(written: Option<&At<List<Text>>>, what: &str, help: &str, reader: &mut Reader<'_>) -> Vec<Arc<str>> {
    let Some(list) = written else { return Vec::new() };
    not_empty(list, what, help, reader);
    let mut seen = HashSet::new();
    let mut kept = Vec::new();
    for At { value: Text(text), span, .. } in &list.value.0 {
        if text.is_empty() {
            reader.note(Diagnostic::new(Code::EmptyText, *span, format!("an entry of {what} is empty")));
        } else if seen.insert(&**text) {
            kept.push(Arc::from(&**text));
        } else {
            matching::repeated(*span, text, reader);
        }
    }
    kept
}

/// A list of scopes; none of them may have a space in it, or it would be two (RFC 6749 §3.3).
fn scopes(written: Option<&At<List<Text>>>, what: &str, reader: &mut Reader<'_>) -> Vec<Arc<str>> {
    for At { value: Text(text), span, .. } in written.iter().flat_map(|list| &list.value.0) {
        let sound = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\');
        if !text.bytes().all(sound) {
            let mistake =
                Diagnostic::new(Code::Scope, *span, format!("`{text}` is not a scope (RFC 6749 section 3.3)"));
            reader.note(if text.contains(' ') { mistake.label("one entry for each scope") } else { mistake });
        }
    }
    texts(written, what, "leave it out when no scope is meant", reader)
}

/// Whether a name can be one; it becomes a part of labels and log lines.
fn name_is_sound(name: &At<Box<str>>, reader: &mut Reader<'_>) {
    if let Err(message) = model::check_name(&name.value) {
        reader.note(Diagnostic::new(Code::Name, name.span, message));
    }
}

/// The label of names beyond the limit of metrics.
const BEYOND: &str = "other";

/// A name of a metric's own would mix two things in one series.
fn not_reserved(name: &str, span: Span, reserved: &[&str], reader: &mut Reader<'_>) {
    if reserved.contains(&name) {
        let mistake = Diagnostic::new(Code::ReservedName, span, format!("the name `{name}` is reserved"));
        reader.note(mistake.label("choose another name").note(match name {
            BEYOND => "metrics use it for all names beyond their limit",
            _ => "metrics use it for requests that no route matched",
        }));
    }
}

/// A mode that only counts.
fn observes(mode: Option<&At<model::access::Mode>>) -> bool {
    mode.is_some_and(|mode| mode.value == model::access::Mode::Observe)
}

/// Resolves a path against the folder of the file it is written in. `..` is taken away where that leads to the same
/// place, because people read these paths.
pub(super) fn resolve(folder: &Path, written: &str) -> PathBuf {
    let joined = folder.join(written);
    let mut short = PathBuf::new();
    for component in joined.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir if matches!(short.components().next_back(), Some(Component::Normal(_))) => {
                short.pop();
            }
            other => short.push(other),
        }
    }
    let real = |path: &Path| {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        folder.canonicalize().ok()
    };
    match (real(&joined), real(&short)) {
        // A symlink on the way makes `..` mean something else.
        (Some(joined_real), Some(short_real)) if joined_real != short_real => joined,
        _ => short,
    }
}
