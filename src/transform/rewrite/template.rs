//! Templates with their parameters looked up once.

use thiserror::Error;

use super::push_query;
use crate::config::checked::{Template, TemplatePart};

/// A template that knows its parameters by position.
///
/// Parameters are segments in normal form: they hold no `?`, no `#` and no broken percent-encoding, and only a
/// `{rest...}` holds `/` or may be empty. What is rendered therefore has exactly the structure that the template wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompiledTemplate {
    parts: Box<[Part]>,
    places_query: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(Box<str>),
    Param {
        position: usize,
        /// Behind a `?`, where `&`, `=`, `+` and `;` would mean something else than they did in the path.
        in_query: bool,
    },
    /// `&` when the template wrote a `?` before.
    Query {
        mark: char,
    },
}

/// Why a template cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TemplateError {
    #[error("`{{{0}}}` is not a parameter of the route's path")]
    UnknownParam(Box<str>),
    #[error("a path begins with one `/`")]
    NotAPath,
    #[error("a location begins with `/` or with a scheme and a host, such as `https://api.example.com/`")]
    NotALocation,
    #[error("a parameter may not become part of the host; put a `/` in front of it")]
    ParamInHost,
    #[error("`{0}` may not stand here; write it percent-encoded")]
    Character(char),
    #[error("`%` is not followed by two hexadecimal digits; write `%25` for the character itself")]
    BrokenEncoding,
    #[error("`.` and `..` may not be segments of a path")]
    DotSegment,
}

impl CompiledTemplate {
    /// A template for a request path, which may bring a query of its own. `params` are the parameter names of the
    /// route's path pattern, in its order.
    pub fn path(template: &Template, params: &[&str]) -> Result<Self, TemplateError> {
        let written = check_text(template, |c| !matches!(c, '#' | '[' | ']'))?;
        let first = template.0.first();
        let rooted =
            matches!(first, Some(TemplatePart::Text(text)) if text.starts_with('/') && !text.starts_with("//"));
        if !rooted {
            return Err(TemplateError::NotAPath);
        }
        if written.split('?').next().is_some_and(|path| path.split('/').any(is_dot_segment)) {
            return Err(TemplateError::DotSegment);
        }
        Self::compile(template, params)
    }

    /// A template for a `Location` (RFC 9110 §10.2.2): no request can choose its scheme or host.
    pub fn location(template: &Template, params: &[&str]) -> Result<Self, TemplateError> {
        check_text(template, |_| true)?;
        let Some(TemplatePart::Text(first)) = template.0.first() else { return Err(TemplateError::NotALocation) };
        let authority = match first.split_once("://") {
            Some((scheme, rest)) if is_scheme(scheme) => Some(rest),
            _ if first.starts_with('/') => first.strip_prefix("//"),
            _ => return Err(TemplateError::NotALocation),
        };
        if let Some(authority) = authority {
            if authority.is_empty() || authority.starts_with(['/', '?', '#']) {
                return Err(TemplateError::NotALocation);
            }
            if !authority.contains(['/', '?', '#']) && matches!(template.0.get(1), Some(TemplatePart::Param(_))) {
                return Err(TemplateError::ParamInHost);
            }
        }
        Self::compile(template, params)
    }

    /// A template for a text that is no part of a URI.
    pub fn text(template: &Template, params: &[&str]) -> Result<Self, TemplateError> {
        Self::compile(template, params)
    }

    fn compile(template: &Template, params: &[&str]) -> Result<Self, TemplateError> {
        let mut in_query = false;
        let mut places_query = false;
        let mut parts = Vec::with_capacity(template.0.len());
        for part in &template.0 {
            parts.push(match part {
                TemplatePart::Text(text) => {
                    in_query |= text.contains('?');
                    Part::Text(text.clone())
                }
                TemplatePart::Param(name) => {
                    let wanted = name.strip_suffix("...").unwrap_or(name);
                    let position = params.iter().position(|param| *param == wanted);
                    let position = position.ok_or_else(|| TemplateError::UnknownParam(name.clone()))?;
                    Part::Param { position, in_query }
                }
                TemplatePart::Query => {
                    places_query = true;
                    let mark = if in_query { '&' } else { '?' };
                    in_query = true;
                    Part::Query { mark }
                }
            });
        }
        Ok(Self { parts: parts.into(), places_query })
    }

    /// Whether the template says where the query of the request goes.
    pub(super) fn places_query(&self) -> bool {
        self.places_query
    }

    /// Appends to `out`. `params` is asked by position; `query` comes without its `?`.
    pub fn render<'p>(&self, params: impl Fn(usize) -> &'p str, query: Option<&str>, out: &mut String) {
        let began = out.len();
        for part in &self.parts {
            match part {
                // Where a `{rest...}` is empty or ends with a slash, the next slash would be one too many; at the front
                // of a location it would even turn what follows into a host.
                Part::Text(text) if out.len() > began && out.ends_with('/') => {
                    out.push_str(text.strip_prefix('/').unwrap_or(text));
                }
                Part::Text(text) => out.push_str(text),
                Part::Param { position, in_query: false } => out.push_str(params(*position)),
                Part::Param { position, in_query: true } => push_query_value(params(*position), out),
                Part::Query { mark } => push_query(query, *mark, out),
            }
        }
    }
}

fn push_query_value(segment: &str, out: &mut String) {
    for piece in segment.split_inclusive(['&', '=', '+', ';']) {
        let (text, code) = match piece.as_bytes().last() {
            Some(b'&') => (piece.strip_suffix('&'), "%26"),
            Some(b'=') => (piece.strip_suffix('='), "%3D"),
            Some(b'+') => (piece.strip_suffix('+'), "%2B"),
            Some(b';') => (piece.strip_suffix(';'), "%3B"),
            _ => (None, ""),
        };
        out.push_str(text.unwrap_or(piece));
        out.push_str(code);
    }
}

/// All text of the template in one, checked to be made of the characters of RFC 3986 §2 that are also `allowed`.
fn check_text(template: &Template, allowed: impl Fn(char) -> bool) -> Result<String, TemplateError> {
    let mut written = String::new();
    for part in &template.0 {
        let TemplatePart::Text(text) = part else { continue };
        let known = |c: char| c.is_ascii_alphanumeric() || "-._~:/?#[]@!$&'()*+,;=%".contains(c);
        if let Some(c) = text.chars().find(|c| !known(*c) || !allowed(*c)) {
            return Err(TemplateError::Character(c));
        }
        let two_digits = |after: &str| after.bytes().take(2).filter(u8::is_ascii_hexdigit).count() == 2;
        if !text.split('%').skip(1).all(two_digits) {
            return Err(TemplateError::BrokenEncoding);
        }
        written.push_str(text);
    }
    Ok(written)
}

/// As the least careful server would read it: decoded, and without what follows a `;`.
fn is_dot_segment(segment: &str) -> bool {
    let decoded = segment.replace("%2e", ".").replace("%2E", ".");
    matches!(decoded.split(';').next(), Some("." | ".."))
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
}
