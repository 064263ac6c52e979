//! Secrets: the file says where they are, never what they are.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::config::report::{Code, Diagnostic};
use crate::config::yaml::{NodeId, Read, Reader};

/// Where a secret is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SecretSource {
    /// The variable of the environment with this name.
    Variable(Box<str>),
    /// A file, from the folder of the file that names it.
    File(Box<str>),
}

impl SecretSource {
    /// `None` for a text that is no reference: it may well be the secret itself.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if let Some(path) = text.strip_prefix("file:") {
            return (!path.is_empty()).then(|| Self::File(path.into()));
        }
        let name = text.strip_prefix("${env:")?.strip_suffix('}')?;
        let mut bytes = name.bytes();
        let first = bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
        let sound = first && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        sound.then(|| Self::Variable(name.into()))
    }
}

impl Read for SecretSource {
    fn read(node: NodeId, reader: &mut Reader<'_>) -> Option<Self> {
        reader.kind(node)?;
        let source = reader.scalar(node).and_then(Self::parse);
        if source.is_none() {
            reader.hide(node);
            let mistake =
                Diagnostic::new(Code::SecretLiteral, reader.span(node), "a secret is not written in this file");
            reader.note(
                mistake
                    .label("hidden here; change it, for it has been in a file that many may read")
                    .help("write `${env:NAME}` for a variable of the environment, or `file:` and a path"),
            );
        }
        source
    }
}

impl JsonSchema for SecretSource {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^(\\$\\{env:[A-Za-z_][A-Za-z0-9_]*\\}|file:.+)$" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_whole_or_none() {
        let variable = |name: &str| Some(SecretSource::Variable(name.into()));
        assert_eq!(SecretSource::parse("${env:JWT_SECRET}"), variable("JWT_SECRET"));
        assert_eq!(SecretSource::parse("${env:_1}"), variable("_1"));
        assert_eq!(SecretSource::parse("file:a b.txt"), Some(SecretSource::File("a b.txt".into())));
        for text in [
            "",
            "file:",
            "hunter2",
            "${env:}",
            "${env:1A}",
            "${env:A",
            "${env:A}x",
            "x${env:A}",
            "${A}",
            "$A",
            "${env:A-B}",
        ] {
            assert_eq!(SecretSource::parse(text), None, "{text}");
        }
    }
}
