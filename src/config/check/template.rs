//! Templates: text with `{name}`, `{name...}` and `{?}`, for where clients are sent, what upstreams see and what
//! answers are purged by.

use super::super::checked::{Template, TemplatePart};
use super::super::model::{At, Text};
use super::super::report::{Code, Diagnostic, Span};
use super::super::yaml::{Reader, did_you_mean, list_of};
use crate::route::{PathPattern, Segment};

/// What a template makes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Makes {
    /// A `Location`: a path or an absolute URL.
    Location,
    /// A path; the query is kept by itself.
    Path,
    /// A tag of stored answers.
    Tag,
}

/// Tags stand in fields and logs; names of resources are far shorter.
const MAX_TAG: usize = 256;

impl Makes {
    const fn code(self) -> Code {
        match self {
            Self::Location | Self::Path => Code::Template,
            Self::Tag => Code::CacheTag,
        }
    }
}

/// The template, when every name in it is a parameter of the path. Without a pattern (its own mistake) names are not
/// checked.
pub(super) fn check(
    written: &At<Text>,
    makes: Makes,
    pattern: Option<&PathPattern>,
    reader: &mut Reader<'_>,
) -> Option<Template> {
    let text = &*written.value.0;
    let parts = match split(text, if makes == Makes::Tag { tag_text } else { url_text }) {
        Ok(parts) => parts,
        Err(message) => return malformed(message, makes, written.span, reader),
    };
    let mut template = Vec::with_capacity(parts.len());
    for part in parts {
        template.push(match part {
            Part::Text(text) => TemplatePart::Text(text.into()),
            Part::Query => TemplatePart::Query,
            Part::Name(name) => parameter(name, written.span, pattern, reader)?,
        });
    }
    let sound = match makes {
        Makes::Path => path(text, &template),
        Makes::Location => location(text, &template),
        Makes::Tag => tag(text, &template),
    };
    match sound {
        Ok(()) => Some(Template(template)),
        Err(message) => malformed(message, makes, written.span, reader),
    }
}

fn malformed(message: String, makes: Makes, span: Span, reader: &mut Reader<'_>) -> Option<Template> {
    reader.note(Diagnostic::new(makes.code(), span, message));
    None
}

enum Part<'a> {
    Text(&'a str),
    Name(&'a str),
    Query,
}

/// The parts of a text; `sound` judges those that stand for themselves.
fn split(text: &str, sound: fn(&str) -> Result<(), String>) -> Result<Vec<Part<'_>>, String> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        if !before.is_empty() {
            parts.push(Part::Text(before));
        }
        let (inside, after) = after.split_once('}').ok_or("a `{` has no `}` after it")?;
        parts.push(if inside == "?" { Part::Query } else { Part::Name(inside) });
        rest = after;
    }
    if !rest.is_empty() {
        parts.push(Part::Text(rest));
    }
    for part in &parts {
        let Part::Text(text) = part else { continue };
        if text.contains('}') {
            return Err("a `}` has no `{` before it".into());
        }
        sound(text)?;
    }
    Ok(parts)
}

fn url_text(text: &str) -> Result<(), String> {
    let unsound = |c: char| !c.is_ascii_graphic() || matches!(c, '"' | '<' | '>' | '\\' | '^' | '`' | '|');
    if let Some(character) = text.chars().find(|c| unsound(*c)) {
        return Err(format!("`{}` has to be percent-encoded in a URL", character.escape_default()));
    }
    let mut after_percent = text.split('%').skip(1).map(|rest| rest.as_bytes().get(..2));
    if !after_percent.all(|digits| digits.is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit))) {
        return Err("a `%` has no two hexadecimal digits after it; the character itself is `%25`".into());
    }
    Ok(())
}

/// Upstreams list their tags with spaces or commas between them.
fn tag_text(text: &str) -> Result<(), String> {
    let unsound = |c: char| !c.is_ascii_graphic() || c == ',';
    let expected = "a tag has visible ASCII characters, and no comma or space";
    text.chars()
        .find(|c| unsound(*c))
        .map_or(Ok(()), |c| Err(format!("`{}` is not part of a tag: {expected}", c.escape_default())))
}

fn tag(text: &str, parts: &[TemplatePart]) -> Result<(), String> {
    if text.is_empty() {
        return Err("a tag is empty".into());
    }
    if text.len() > MAX_TAG {
        return Err(format!("a tag has at most {MAX_TAG} bytes; this one has {}", text.len()));
    }
    if parts.contains(&TemplatePart::Query) {
        return Err("a tag has no query: `{?}` is for locations".into());
    }
    Ok(())
}

fn parameter(
    written: &str,
    span: Span,
    pattern: Option<&PathPattern>,
    reader: &mut Reader<'_>,
) -> Option<TemplatePart> {
    let (name, rest) = written.strip_suffix("...").map_or((written, false), |name| (name, true));
    let Some(pattern) = pattern else { return Some(TemplatePart::Param(name.into())) };
    let known = |segment: &&Segment| segment.param_name() == Some(name);
    match (pattern.segments.iter().find(known), rest) {
        (Some(Segment::Rest(_)), true) | (Some(Segment::Param(_)), false) => Some(TemplatePart::Param(name.into())),
        (Some(segment), _) => {
            let message = format!("`{{{written}}}` is written `{segment}` in the path `{pattern}`");
            let mistake = Diagnostic::new(Code::UnknownParameter, span, message);
            reader.note(mistake.label(format!("write `{segment}` here too")));
            None
        }
        (None, _) => {
            let message = format!("the path `{pattern}` has no parameter `{name}`");
            let mut mistake = Diagnostic::new(Code::UnknownParameter, span, message);
            if let Some(meant) = did_you_mean(name, pattern.param_names()) {
                mistake = mistake.label(format!("did you mean `{{{meant}}}`?"));
            } else if pattern.param_names().next().is_some() {
                mistake = mistake.note(format!("it has {}", list_of(pattern.param_names())));
            }
            reader.note(mistake);
            None
        }
    }
}

fn path(text: &str, parts: &[TemplatePart]) -> Result<(), String> {
    if !text.starts_with('/') || text.starts_with("//") {
        return Err(format!("`{text}` is not a path: it begins with one slash"));
    }
    let cut = |part: &TemplatePart| match part {
        TemplatePart::Text(text) => text.contains(['?', '#']),
        TemplatePart::Query => true,
        TemplatePart::Param(_) => false,
    };
    if parts.iter().any(cut) {
        return Err("a path has no query and no fragment; the client's query is kept".into());
    }
    Ok(())
}

/// A client must not be able to choose the host it is sent to.
fn location(text: &str, parts: &[TemplatePart]) -> Result<(), String> {
    let authority = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    match authority {
        None if !text.starts_with('/') || text.starts_with("//") => {
            return Err(format!("`{text}` is not a location: it begins with one slash, `https://` or `http://`"));
        }
        Some(rest) => {
            let end = rest.find(['/', '?', '#', '{']).unwrap_or(rest.len());
            let (host, behind) = rest.split_at(end);
            if behind.starts_with('{') && !behind.starts_with("{?}") {
                return Err(
                    "a parameter cannot be part of the host, or clients would choose where they are sent".into()
                );
            }
            if http::uri::Authority::try_from(host).is_err() || host.contains('@') {
                return Err(format!("`{host}` is not a host"));
            }
        }
        None => {}
    }
    let mut before = String::new();
    for part in parts {
        match part {
            TemplatePart::Query if before.contains(['?', '#']) => {
                return Err("`{?}` brings its own `?`, so nothing before it has a `?` or `#`".into());
            }
            TemplatePart::Query => before.push('?'),
            TemplatePart::Text(text) => before.push_str(text),
            TemplatePart::Param(_) => {}
        }
    }
    Ok(())
}
