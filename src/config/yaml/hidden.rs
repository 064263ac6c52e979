//! What must not be shown of a file: text at a place for secrets that is no reference to one.
//!
//! A mistake anywhere shows the line it is on, and what else is on that line.

use std::collections::HashSet;

use super::did_you_mean;
use super::tree::{NodeId, Tree, Value};
use crate::config::model::parse_digest;
use crate::config::model::secret::SecretSource;
use crate::config::report::Span;

/// Where a value is written, with all that is in it.
pub(super) fn places(tree: &Tree<'_>, node: NodeId) -> Vec<Span> {
    let mut spans = Vec::new();
    cover(tree, node, &|_| false, &mut HashSet::new(), &mut spans);
    spans
}

/// Everything that may be a secret.
pub(super) fn in_tree(tree: &Tree<'_>) -> Vec<Span> {
    let (mut spans, mut seen) = (Vec::new(), HashSet::new());
    for node in tree.nodes() {
        let Value::Mapping(pairs) = &node.value else { continue };
        for &(key, value) in pairs {
            let (Value::Plain(key) | Value::Text(key)) = &tree.node(key).value else { continue };
            if is_secret(key) {
                cover(tree, value, &is_harmless, &mut seen, &mut spans);
            }
        }
    }
    spans
}

fn cover(
    tree: &Tree<'_>,
    node: NodeId,
    keep: &dyn Fn(&str) -> bool,
    seen: &mut HashSet<NodeId>,
    spans: &mut Vec<Span>,
) {
    if !seen.insert(node) {
        return;
    }
    let found = tree.node(node);
    match &found.value {
        Value::Plain(text) | Value::Text(text) if keep(text) => {}
        Value::Plain(_) | Value::Text(_) => spans.push(found.span),
        Value::List(items) => items.iter().for_each(|item| cover(tree, *item, keep, seen, spans)),
        Value::Mapping(pairs) => pairs.iter().for_each(|(_, value)| cover(tree, *value, keep, seen, spans)),
        Value::Alias(target) => cover(tree, *target, keep, seen, spans),
    }
}

/// Everything that may be a secret in a text that is no YAML: from such a key to the end of its line, and further when a
/// block follows.
pub(super) fn in_text(text: &str) -> Vec<Span> {
    let mut spans = Vec::new();
    // Lines that are further in than this belong to a secret.
    let mut block: Option<usize> = None;
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let indent = line.len() - line.trim_start().len();
        let from = if block.is_some_and(|outer| indent > outer || line.trim().is_empty()) {
            Some(0)
        } else {
            block = None;
            let found = value_of_secret(line);
            if found.is_some_and(|at| opens_block(line.get(at..).unwrap_or_default())) {
                block = Some(indent);
            }
            found
        };
        if let Some(from) = from {
            let place = |at: usize| u32::try_from(start + at).unwrap_or(u32::MAX);
            spans.push(Span { start: place(from), end: place(line.len()) });
        }
        start += line.len();
    }
    spans
}

/// Where the value of the first key for a secret begins.
fn value_of_secret(line: &str) -> Option<usize> {
    let is_part_of_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    line.match_indices(':').find_map(|(at, _)| {
        let before = line.get(..at)?.trim_end_matches([' ', '\t', '"', '\'']);
        let word = before.rsplit(|c: char| !is_part_of_word(c)).next()?;
        let value = line.get(at + 1..)?;
        let end = value.find(['}', ',']).filter(|_| !value.contains("${")).unwrap_or(value.len());
        let alone = value.get(..end)?.trim().trim_matches(['"', '\'']);
        (is_secret(word) && !is_harmless(alone)).then_some(at + 1)
    })
}

fn opens_block(value: &str) -> bool {
    matches!(value.trim_start().bytes().next(), None | Some(b'|' | b'>' | b'"' | b'\'' | b'#' | b'&'))
}

fn is_secret(key: &str) -> bool {
    // Far from every word that is meant.
    if key.len() < 4 || key.len() > 64 || key == "secret_encoding" {
        return false;
    }
    let has = |word: &str| key.as_bytes().windows(word.len()).any(|part| part.eq_ignore_ascii_case(word.as_bytes()));
    has("secret") || has("password") || did_you_mean(key, ["secret", "sha256"]).is_some()
}

fn is_harmless(value: &str) -> bool {
    SecretSource::parse(value).is_some() || parse_digest(value).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_hidden_from_the_value_on() {
        for (line, shown) in [
            ("secret: hunter2", "secret:"),
            ("  {name: a, secret: hunter2, b: c}", "  {name: a, secret:"),
            ("- \"secret\" : hunter2", "- \"secret\" :"),
            ("secert: hunter2", "secert:"),
            ("client_secret: hunter2", "client_secret:"),
            ("sha256: sk_a_b", "sha256:"),
            ("secret: ${env:A}", "secret: ${env:A}"),
            ("secret: \"file:a.txt\"", "secret: \"file:a.txt\""),
            ("issuer: https://id.example.com", "issuer: https://id.example.com"),
        ] {
            let spans = in_text(line);
            let end = spans.first().map_or(line.len(), |span| span.start as usize);
            assert_eq!(&line[..end], shown);
        }
    }

    #[test]
    fn a_block_is_hidden_to_its_end() {
        let text = "a:\n  secret: |\n    one\n\n    two\n  b: c\n";
        let hidden: Vec<&str> =
            in_text(text).iter().map(|span| &text[span.start as usize..span.end as usize]).collect();
        assert_eq!(hidden.concat(), " |\n    one\n\n    two\n");
    }
}
