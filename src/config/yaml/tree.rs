//! The file as a tree of values with their places; aliases stay aliases, so that a bomb of them costs nothing here.

use std::borrow::Cow;
use std::collections::HashMap;

use serde_saphyr::granit_parser::{
    self, ErrorKind, Event, Marker, Parser, ScalarStyle, ScanError, StructureStyle, Tag,
};

use super::hidden;
use super::scalar::Kind;
use crate::config::report::{Code, Diagnostic, Report, Source, Span};

/// Bytes of a file; 50,000 routes need about ten MiB.
const MAX_BYTES: usize = 64 << 20;
/// Levels of nesting; no sound file has more than ten.
const MAX_DEPTH: usize = 32;

/// Few files have more nodes than this, and space that is not used costs nothing.
const BYTES_PER_NODE: usize = 6;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct NodeId(u32);

pub(super) struct Node<'t> {
    pub(super) span: Span,
    pub(super) value: Value<'t>,
    /// Nodes in this one, itself included: what following an alias to it costs.
    pub(super) weight: u32,
}

pub(super) enum Value<'t> {
    Plain(Cow<'t, str>),
    /// Quoted, a block, or tagged as text.
    Text(Cow<'t, str>),
    List(Vec<NodeId>),
    Mapping(Vec<(NodeId, NodeId)>),
    Alias(NodeId),
}

impl Value<'_> {
    /// `None` for an alias.
    pub(super) fn kind(&self) -> Option<Kind> {
        Some(match self {
            Self::Plain(text) => Kind::of_plain(text),
            Self::Text(_) => Kind::Text,
            Self::List(_) => Kind::List,
            Self::Mapping(_) => Kind::Mapping,
            Self::Alias(_) => return None,
        })
    }
}

pub(crate) struct Tree<'t> {
    nodes: Vec<Node<'t>>,
    root: NodeId,
}

impl<'t> Tree<'t> {
    pub(crate) fn root(&self) -> NodeId {
        self.root
    }

    pub(super) fn len(&self) -> u64 {
        self.nodes.len() as u64
    }

    pub(super) fn nodes(&self) -> &[Node<'t>] {
        &self.nodes
    }

    #[expect(clippy::indexing_slicing, reason = "ids are only made by pushing, and a tree only sees its own")]
    pub(super) fn node(&self, id: NodeId) -> &Node<'t> {
        &self.nodes[id.0 as usize]
    }
}

/// Reads YAML syntax. On `None` the report says why there is nothing to go on with.
pub(crate) fn parse<'t>(text: &'t str, source: &Source, report: &mut Report) -> Option<Tree<'t>> {
    if text.len() > MAX_BYTES {
        let message = format!("the file is larger than {} MiB", MAX_BYTES >> 20);
        report.push(Diagnostic::new(Code::YamlLimit, Span::default(), message));
        return None;
    }
    let options = granit_parser::options! { emit_unresolved_aliases: true, disallow_directives: true };
    let mut builder = Builder {
        nodes: Vec::with_capacity(text.len() / BYTES_PER_NODE),
        open: Vec::new(),
        waiting: Vec::new(),
        anchors: HashMap::new(),
        root: None,
        report,
    };
    for event in Parser::new_from_str_with_options(text, options) {
        let sound = match event {
            Ok((event, span)) => builder.event(event, &span),
            Err(error) => builder.fail(syntax(&error, source)),
        };
        if sound.is_none() {
            report.hide(hidden::in_text(text));
            return None;
        }
    }
    let Some(root) = builder.root else {
        builder.fail(
            Diagnostic::new(Code::MissingKey, Span::default(), "the file is empty").help("begin with `version: 1`"),
        );
        return None;
    };
    let tree = Tree { nodes: builder.nodes, root };
    report.hide(hidden::in_tree(&tree));
    Some(tree)
}

/// What stopped the parser. Its own words about single characters help nobody.
fn syntax(error: &ScanError, source: &Source) -> Diagnostic {
    let mistake =
        |start, length| Diagnostic::new(Code::Syntax, Span { start, end: start + length }, "this is not valid YAML");
    let at = source.offset(error.marker().line(), error.marker().col());
    let ErrorKind::UnexpectedCharacter { character } = *error.kind() else {
        return mistake(at, 1).label(error.info());
    };
    // The parser tells where the text around the character begins.
    let further = source.text().get(at as usize..).and_then(|rest| rest.find(character)).unwrap_or_default();
    let mistake = mistake(at.saturating_add(offset_of(further)), offset_of(character.len_utf8()));
    match character {
        '`' => mistake.label("text that begins with a backquote needs quotes"),
        character if character.is_ascii_graphic() => {
            mistake.label(format!("text that begins with `{character}` needs quotes"))
        }
        character => mistake
            .label(format!("the character U+{:04X} cannot stand in YAML", u32::from(character)))
            .help("is this a text file? In double quotes, `\\u` and four hex digits stand for any character"),
    }
}

struct Open {
    id: NodeId,
    /// Where its children begin among those that wait for their collection to end.
    first_child: usize,
}

struct Builder<'t, 'r> {
    nodes: Vec<Node<'t>>,
    open: Vec<Open>,
    waiting: Vec<NodeId>,
    anchors: HashMap<usize, NodeId>,
    root: Option<NodeId>,
    report: &'r mut Report,
}

impl<'t> Builder<'t, '_> {
    fn event(&mut self, event: Event<'t>, at: &granit_parser::Span) -> Option<()> {
        let span = Span { start: offset(at.start), end: offset(at.end).max(offset(at.start)) };
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let text_tag = self.tag(tag.as_deref(), at)?;
                let plain = style == ScalarStyle::Plain && !text_tag;
                self.leaf(span, if plain { Value::Plain(text) } else { Value::Text(text) }, anchor)
            }
            Event::Alias(anchor) => match self.anchors.get(&anchor) {
                Some(&target) => self.leaf(span, Value::Alias(target), 0),
                None => self.fail(Diagnostic::new(Code::Syntax, span, "this alias has no anchor")),
            },
            Event::UnresolvedAlias(name) => {
                let mistake =
                    Diagnostic::new(Code::Syntax, span, format!("there is no anchor `&{name}` before this alias"));
                self.fail(mistake.help("text that begins with `*` needs quotes, such as `\"*.example.com\"`"))
            }
            Event::SequenceStart(style, anchor, tag) => {
                self.tag(tag.as_deref(), at)?;
                self.begin(span, style, Value::List(Vec::new()), anchor)
            }
            Event::MappingStart(style, anchor, tag) => {
                self.tag(tag.as_deref(), at)?;
                self.begin(span, style, Value::Mapping(Vec::new()), anchor)
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::DocumentStart(..) if self.root.is_some() => self.fail(
                Diagnostic::new(Code::YamlLimit, span, "a second document begins here")
                    .help("keep one document in a file"),
            ),
            _ => Some(()),
        }
    }

    fn fail(&mut self, mistake: Diagnostic) -> Option<()> {
        self.report.push(mistake);
        None
    }

    /// Whether the tag says "text"; others are refused.
    fn tag(&mut self, tag: Option<&Tag>, at: &granit_parser::Span) -> Option<bool> {
        let Some(tag) = tag else { return Some(false) };
        if tag.is_yaml_core_schema_tag("str") || tag.handle().is_empty() && tag.suffix() == "!" {
            return Some(true);
        }
        let place = at.tag_span().unwrap_or(*at);
        let span = Span { start: offset(place.start), end: offset(place.end).max(offset(place.start)) };
        self.fail(
            Diagnostic::new(Code::YamlLimit, span, "tags such as `!name` mean nothing here").help("take the tag away"),
        )?;
        None
    }

    fn push(&mut self, span: Span, value: Value<'t>, anchor: usize) -> Option<NodeId> {
        let id = NodeId(u32::try_from(self.nodes.len()).ok()?);
        self.nodes.push(Node { span, value, weight: 1 });
        if anchor != 0 {
            self.anchors.insert(anchor, id);
        }
        Some(id)
    }

    fn leaf(&mut self, span: Span, value: Value<'t>, anchor: usize) -> Option<()> {
        let id = self.push(span, value, anchor)?;
        self.place(id);
        Some(())
    }

    fn begin(&mut self, span: Span, style: StructureStyle, value: Value<'t>, anchor: usize) -> Option<()> {
        if self.open.len() >= MAX_DEPTH {
            return self.fail(Diagnostic::new(
                Code::YamlLimit,
                span,
                format!("more than {MAX_DEPTH} levels of nesting"),
            ));
        }
        let end = if style == StructureStyle::Block { span.start } else { span.end };
        let id = self.push(Span { start: span.start, end }, value, anchor)?;
        self.open.push(Open { id, first_child: self.waiting.len() });
        Some(())
    }

    fn end(&mut self) -> Option<()> {
        let Open { id, first_child } = self.open.pop()?;
        let children = self.waiting.get(first_child..)?;
        let weight = u32::try_from(self.nodes.len()).ok()? - id.0;
        let first = children.first().and_then(|first| self.nodes.get(first.0 as usize)).map(|first| first.span);
        let node = self.nodes.get_mut(id.0 as usize)?;
        node.weight = weight;
        // A block collection has no text of its own; its first entry stands for it.
        if let (true, Some(first)) = (node.span.start == node.span.end, first) {
            node.span = first;
        }
        match &mut node.value {
            Value::List(items) => items.extend_from_slice(children),
            Value::Mapping(pairs) => *pairs = children.as_chunks().0.iter().map(|&[key, value]| (key, value)).collect(),
            _ => {}
        }
        self.waiting.truncate(first_child);
        self.place(id);
        Some(())
    }

    fn place(&mut self, id: NodeId) {
        if self.open.is_empty() {
            self.root = Some(id);
        } else {
            self.waiting.push(id);
        }
    }
}

fn offset(marker: Marker) -> u32 {
    marker.byte_offset().map_or(0, offset_of)
}

/// A file is never so large that this does not fit.
fn offset_of(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(0)
}
