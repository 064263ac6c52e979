//! Path patterns: `/api/orders`, `/api/orders/{id}`, `/files/{rest...}`.

use std::fmt;

use super::normalize::{PathError, normalise};

/// The most segments a pattern may have; it bounds the depth of the table.
pub const MAX_SEGMENTS: usize = 128;

/// A path split at its slashes, in normal form. A slash at the end is an empty literal segment: `/` is one, and `/a/`
/// is `a` and an empty one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PathPattern {
    pub segments: Vec<Segment>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Segment {
    /// These characters, in normal form.
    Literal(Box<str>),
    /// Exactly one non-empty segment, under this name.
    Param(Box<str>),
    /// All remaining segments, possibly none, under this name; only at the end.
    Rest(Box<str>),
}

impl PathPattern {
    /// Reads a pattern; the error says what was expected. Literals may be written with or without percent-encoding.
    pub fn parse(text: &str) -> Result<Self, String> {
        let inside = text.strip_prefix('/').ok_or_else(|| format!("`{text}` does not begin with a slash"))?;
        let count = inside.split('/').count();
        if count > MAX_SEGMENTS {
            return Err(format!("a path pattern has at most {MAX_SEGMENTS} segments; this one has {count}"));
        }
        let mut segments: Vec<Segment> = Vec::with_capacity(count);
        for (at, written) in inside.split('/').enumerate() {
            let last = at + 1 == count;
            if written.is_empty() && !last {
                return Err(format!("`{text}` has an empty segment; requests never do, as `//` is read as `/`"));
            }
            let segment = read_segment(written).map_err(|why| format!("`{text}`: {why}"))?;
            if matches!(segment, Segment::Rest(_)) && !last {
                return Err(format!("`{text}`: `{written}` takes everything that follows, so it stands at the end"));
            }
            if let Some(name) = segment.param_name()
                && segments.iter().any(|earlier| earlier.param_name() == Some(name))
            {
                return Err(format!("`{text}` has two parameters named `{name}`"));
            }
            segments.push(segment);
        }
        Ok(Self { segments })
    }

    /// The names of the parameters, in the order of the path.
    pub fn param_names(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().filter_map(Segment::param_name)
    }
}

impl Segment {
    #[must_use]
    pub fn param_name(&self) -> Option<&str> {
        match self {
            Self::Literal(_) => None,
            Self::Param(name) | Self::Rest(name) => Some(name),
        }
    }
}

fn read_segment(written: &str) -> Result<Segment, String> {
    if let Some(name) = written.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'))
        && !name.contains(['{', '}'])
    {
        return Ok(match name.strip_suffix("...") {
            Some(name) => Segment::Rest(read_name(name, written)?),
            None => Segment::Param(read_name(name, written)?),
        });
    }
    if written.contains(['{', '}']) {
        return Err(format!(
            "in `{written}` a brace is out of place: a parameter is a whole segment, such as `/{{id}}/`; \
             write `%7B` and `%7D` for the characters themselves"
        ));
    }
    if matches!(written, "*" | "**") {
        return Err(format!(
            "`{written}` has no meaning here; write `{{name}}` for one segment or `{{rest...}}` for all that follow"
        ));
    }
    let absolute = format!("/{written}");
    let normal = normalise(&absolute).map_err(|error| match error {
        PathError::AboveRoot => dot_segment(written),
        PathError::ControlCharacter => {
            format!("`{}` has a space or a control character; write it percent-encoded, such as `%20`", written.escape_debug())
        }
        PathError::QueryOrFragment => {
            format!("`{written}` has a `?` or `#`; a query is matched by `query`, and the characters themselves are `%3F` and `%23`")
        }
        PathError::BrokenEncoding => format!("in `{written}` a `%` is not followed by two hexadecimal digits; the character itself is `%25`"),
        PathError::NotAbsolute | PathError::DotSegmentParameter => format!("`{written}` can never be asked for: {error}"),
    })?;
    let literal = normal.as_str().strip_prefix('/').unwrap_or_default();
    if literal.is_empty() && !written.is_empty() {
        return Err(dot_segment(written));
    }
    Ok(Segment::Literal(literal.into()))
}

fn dot_segment(written: &str) -> String {
    format!(
        "`{written}` is a dot segment; requests never have one when they are matched, so write the path it leads to"
    )
}

fn read_name(name: &str, written: &str) -> Result<Box<str>, String> {
    let sound = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if sound {
        Ok(name.into())
    } else {
        Err(format!(
            "`{written}` needs a name of letters, digits and `_` that does not begin with a digit, such as `{{id}}` or `{{rest...}}`"
        ))
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.segments.iter().try_for_each(|segment| write!(f, "/{segment}"))
    }
}

impl fmt::Display for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(text) => f.write_str(text),
            Self::Param(name) => write!(f, "{{{name}}}"),
            Self::Rest(name) => write!(f, "{{{name}...}}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_literals_parameters_and_rest_and_writes_them_back() {
        for text in ["/", "/a", "/a/", "/api/orders/{id}", "/{a}/{b_2}/x/{rest...}", "/{rest...}", "/%20/%2F"] {
            assert_eq!(PathPattern::parse(text).unwrap().to_string(), text);
        }
        let pattern = PathPattern::parse("/a/{id}/{rest...}").unwrap();
        assert_eq!(
            pattern.segments,
            [Segment::Literal("a".into()), Segment::Param("id".into()), Segment::Rest("rest".into())]
        );
        assert_eq!(pattern.param_names().collect::<Vec<_>>(), ["id", "rest"]);
        assert_eq!(PathPattern::parse("/").unwrap().segments, [Segment::Literal("".into())]);
    }

    #[test]
    fn literals_get_the_normal_form_of_requests() {
        for (text, want) in [("/café", "/caf%C3%A9"), ("/%7eme/%2f", "/~me/%2F"), ("/a|b", "/a%7Cb")] {
            assert_eq!(PathPattern::parse(text).unwrap().to_string(), want);
        }
    }

    #[test]
    fn errors_name_the_place_and_the_remedy() {
        for (text, part) in [
            ("", "does not begin with a slash"),
            ("a", "does not begin with a slash"),
            ("/a//b", "empty segment"),
            ("/a/../b", "dot segment"),
            ("/a/./b", "dot segment"),
            ("/a/%2e%2E", "dot segment"),
            ("/a b", "%20"),
            ("/a?x=1", "`query`"),
            ("/100%", "%25"),
            ("/a{id}", "whole segment"),
            ("/{id", "whole segment"),
            ("/{{id}}", "whole segment"),
            ("/{}", "needs a name"),
            ("/{...}", "needs a name"),
            ("/{1st}", "needs a name"),
            ("/{a-b}", "needs a name"),
            ("/{rest...}/x", "stands at the end"),
            ("/{rest...}/", "stands at the end"),
            ("/{id}/x/{id}", "two parameters named `id`"),
            ("/api/*", "{rest...}"),
            ("/a/..;x", "`;`"),
        ] {
            let error = PathPattern::parse(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
        assert!(PathPattern::parse(&"/a".repeat(MAX_SEGMENTS)).is_ok());
        assert!(PathPattern::parse(&"/a".repeat(MAX_SEGMENTS + 1)).unwrap_err().contains("at most 128"));
    }
}
