//! Values of any type, as JSON has them.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Number, Value};

use crate::config::report::{Code, Diagnostic};
use crate::config::yaml::{Kind, NodeId, Read, Reader};

/// Any value.
#[derive(Clone, Debug)]
pub(crate) struct Json(pub(crate) Value);

/// A mapping of any values.
#[derive(Clone, Debug)]
pub(crate) struct JsonObject(pub(crate) Map<String, Value>);

impl Read for Json {
    fn read(node: NodeId, reader: &mut Reader<'_>) -> Option<Self> {
        let value = match reader.kind(node)? {
            Kind::Nothing => Value::Null,
            Kind::Bool(value) => Value::Bool(value),
            Kind::Integer | Kind::Fraction => Value::Number(number(node, reader)?),
            Kind::Text => Value::String(reader.text(node, "text")?.into()),
            Kind::List => {
                let items = reader.items(node)?.iter();
                Value::Array(items.map(|item| Self::read(*item, reader).map(|json| json.0)).collect::<Option<_>>()?)
            }
            Kind::Mapping => Value::Object(object(node, reader)?),
        };
        Some(Self(value))
    }
}

impl Read for JsonObject {
    fn read(node: NodeId, reader: &mut Reader<'_>) -> Option<Self> {
        object(node, reader).map(Self)
    }
}

fn object(node: NodeId, reader: &mut Reader<'_>) -> Option<Map<String, Value>> {
    let entries = reader.entries(node, "a set of claims")?;
    entries.into_iter().map(|entry| Some((entry.key.to_owned(), Json::read(entry.value, reader)?.0))).collect()
}

fn number(node: NodeId, reader: &mut Reader<'_>) -> Option<Number> {
    let written = reader.scalar(node)?;
    let whole = match written.split_at_checked(2) {
        Some(("0x", digits)) => u64::from_str_radix(digits, 16).ok(),
        Some(("0o", digits)) => u64::from_str_radix(digits, 8).ok(),
        _ => written.parse().ok(),
    };
    let number = whole.map(Number::from).or_else(|| written.parse::<i64>().ok().map(Number::from));
    // A whole number that does not fit would silently become another one.
    let is_whole = reader.kind(node)? == Kind::Integer;
    let number = number.or_else(|| written.parse().ok().filter(|_| !is_whole).and_then(Number::from_f64));
    if number.is_none() {
        let message = format!("`{written}` is not a number that JSON can carry without loss");
        reader.note(Diagnostic::new(Code::OutOfRange, reader.span(node), message));
    }
    number
}

impl JsonSchema for Json {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Json".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "number", "boolean", "null", "array", "object"] })
    }
}

impl JsonSchema for JsonObject {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "JsonObject".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "object" })
    }
}
