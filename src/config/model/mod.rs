//! What is written: the keys of both files, one struct a mapping, every value with its place.
//!
//! The structs are made by [`model!`], which also makes their readers and their JSON Schema, so that the three cannot
//! disagree. Every field is an `Option`: `None` is either not written or written wrongly, and then the reader has
//! noted it; [`Keys::has`](crate::config::yaml::Keys::has) tells the two apart.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value};

pub(crate) mod access;
pub(crate) mod anomaly;
pub(crate) mod cache;
pub(crate) mod expectation;
pub(crate) mod gateway;
pub(crate) mod identity;
mod json;
pub(crate) mod limits;
pub(crate) mod routes;
mod scalar;
pub(crate) mod secret;

pub(crate) use crate::config::yaml::{At, Guarded};
pub(crate) use json::{Json, JsonObject};
pub(crate) use scalar::{
    Address, Bool, Count, Date, Digest, Duration, Host, IpText, List, Name, Named, Network, OneOrMany, OrOff, Size,
    Text, Threads, check_name, parse_digest,
};

/// A key of a mapping, for its schema.
pub(super) struct Property {
    pub(super) key: &'static str,
    pub(super) doc: &'static str,
    pub(super) required: bool,
    pub(super) schema: Schema,
    pub(super) default: Option<Value>,
}

/// The name of a field as it is written in the file (`r#match` is written `match`).
pub(super) const fn key(field: &'static str) -> &'static str {
    match field.as_bytes() {
        [b'r', b'#', ..] => field.split_at(2).1,
        _ => field,
    }
}

/// The schema of a mapping. Keys that begin with `x-` are free when it is `open`.
pub(super) fn mapping_schema(doc: &str, open: bool, properties: Vec<Property>) -> Schema {
    let mut written = Map::new();
    let mut required = Vec::new();
    for Property { key, doc, required: needed, mut schema, default } in properties {
        schema.insert("description".into(), paragraph(doc).into());
        if let Some(default) = default {
            schema.insert("default".into(), default);
        }
        if needed {
            required.push(Value::from(key));
        }
        written.insert(key.into(), schema.to_value());
    }
    let mut object = Map::new();
    object.insert("description".into(), paragraph(doc).into());
    object.insert("type".into(), "object".into());
    object.insert("properties".into(), written.into());
    if open {
        object.insert("patternProperties".into(), serde_json::json!({ "^x-": true }));
    }
    object.insert("additionalProperties".into(), false.into());
    if !required.is_empty() {
        object.insert("required".into(), required.into());
    }
    object.into()
}

fn paragraph(doc: &str) -> String {
    doc.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The schema of a type, by reference where it has a name.
pub(super) fn schema_of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// Declares a mapping: `required` and `optional` keys, their types, and the defaults that the schema shows. A `checked` key
/// is required as well, but its absence has a code of its own and is noted by the check.
macro_rules! model {
    ($(
        $(#[doc = $doc:literal])*
        $name:ident $what:literal $($open:ident)? {
            $( $(#[doc = $key_doc:literal])* $need:ident $field:ident: $type:ty $(= $default:expr)?, )*
        }
    )*) => { $(
        $(#[doc = $doc])*
        #[derive(Clone, Debug, Default)]
        pub(crate) struct $name {
            pub(crate) keys: $crate::config::yaml::Keys,
            $( $(#[doc = $key_doc])* pub(crate) $field: Option<$crate::config::yaml::At<$type>>, )*
        }

        impl $name {
            pub(crate) const KEYS: &'static [&'static str] = &[$( $crate::config::model::key(stringify!($field)), )*];
            const OPEN: bool = [$( stringify!($open), )? ""].len() > 1;
        }

        impl $crate::config::yaml::Read for $name {
            fn read(
                node: $crate::config::yaml::NodeId,
                reader: &mut $crate::config::yaml::Reader<'_>,
            ) -> Option<Self> {
                let mut this = Self::default();
                this.keys.mapping = reader.span(node);
                let entries = reader.entries(node, $what)?;
                this.keys.written.reserve_exact(entries.len());
                for entry in entries {
                    $(
                        if entry.key == $crate::config::model::key(stringify!($field)) {
                            let key = $crate::config::model::key(stringify!($field));
                            this.keys.written.push((key, entry.span));
                            this.$field = $crate::config::yaml::At::read(entry.value, reader);
                            continue;
                        }
                    )*
                    let meant = $crate::config::model::unknown_key(&entry, $what, Self::KEYS, Self::OPEN, reader);
                    this.keys.meant.extend(meant);
                }
                $( $crate::config::model::missing_key(
                    stringify!($need), $crate::config::model::key(stringify!($field)), $what, &this.keys, reader,
                ); )*
                Some(this)
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> { stringify!($name).into() }

            fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                let properties = vec![$( $crate::config::model::Property {
                    key: $crate::config::model::key(stringify!($field)),
                    doc: concat!($( $key_doc, "\n", )*),
                    required: stringify!($need) != "optional",
                    schema: $crate::config::model::schema_of::<$type>(generator),
                    default: [$( serde_json::Value::from($default), )? serde_json::Value::Null]
                        .into_iter().next().filter(|value| !value.is_null()),
                }, )*];
                $crate::config::model::mapping_schema(concat!($( $doc, "\n", )*), Self::OPEN, properties)
            }
        }
    )* };
}
pub(super) use model;

/// Declares a word that is one of a few.
macro_rules! choices {
    ($( $(#[doc = $doc:literal])* $name:ident $what:literal { $( $variant:ident $word:literal, )* } )*) => { $(
        $(#[doc = $doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum $name { $( $variant, )* }

        impl $crate::config::yaml::Read for $name {
            fn read(
                node: $crate::config::yaml::NodeId,
                reader: &mut $crate::config::yaml::Reader<'_>,
            ) -> Option<Self> {
                let word = reader.text(node, concat!("text for ", $what))?;
                match &*word {
                    $( $word => Some(Self::$variant), )*
                    other => {
                        $crate::config::model::no_choice(other, node, $what, &[$( $word, )*], reader);
                        None
                    }
                }
            }
        }

        impl schemars::JsonSchema for $name {
            fn inline_schema() -> bool { true }

            fn schema_name() -> std::borrow::Cow<'static, str> { stringify!($name).into() }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "enum": [$( $word, )*] })
            }
        }
    )* };
}
pub(super) use choices;

mod mistakes;
pub(super) use mistakes::{missing_key, no_choice, unknown_key};
