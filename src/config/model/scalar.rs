//! Single values: text with a unit or a form, read once and never again.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::base::host_pattern::HostPattern;
use crate::base::{byte_size, duration, timestamp};
use crate::config::report::{Code, Diagnostic};
use crate::config::yaml::{At, Kind, NodeId, Read, Reader};

/// Names end up as metric labels and log fields.
const MAX_NAME: usize = 64;

/// Declares a single value: how it is read, and its schema.
macro_rules! scalars {
    ($( $(#[doc = $doc:literal])* $name:ident($inner:ty) { $read:expr, $schema:tt } )*) => { $(
        $(#[doc = $doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub(crate) struct $name(pub(crate) $inner);

        impl Read for $name {
            fn read(node: NodeId, reader: &mut Reader<'_>) -> Option<Self> {
                let read: fn(NodeId, &mut Reader<'_>) -> Option<$inner> = $read;
                read(node, reader).map(Self)
            }
        }

        impl JsonSchema for $name {
            fn inline_schema() -> bool { true }
            fn schema_name() -> Cow<'static, str> { stringify!($name).into() }
            fn json_schema(_: &mut SchemaGenerator) -> Schema { json_schema!($schema) }
        }
    )* };
}
pub(super) use scalars;

scalars! {
    /// Any text.
    Text(Box<str>) { |node, reader| reader.text(node, "text").map(Into::into), { "type": "string" } }

    /// What a thing is called; part of metric labels and log lines.
    Name(Box<str>) { name, { "type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]*$", "maxLength": 64 } }

    Bool(bool) {
        |node, reader| match reader.kind(node)? {
            Kind::Bool(value) => Some(value),
            _ => {
                reader.wrong_type(node, "`true` or `false`");
                None
            }
        },
        { "type": "boolean" }
    }

    /// A whole number, not negative.
    Count(u64) { count, { "type": "integer", "minimum": 0 } }

    Duration(std::time::Duration) {
        |node, reader| parsed(node, reader, Code::Duration, "text for a duration such as `15s`", duration::parse),
        { "type": "string", "pattern": "^[0-9]+(\\.[0-9]+)?(us|ms|s|m|h|d)$" }
    }

    /// Bytes.
    Size(u64) {
        |node, reader| parsed(node, reader, Code::Size, "text for a size such as `64KiB`", byte_size::parse),
        { "type": "string", "pattern": "^[0-9]+(B|kB|MB|GB|KiB|MiB|GiB)$" }
    }

    /// An address to listen on.
    Address(SocketAddr) {
        |node, reader| parsed(node, reader, Code::Address, "text for an address such as `127.0.0.1:8080`", address),
        { "type": "string", "examples": ["127.0.0.1:8080", "[::]:8443"] }
    }

    /// Addresses in CIDR notation; a single address stands for itself.
    Network(IpNet) {
        |node, reader| parsed(node, reader, Code::Network, "text for a network such as `10.0.0.0/8`", network),
        { "type": "string", "examples": ["10.0.0.0/8", "fd00::/8"] }
    }

    Host(HostPattern) {
        |node, reader| parsed(node, reader, Code::HostPattern, "text for a host such as `api.example.com`", HostPattern::parse),
        { "type": "string", "examples": ["api.example.com", "*.example.com", "*"] }
    }

    /// One address.
    IpText(IpAddr) {
        |node, reader| parsed(node, reader, Code::IpAddress, "text for an IP address such as `192.0.2.1`", ip),
        { "type": "string", "examples": ["192.0.2.1", "2001:db8::1"] }
    }

    /// A point in time, since 1970 UTC.
    Date(std::time::Duration) {
        |node, reader| parsed(node, reader, Code::Date, "text for a date such as `2027-01-31`", timestamp::parse),
        { "type": "string", "examples": ["2027-01-31", "2027-01-31T18:00:00Z"] }
    }

    /// SHA-256.
    Digest([u8; 32]) {
        digest,
        { "type": "string", "pattern": "^([0-9A-Fa-f]:?){64}$" }
    }
}

/// Reads text and parses it; the parser's error is the message.
pub(crate) fn parsed<T>(
    node: NodeId,
    reader: &mut Reader<'_>,
    code: Code,
    expected: &str,
    parse: impl FnOnce(&str) -> Result<T, String>,
) -> Option<T> {
    let text = match reader.kind(node)? {
        // A number without its unit is a mistake about the unit, not about the type.
        Kind::Integer | Kind::Fraction
            if matches!(code, Code::Duration | Code::Size | Code::Rate | Code::Quota | Code::Percent) =>
        {
            reader.scalar(node)?.into()
        }
        _ => reader.text(node, expected)?,
    };
    match parse(&text) {
        Ok(value) => Some(value),
        Err(message) => {
            reader.note(Diagnostic::new(code, reader.span(node), message));
            None
        }
    }
}

fn name(node: NodeId, reader: &mut Reader<'_>) -> Option<Box<str>> {
    parsed(node, reader, Code::Name, "text for a name", |text| check_name(text).map(|()| text.into()))
}

/// Whether text can be a name; the error says what was expected.
pub(crate) fn check_name(text: &str) -> Result<(), String> {
    let sound = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if text.len() <= MAX_NAME && text.bytes().all(sound) && text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return Ok(());
    }
    Err(format!(
        "`{text}` is not a name: up to {MAX_NAME} letters, digits, `-`, `_` and `.`, with a letter or digit first"
    ))
}

fn count(node: NodeId, reader: &mut Reader<'_>) -> Option<u64> {
    let number = match reader.kind(node)? {
        Kind::Integer => reader.scalar(node)?.parse().ok(),
        _ => None,
    };
    if number.is_none() {
        match reader.kind(node)? {
            Kind::Integer => {
                let written = reader.scalar(node)?;
                let message = format!("`{written}` is not a whole number from 0 to {}", u64::MAX);
                reader.note(Diagnostic::new(Code::OutOfRange, reader.span(node), message));
            }
            _ => reader.wrong_type(node, "a whole number"),
        }
    }
    number
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        format!("`{text}` is not an address to listen on; write an IP address and a port, such as `127.0.0.1:8080` or `[::]:8443`")
    })
}

fn network(text: &str) -> Result<IpNet, String> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(address.into());
    }
    let network: IpNet = text.parse().map_err(|_| {
        format!("`{text}` is not a network; write it in CIDR notation, such as `10.0.0.0/8` or `fd00::/8`")
    })?;
    if network.trunc() != network {
        return Err(format!("`{text}` has bits set behind its prefix; did you mean `{}`?", network.trunc()));
    }
    Ok(network)
}

fn ip(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| format!("`{text}` is not an IP address"))
}

/// What is no digest may be what should have been digested, so it is not shown.
fn digest(node: NodeId, reader: &mut Reader<'_>) -> Option<[u8; 32]> {
    let kind = reader.kind(node)?;
    // Digits alone look like a number.
    let text = reader.scalar(node).filter(|_| matches!(kind, Kind::Text | Kind::Integer | Kind::Fraction));
    let digest = text.and_then(parse_digest);
    if digest.is_none() {
        reader.hide(node);
        let mistake =
            Diagnostic::new(Code::Digest, reader.span(node), "this is not a SHA-256 in 64 hexadecimal digits");
        reader.note(mistake.label("hidden here"));
    }
    digest
}

pub(crate) fn parse_digest(text: &str) -> Option<[u8; 32]> {
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b':').collect();
    let (pairs, rest) = digits.as_chunks::<2>();
    let nibble = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
    let bytes: Option<Vec<u8>> = pairs.iter().map(|[high, low]| Some(nibble(*high)? << 4 | nibble(*low)?)).collect();
    bytes.filter(|_| rest.is_empty())?.try_into().ok()
}

/// A list; entries that cannot be read are left out, and noted.
#[derive(Clone, Debug)]
pub(crate) struct List<T>(pub(crate) Vec<At<T>>);

impl<T: Read> Read for List<T> {
    fn read(node: NodeId, reader: &mut Reader<'_>) -> Option<Self> {
        let Some(items) = reader.items(node) else {
            reader.wrong_type(node, "a list");
            return None;
        };
        let mut read = Vec::with_capacity(items.len());
        read.extend(items.iter().filter_map(|item| At::read(*item, reader)));
        Some(Self(read))
    }
}

impl<T: JsonSchema> JsonSchema for List<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("ListOf{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "array", "items": generator.subschema_for::<T>() })
    }
}

/// One of something, or a list that is not empty.
#[derive(Clone, Debug)]
pub(crate) struct OneOrMany<T>(pub(crate) Vec<At<T>>);

impl<T: Read> Read for OneOrMany<T> {
    fn read(node: NodeId, reader: &mut Reader<'_>) -> Option<Self> {
        if reader.kind(node)? != Kind::List {
            return At::read(node, reader).map(|one| Self(vec![one]));
        }
        if reader.items(node)?.is_empty() {
            let mistake = Diagnostic::new(Code::EmptyList, reader.span(node), "an empty list says nothing here");
            reader.note(mistake.label("nothing is listed"));
            return None;
        }
        List::read(node, reader).map(|List(items)| Self(items))
    }
}

impl<T: JsonSchema> JsonSchema for OneOrMany<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("OneOrMany{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<T>();
        json_schema!({ "anyOf": [one.clone(), { "type": "array", "items": one, "minItems": 1 }] })
    }
}

/// A mapping whose keys are names of the writer's choice.
#[derive(Clone, Debug)]
pub(crate) struct Named<T>(pub(crate) Vec<(At<Box<str>>, At<T>)>);

impl<T: Read> Read for Named<T> {
    fn read(node: NodeId, reader: &mut Reader<'_>) -> Option<Self> {
        let entries = reader.entries(node, "a set of names")?;
        let read = |entry: crate::config::yaml::Entry<'_>| {
            let key = At { value: entry.key.into(), span: entry.span, node: entry.value };
            At::read(entry.value, reader).map(|value| (key, value))
        };
        let mut named = Vec::with_capacity(entries.len());
        named.extend(entries.into_iter().filter_map(read));
        Some(Self(named))
    }
}

impl<T: JsonSchema> JsonSchema for Named<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Named{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "object", "additionalProperties": generator.subschema_for::<T>() })
    }
}

/// A value, or `off`.
#[derive(Clone, Debug)]
pub(crate) enum OrOff<T> {
    Off,
    On(T),
}

impl<T> OrOff<T> {
    pub(crate) fn on(self) -> Option<T> {
        match self {
            Self::Off => None,
            Self::On(value) => Some(value),
        }
    }
}

impl<T: Read> Read for OrOff<T> {
    fn read(node: NodeId, reader: &mut Reader<'_>) -> Option<Self> {
        if reader.kind(node)? == Kind::Text && reader.scalar(node)? == "off" {
            return Some(Self::Off);
        }
        T::read(node, reader).map(Self::On)
    }
}

impl<T: JsonSchema> JsonSchema for OrOff<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("{}OrOff", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "const": "off" }, generator.subschema_for::<T>()] })
    }
}

/// A number of worker threads, or one for each core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Threads {
    Auto,
    Number(u64),
}

impl Read for Threads {
    fn read(node: NodeId, reader: &mut Reader<'_>) -> Option<Self> {
        match reader.kind(node)? {
            Kind::Text if reader.scalar(node)? == "auto" => Some(Self::Auto),
            Kind::Integer => Count::read(node, reader).map(|Count(number)| Self::Number(number)),
            _ => {
                reader.wrong_type(node, "a number of threads or `auto`");
                None
            }
        }
    }
}

impl JsonSchema for Threads {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Threads".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "const": "auto" }, { "type": "integer", "minimum": 1 }] })
    }
}

impl<T: JsonSchema> JsonSchema for crate::config::yaml::Guarded<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}
