//! Paths and locations made from parts of a request.

mod template;

pub use template::{CompiledTemplate, TemplateError};

use crate::config::checked::Rewrite;

/// How a route changes the path, ready to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CompiledRewrite {
    /// Takes this off the front, at a segment boundary only; never ends with a slash.
    StripPrefix(Box<str>),
    Path(CompiledTemplate),
}

impl CompiledRewrite {
    /// `params` are the parameter names of the route's path pattern, in its order.
    pub fn compile(rewrite: &Rewrite, params: &[&str]) -> Result<Self, TemplateError> {
        Ok(match rewrite {
            Rewrite::StripPrefix(prefix) => Self::StripPrefix(prefix.trim_end_matches('/').into()),
            Rewrite::Path(template) => Self::Path(CompiledTemplate::path(template, params)?),
        })
    }

    /// Writes the new request target (RFC 9112 §3.2.1): the path, which always begins with `/`, and the query as it
    /// was, behind what query the template writes. `path` is in normal form, as are the parameters, which are asked
    /// for by their position in the pattern.
    pub fn apply<'p>(&self, path: &str, query: Option<&str>, params: impl Fn(usize) -> &'p str, out: &mut String) {
        let began = out.len();
        match self {
            Self::StripPrefix(prefix) => {
                out.push_str(strip(path, prefix));
                push_query(query, '?', out);
            }
            Self::Path(template) => {
                template.render(params, query, out);
                if !template.places_query() {
                    let written = out.get(began..).is_some_and(|target| target.contains('?'));
                    push_query(query, if written { '&' } else { '?' }, out);
                }
            }
        }
    }
}

/// A path that does not begin with the prefix stays as it is.
fn strip<'p>(path: &'p str, prefix: &str) -> &'p str {
    match path.strip_prefix(prefix) {
        Some("") => "/",
        Some(rest) if rest.starts_with('/') => rest,
        _ => path,
    }
}

/// An empty query keeps its `?`, but adds nothing to another.
fn push_query(query: Option<&str>, mark: char, out: &mut String) {
    if let Some(query) = query
        && (mark == '?' || !query.is_empty())
    {
        out.push(mark);
        out.push_str(query);
    }
}

#[cfg(test)]
mod tests;
