//! What every mapping and every choice can have wrong.

use crate::config::report::{Code, Diagnostic};
use crate::config::yaml::{Entry, Keys, NodeId, Reader, did_you_mean, list_of};

/// Mappings whose writers may have put a secret under a key of their own making.
const NEAR_SECRETS: [&str; 3] = ["an issuer", "a partner", "an API key"];

/// Notes an unknown key, and gives the one that was most likely meant.
pub(in crate::config) fn unknown_key(
    entry: &Entry<'_>,
    what: &str,
    known: &[&'static str],
    open: bool,
    reader: &mut Reader<'_>,
) -> Option<&'static str> {
    if open && entry.key.starts_with("x-") {
        return None;
    }
    let mut mistake = Diagnostic::new(Code::UnknownKey, entry.span, format!("unknown key `{}` in {what}", entry.key));
    let meant = did_you_mean(entry.key, known.iter().copied());
    if NEAR_SECRETS.contains(&what) && meant.is_none_or(|meant| meant == "api_keys") {
        reader.hide(entry.value);
    }
    mistake = match meant {
        Some(meant) => mistake.label(format!("did you mean `{meant}`?")),
        None => mistake.label("not known here"),
    };
    mistake = mistake.note(format!("known here: {}", list_of(known.iter().copied())));
    if open {
        mistake = mistake.help("keys that begin with `x-` are free, for anchors and for your own notes");
    }
    reader.note(mistake);
    meant
}

pub(in crate::config) fn missing_key(need: &str, key: &str, what: &str, keys: &Keys, reader: &mut Reader<'_>) {
    if need == "required" && !keys.is_meant(key) {
        let mistake = Diagnostic::new(Code::MissingKey, keys.mapping, format!("{what} needs `{key}`"));
        reader.note(mistake.label(format!("`{key}` is missing here")));
    }
}

pub(in crate::config) fn no_choice(
    written: &str,
    node: NodeId,
    what: &str,
    words: &[&'static str],
    reader: &mut Reader<'_>,
) {
    let message = format!("`{written}` is not {what}");
    let mut mistake = Diagnostic::new(Code::Choice, reader.span(node), message);
    mistake = match did_you_mean(written, words.iter().copied()) {
        Some(meant) => mistake.label(format!("did you mean `{meant}`?")),
        None => mistake.label("not known here"),
    };
    reader.note(mistake.note(format!("choose one of {}", list_of(words.iter().copied()))));
}
