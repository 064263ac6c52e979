//! Taking typed values out of a tree: what does not fit is noted with its place, and reading goes on.

use std::borrow::Cow;
use std::collections::HashMap;

use super::did_you_mean;
use super::scalar::Kind;
use super::tree::{NodeId, Tree, Value};
use crate::config::report::{Code, Diagnostic, Report, Severity, Source, Span};

/// Nodes that aliases may stand for in any file, however small …
const FREE_EXPANSION: u64 = 1_000_000;
/// … and this many times the nodes of the file more: shared settings are cheap, bombs are not.
const EXPANSION_FACTOR: u64 = 16;
/// Aliases that lead to aliases, and merges inside merges.
const MAX_CHAIN: usize = 16;
/// Words looked for among names of the file; reports show no more findings than that.
const MAX_SUGGESTIONS: u32 = 100;
/// Below this many keys a linear look for duplicates is the faster one.
const FEW_KEYS: usize = 16;

/// A value with the place where it was written.
#[derive(Clone, Debug)]
pub(crate) struct At<T> {
    pub(crate) value: T,
    pub(crate) span: Span,
    pub(crate) node: NodeId,
}

/// What can be read from a node. `None` means that the reader has noted why not.
pub(crate) trait Read: Sized {
    fn read(node: NodeId, reader: &mut Reader<'_>) -> Option<Self>;
}

/// A value that was read as far as it could be, with what was wrong in it.
#[derive(Clone, Debug)]
pub(crate) struct Guarded<T> {
    pub(crate) value: Option<T>,
    pub(crate) faults: Vec<String>,
}

/// For what is seldom written: it makes its mapping smaller.
impl<T: Read> Read for Box<T> {
    fn read(node: NodeId, reader: &mut Reader<'_>) -> Option<Self> {
        T::read(node, reader).map(Self::new)
    }
}

impl<T: Read> Read for Guarded<T> {
    fn read(node: NodeId, reader: &mut Reader<'_>) -> Option<Self> {
        let (value, faults) = reader.guard(|reader| T::read(node, reader));
        Some(Self { value, faults })
    }
}

/// The keys that were written in a mapping, with their places.
#[derive(Clone, Debug, Default)]
pub(crate) struct Keys {
    pub(crate) written: Vec<(&'static str, Span)>,
    /// What unknown keys were most likely meant to be.
    pub(crate) meant: Vec<&'static str>,
    /// The mapping itself, for what is missing in it.
    pub(crate) mapping: Span,
}

impl Keys {
    pub(crate) fn place(&self, key: &str) -> Option<Span> {
        self.written.iter().find(|(written, _)| *written == key).map(|(_, span)| *span)
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.place(key).is_some()
    }

    /// Whether a key was written, be it misspelt: then the unknown key is the only mistake.
    pub(crate) fn is_meant(&self, key: &str) -> bool {
        self.has(key) || self.meant.contains(&key)
    }
}

/// One line of a mapping.
pub(crate) struct Entry<'t> {
    pub(crate) key: &'t str,
    pub(crate) span: Span,
    pub(crate) value: NodeId,
}

#[derive(Default)]
struct Entries<'t> {
    list: Vec<Entry<'t>>,
    /// Built only for long mappings, from their first keys on.
    index: HashMap<&'t str, usize>,
}

impl<'t> Entries<'t> {
    fn find(&mut self, key: &str) -> Option<(usize, Span)> {
        if self.list.len() <= FEW_KEYS {
            let index = self.list.iter().position(|entry| entry.key == key)?;
            return self.list.get(index).map(|entry| (index, entry.span));
        }
        for (index, entry) in self.list.iter().enumerate().skip(self.index.len()) {
            self.index.insert(entry.key, index);
        }
        let index = *self.index.get(key)?;
        self.list.get(index).map(|entry| (index, entry.span))
    }
}

/// Walks a tree and collects what is wrong.
pub(crate) struct Reader<'t> {
    tree: &'t Tree<'t>,
    source: Source,
    pub(crate) report: Report,
    faults: Vec<String>,
    expanded: u64,
    most_expanded: u64,
    is_exhausted: bool,
    suggestions: u32,
}

impl<'t> Reader<'t> {
    pub(crate) fn new(tree: &'t Tree<'t>, source: Source, report: Report) -> Self {
        let most_expanded = FREE_EXPANSION + EXPANSION_FACTOR * tree.len();
        Self {
            tree,
            source,
            report,
            faults: Vec::new(),
            expanded: 0,
            most_expanded,
            is_exhausted: false,
            suggestions: MAX_SUGGESTIONS,
        }
    }

    pub(crate) fn into_report(self) -> Report {
        self.report
    }

    /// Notes a finding; an error also counts against whatever is being read.
    pub(crate) fn note(&mut self, diagnostic: Diagnostic) {
        if diagnostic.code.severity() == Severity::Error {
            self.faults.push(self.fault(&diagnostic));
        }
        self.report.push(diagnostic);
    }

    /// One line about a finding, for where the file is not at hand.
    pub(crate) fn fault(&self, diagnostic: &Diagnostic) -> String {
        format!("{} {}: {}", self.source.location(diagnostic.span()), diagnostic.code, diagnostic.message)
    }

    /// Runs a step and takes the errors that it noted, so that they count against this step only.
    pub(crate) fn guard<T>(&mut self, step: impl FnOnce(&mut Self) -> T) -> (T, Vec<String>) {
        let before = self.faults.len();
        let value = step(self);
        (value, self.faults.split_off(before))
    }

    /// Whether errors were noted that count against the file as a whole.
    pub(crate) fn is_faulty(&self) -> bool {
        !self.faults.is_empty()
    }

    /// Makes errors of a part count against the whole.
    pub(crate) fn escalate(&mut self, faults: &[String]) {
        self.faults.extend_from_slice(faults);
    }

    pub(crate) fn location(&self, span: Span) -> crate::base::location::Location {
        self.source.location(span)
    }

    /// The nearest allowed word; not for ever, since each asks all that are allowed.
    pub(crate) fn suggest<'a>(&mut self, written: &str, allowed: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
        self.suggestions = self.suggestions.checked_sub(1)?;
        did_you_mean(written, allowed)
    }

    /// Keeps a value out of everything that is shown of the file.
    pub(crate) fn hide(&mut self, node: NodeId) {
        self.report.hide(super::hidden::places(self.tree, node));
    }

    /// Where a node is written; for an alias, where the alias is.
    pub(crate) fn span(&self, node: NodeId) -> Span {
        self.tree.node(node).span
    }

    pub(crate) fn kind(&mut self, node: NodeId) -> Option<Kind> {
        let node = self.resolve(node)?;
        self.tree.node(node).value.kind()
    }

    /// The text of a scalar of any type, as it was written.
    pub(crate) fn scalar(&mut self, node: NodeId) -> Option<&'t str> {
        let node = self.resolve(node)?;
        match &self.tree.node(node).value {
            Value::Plain(text) | Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn items(&mut self, node: NodeId) -> Option<&'t [NodeId]> {
        let node = self.resolve(node)?;
        match &self.tree.node(node).value {
            Value::List(items) => Some(items),
            _ => None,
        }
    }

    pub(crate) fn wrong_type(&mut self, node: NodeId, expected: &str) {
        let Some(kind) = self.kind(node) else { return };
        let message = format!("expected {expected}, found {}", kind.found());
        let mut mistake = Diagnostic::new(Code::WrongType, self.span(node), message);
        let written = self.scalar(node).unwrap_or_default();
        mistake = match kind {
            Kind::Nothing => mistake.label("nothing is written here"),
            Kind::Integer | Kind::Fraction | Kind::Bool(_) if expected.starts_with("text") => {
                mistake.label(format!("put it in quotes: \"{written}\""))
            }
            Kind::Text if expected == "`true` or `false`" && matches!(written, "yes" | "on") => {
                mistake.label("did you mean `true`?")
            }
            Kind::Text if expected == "`true` or `false`" && matches!(written, "no" | "off") => {
                mistake.label("did you mean `false`?")
            }
            _ => mistake.label(format!("expected {expected}")),
        };
        self.note(mistake);
    }

    /// The entries of a mapping, merged ones (`<<`) after those written here. Notes duplicates.
    pub(crate) fn entries(&mut self, node: NodeId, what: &str) -> Option<Vec<Entry<'t>>> {
        let mut entries = Entries::default();
        if self.mapping(node).is_none() {
            let found = self.kind(node)?.found();
            let message = format!("{what} is a mapping of keys to values; this is {found}");
            self.note(Diagnostic::new(Code::WrongType, self.span(node), message));
            return None;
        }
        self.collect(node, &mut entries, 0)?;
        Some(entries.list)
    }

    fn mapping(&mut self, node: NodeId) -> Option<&'t [(NodeId, NodeId)]> {
        let node = self.resolve(node)?;
        match &self.tree.node(node).value {
            Value::Mapping(pairs) => Some(pairs),
            _ => None,
        }
    }

    fn collect(&mut self, node: NodeId, entries: &mut Entries<'t>, depth: usize) -> Option<()> {
        let pairs = self.mapping(node)?;
        if depth > MAX_CHAIN {
            self.note(Diagnostic::new(Code::YamlLimit, self.span(node), "too many merges inside merges"));
            return None;
        }
        let inherited = entries.list.len();
        let mut merge: Option<(Span, NodeId)> = None;
        for &(key, value) in pairs {
            let span = self.span(key);
            let Some(text) = self.scalar(key) else {
                self.wrong_type(key, "text as a key");
                continue;
            };
            let is_merge = text == "<<" && matches!(self.tree.node(key).value, Value::Plain(_));
            let earlier = match entries.find(text) {
                _ if is_merge => merge.map(|(span, _)| span),
                Some((index, _)) if index < inherited => continue,
                found => found.map(|(_, span)| span),
            };
            if let Some(earlier) = earlier {
                let mistake = Diagnostic::new(Code::DuplicateKey, span, format!("key `{text}` is written twice"));
                self.note(mistake.label("again here").also(earlier, "first here"));
            } else if is_merge {
                merge = Some((span, value));
            } else {
                entries.list.push(Entry { key: text, span, value });
            }
        }
        merge.map_or(Some(()), |(_, value)| self.merge(value, entries, depth))
    }

    fn merge(&mut self, value: NodeId, entries: &mut Entries<'t>, depth: usize) -> Option<()> {
        let sources = self.items(value).map_or_else(|| vec![value], <[NodeId]>::to_vec);
        for source in sources {
            if self.mapping(source).is_none() {
                self.wrong_type(source, "a mapping to merge in, such as `<<: *name`");
                return None;
            }
            self.collect(source, entries, depth + 1)?;
        }
        Some(())
    }

    /// Follows aliases, within what may be followed in one file.
    fn resolve(&mut self, mut node: NodeId) -> Option<NodeId> {
        for _ in 0..MAX_CHAIN {
            let Value::Alias(target) = self.tree.node(node).value else { return Some(node) };
            self.expanded += u64::from(self.tree.node(target).weight);
            if self.expanded > self.most_expanded {
                return self.exhausted(node);
            }
            node = target;
        }
        self.note(Diagnostic::new(Code::YamlLimit, self.span(node), "too many aliases of aliases"));
        None
    }
}

impl Reader<'_> {
    /// Said once, but it counts against everything that can no longer be read.
    fn exhausted(&mut self, node: NodeId) -> Option<NodeId> {
        let mistake = Diagnostic::new(Code::YamlLimit, self.span(node), "aliases repeat too much of this file");
        if self.is_exhausted {
            self.faults.push(self.fault(&mistake));
        } else {
            self.is_exhausted = true;
            self.note(mistake.help("write shared values once, at a place that all can name, such as `defaults`"));
        }
        None
    }
}

impl<T: Read> At<T> {
    pub(crate) fn read(node: NodeId, reader: &mut Reader<'_>) -> Option<Self> {
        let span = reader.span(node);
        T::read(node, reader).map(|value| Self { value, span, node })
    }
}

impl<'t> Reader<'t> {
    /// Text without `${`; notes what is not text.
    pub(crate) fn text(&mut self, node: NodeId, expected: &str) -> Option<Cow<'t, str>> {
        let kind = self.kind(node)?;
        if kind != Kind::Text {
            self.wrong_type(node, expected);
            return None;
        }
        let text = self.scalar(node)?;
        if text.contains("${") {
            let mistake = Diagnostic::new(Code::Templating, self.span(node), "`${…}` is not replaced here");
            self.note(
                mistake
                    .note("there is no templating in this file; `${env:NAME}` is only for settings that hold a secret")
                    .help("write the value itself, or use a YAML anchor for what repeats"),
            );
            return None;
        }
        Some(Cow::Borrowed(text))
    }
}
