//! Schemas: the part of JSON Schema that example data and checks need, with `allOf` folded in at load.

use serde_json::{Number, Value};

use super::reader::{Place, Reader};

/// Names a schema within its document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::sandbox) struct SchemaId(usize);

/// All schemas of a document.
#[derive(Debug, Default)]
pub(in crate::sandbox) struct Schemas(Vec<Schema>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sandbox) enum Kind {
    Null,
    Boolean,
    Integer,
    Number,
    String,
    Array,
    Object,
}

#[derive(Clone, Debug, Default)]
pub(in crate::sandbox) struct Schema {
    /// Where it stands; what examples of it are seeded with.
    pub(in crate::sandbox) pointer: String,
    /// Empty means any.
    pub(in crate::sandbox) kinds: Vec<Kind>,
    /// `enum` or `const`; empty means any.
    pub(in crate::sandbox) values: Vec<Value>,
    /// `examples`, `example` or `default`.
    pub(in crate::sandbox) examples: Vec<Value>,
    pub(in crate::sandbox) default: Option<Value>,
    pub(in crate::sandbox) format: Option<String>,
    pub(in crate::sandbox) pattern: bool,
    pub(in crate::sandbox) minimum: Option<f64>,
    pub(in crate::sandbox) maximum: Option<f64>,
    pub(in crate::sandbox) exclusive_minimum: Option<f64>,
    pub(in crate::sandbox) exclusive_maximum: Option<f64>,
    pub(in crate::sandbox) multiple_of: Option<f64>,
    /// In characters.
    pub(in crate::sandbox) min_length: Option<u64>,
    pub(in crate::sandbox) max_length: Option<u64>,
    pub(in crate::sandbox) min_items: Option<u64>,
    pub(in crate::sandbox) max_items: Option<u64>,
    pub(in crate::sandbox) unique_items: bool,
    pub(in crate::sandbox) items: Option<SchemaId>,
    pub(in crate::sandbox) properties: Vec<(String, SchemaId)>,
    pub(in crate::sandbox) required: Vec<String>,
    pub(in crate::sandbox) additional: Additional,
    pub(in crate::sandbox) one_of: Vec<SchemaId>,
    pub(in crate::sandbox) any_of: Vec<SchemaId>,
    pub(in crate::sandbox) read_only: bool,
    pub(in crate::sandbox) write_only: bool,
    all_of: Vec<SchemaId>,
}

/// Members that no property names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::sandbox) enum Additional {
    #[default]
    Any,
    None,
    Schema(SchemaId),
}

impl Schema {
    pub(in crate::sandbox) fn property(&self, name: &str) -> Option<SchemaId> {
        self.properties.iter().find(|(own, _)| own == name).map(|(_, id)| *id)
    }

    /// What a value is when all is as the author meant it: the first kind that is not null.
    pub(in crate::sandbox) fn kind(&self) -> Option<Kind> {
        let written = self.kinds.iter().copied().find(|kind| *kind != Kind::Null).or(self.kinds.first().copied());
        written.or_else(|| match self {
            Self { properties, additional, .. } if !properties.is_empty() || *additional != Additional::Any => {
                Some(Kind::Object)
            }
            Self { items: Some(_), .. } => Some(Kind::Array),
            Self { format: Some(_), .. } | Self { max_length: Some(_), .. } => Some(Kind::String),
            Self { minimum: Some(_), .. } | Self { maximum: Some(_), .. } => Some(Kind::Number),
            _ => None,
        })
    }
}

impl Schemas {
    pub(in crate::sandbox) fn get(&self, id: SchemaId) -> &Schema {
        #[expect(clippy::indexing_slicing, reason = "ids are only made by `add`, and nothing is ever removed")]
        &self.0[id.0]
    }

    /// A schema to be [`set`](Self::set) later; until then it allows everything.
    pub(super) fn add(&mut self, pointer: String) -> SchemaId {
        self.0.push(Schema { pointer, ..Schema::default() });
        SchemaId(self.0.len() - 1)
    }

    pub(super) fn set(&mut self, id: SchemaId, schema: Schema) {
        if let Some(place) = self.0.get_mut(id.0) {
            *place = schema;
        }
    }

    /// Folds every `allOf` into the schema that holds it; what stands nearer wins for a property named twice.
    pub(super) fn merge(&mut self, reader: &mut Reader<'_>) {
        for index in 0..self.0.len() {
            self.fold(SchemaId(index), &mut Vec::new(), reader);
        }
    }

    fn fold(&mut self, id: SchemaId, above: &mut Vec<SchemaId>, reader: &mut Reader<'_>) {
        const MAX_DEPTH: usize = 64;
        if self.get(id).all_of.is_empty() {
            return;
        }
        if above.contains(&id) || above.len() > MAX_DEPTH {
            reader.fault(&format!("{}/allOf", self.get(id).pointer), "`allOf` leads in a circle or too deep");
            return;
        }
        above.push(id);
        let mut whole = self.get(id).clone();
        for part in std::mem::take(&mut whole.all_of).into_iter().rev() {
            self.fold(part, above, reader);
            whole.absorb(self.get(part), reader);
        }
        above.pop();
        self.set(id, whole);
    }
}

impl Schema {
    fn absorb(&mut self, part: &Self, reader: &mut Reader<'_>) {
        fn tighter<T: PartialOrd + Copy>(own: &mut Option<T>, other: Option<T>, better: fn(&T, &T) -> bool) {
            if let Some(other) = other
                && own.is_none_or(|own| better(&other, &own))
            {
                *own = Some(other);
            }
        }
        if self.kinds.is_empty() {
            self.kinds.clone_from(&part.kinds);
        } else if !part.kinds.is_empty() {
            let whole = part.kinds.contains(&Kind::Number);
            self.kinds.retain(|kind| part.kinds.contains(kind) || (whole && *kind == Kind::Integer));
            if self.kinds.is_empty() {
                reader.fault(&format!("{}/allOf", self.pointer), "no value can be of all these types");
            }
        }
        if self.values.is_empty() {
            self.values.clone_from(&part.values);
        } else if !part.values.is_empty() {
            self.values.retain(|value| part.values.contains(value));
        }
        if self.examples.is_empty() {
            self.examples.clone_from(&part.examples);
        }
        self.default = self.default.take().or_else(|| part.default.clone());
        self.format = self.format.take().or_else(|| part.format.clone());
        self.pattern |= part.pattern;
        tighter(&mut self.minimum, part.minimum, f64::gt);
        tighter(&mut self.exclusive_minimum, part.exclusive_minimum, f64::gt);
        tighter(&mut self.maximum, part.maximum, f64::lt);
        tighter(&mut self.exclusive_maximum, part.exclusive_maximum, f64::lt);
        tighter(&mut self.min_length, part.min_length, u64::gt);
        tighter(&mut self.max_length, part.max_length, u64::lt);
        tighter(&mut self.min_items, part.min_items, u64::gt);
        tighter(&mut self.max_items, part.max_items, u64::lt);
        self.multiple_of = self.multiple_of.or(part.multiple_of);
        self.unique_items |= part.unique_items;
        self.items = self.items.or(part.items);
        // In the order of reading: what is inherited comes first.
        let mut properties: Vec<_> =
            part.properties.iter().filter(|(name, _)| self.property(name).is_none()).cloned().collect();
        properties.append(&mut self.properties);
        self.properties = properties;
        self.required
            .extend(part.required.iter().filter(|name| !self.required.contains(name)).cloned().collect::<Vec<_>>());
        if self.additional == Additional::Any {
            self.additional = part.additional;
        }
        for (own, other, word) in [(&mut self.one_of, &part.one_of, "oneOf"), (&mut self.any_of, &part.any_of, "anyOf")]
        {
            if own.is_empty() {
                own.clone_from(other);
            } else if !other.is_empty() {
                reader.fault(&format!("{}/allOf", self.pointer), format!("more than one `{word}` is not supported"));
            }
        }
        self.read_only |= part.read_only;
        self.write_only |= part.write_only;
    }
}

/// Whether nothing that matters stands beside `$ref`.
pub(super) fn is_plain_reference(value: &Value) -> bool {
    const REMARKS: [&str; 6] = ["$ref", "description", "summary", "title", "deprecated", "$comment"];
    value.as_object().is_some_and(|object| object.keys().all(|key| REMARKS.contains(&key.as_str())))
}

/// Words that change what is valid and that the sandbox cannot follow.
const UNSUPPORTED: [&str; 16] = [
    "not",
    "if",
    "then",
    "else",
    "patternProperties",
    "propertyNames",
    "prefixItems",
    "contains",
    "dependentSchemas",
    "dependentRequired",
    "unevaluatedProperties",
    "unevaluatedItems",
    "$dynamicRef",
    "$anchor",
    "$id",
    "$schema",
];

/// Reads one schema; schemas inside it get ids and are read later.
pub(super) fn read<'a>(reader: &mut Reader<'a>, place: &Place<'a>) -> Schema {
    let mut schema = Schema { pointer: place.pointer.clone(), ..Schema::default() };
    match place.value {
        Value::Bool(true) => return schema,
        Value::Object(_) => {}
        Value::Bool(false) => reader.fault(&place.pointer, "a schema that allows nothing is not supported here"),
        _ => reader.fault(&place.pointer, "must be a schema (an object)"),
    }
    let at = |key: &str| place.child(key);
    if let Some(object) = place.value.as_object() {
        for word in UNSUPPORTED.iter().filter(|word| object.contains_key(**word)) {
            reader.fault(&format!("{}/{word}", place.pointer), format!("`{word}` is not supported by the sandbox"));
        }
    }
    if let Some(reference) = place.value.get("$ref")
        && let Some(target) = reader.target(&place.pointer, reference)
    {
        schema.all_of.push(reader.schema(target));
    }
    if let Some(parts) = at("allOf") {
        schema.all_of.extend(variants(reader, &parts));
    }
    schema.one_of = at("oneOf").map(|parts| variants(reader, &parts)).unwrap_or_default();
    schema.any_of = at("anyOf").map(|parts| variants(reader, &parts)).unwrap_or_default();
    schema.kinds = kinds(reader, place);
    if let Some(values) = at("enum") {
        schema.values = reader.items(&values).into_iter().map(|item| item.value.clone()).collect();
        if schema.values.is_empty() {
            reader.fault(&values.pointer, "must have at least one value");
        }
    } else if let Some(value) = at("const") {
        schema.values = vec![value.value.clone()];
    }
    schema.default = at("default").map(|place| place.value.clone());
    schema.examples = match (at("examples"), at("example")) {
        (Some(examples), _) => reader.items(&examples).into_iter().map(|item| item.value.clone()).collect(),
        (None, Some(example)) => vec![example.value.clone()],
        (None, None) => schema.default.iter().cloned().collect(),
    };
    schema.format = place.text("format").map(str::to_owned);
    schema.pattern = at("pattern").is_some();
    bounds(reader, place, &mut schema);
    schema.items = at("items").map(|items| reader.schema(items));
    if let Some(properties) = at("properties") {
        schema.properties = reader
            .entries(&properties)
            .into_iter()
            .map(|(name, property)| (name.to_owned(), reader.schema(property)))
            .collect();
    }
    if let Some(required) = at("required") {
        for item in reader.items(&required) {
            match item.value.as_str() {
                Some(name) => schema.required.push(name.to_owned()),
                None => reader.fault(&item.pointer, "must be the name of a property"),
            }
        }
    }
    schema.additional = match at("additionalProperties") {
        None => Additional::Any,
        Some(place) => match place.value {
            Value::Bool(true) => Additional::Any,
            Value::Bool(false) => Additional::None,
            _ => Additional::Schema(reader.schema(place)),
        },
    };
    schema.unique_items = place.flag("uniqueItems");
    schema.read_only = place.flag("readOnly");
    schema.write_only = place.flag("writeOnly");
    schema
}

fn variants<'a>(reader: &mut Reader<'a>, parts: &Place<'a>) -> Vec<SchemaId> {
    let items = reader.items(parts);
    if items.is_empty() {
        reader.fault(&parts.pointer, "must have at least one schema");
    }
    items.into_iter().map(|item| reader.schema(item)).collect()
}

fn kinds<'a>(reader: &mut Reader<'a>, place: &Place<'a>) -> Vec<Kind> {
    let Some(written) = place.child("type") else { return Vec::new() };
    let names = if written.value.is_array() { reader.items(&written) } else { vec![written] };
    let mut kinds = Vec::new();
    for name in names {
        match name.value.as_str() {
            Some("null") => kinds.push(Kind::Null),
            Some("boolean") => kinds.push(Kind::Boolean),
            Some("integer") => kinds.push(Kind::Integer),
            Some("number") => kinds.push(Kind::Number),
            Some("string") => kinds.push(Kind::String),
            Some("array") => kinds.push(Kind::Array),
            Some("object") => kinds.push(Kind::Object),
            _ => reader.fault(
                &name.pointer,
                "must be one of `string`, `integer`, `number`, `boolean`, `array`, `object`, `null`",
            ),
        }
    }
    if reader.v30 && place.flag("nullable") {
        kinds.push(Kind::Null);
    }
    kinds
}

fn bounds<'a>(reader: &mut Reader<'a>, place: &Place<'a>, schema: &mut Schema) {
    let mut number = |key: &str| {
        let place = place.child(key)?;
        let number = place.value.as_f64();
        if number.is_none() {
            reader.fault(&place.pointer, "must be a number");
        }
        number
    };
    schema.minimum = number("minimum");
    schema.maximum = number("maximum");
    schema.multiple_of = number("multipleOf").filter(|step| *step > 0.0);
    if place.value.get("exclusiveMinimum").is_some_and(Value::is_boolean) {
        if place.flag("exclusiveMinimum") {
            schema.exclusive_minimum = schema.minimum.take();
        }
    } else {
        schema.exclusive_minimum = number("exclusiveMinimum");
    }
    if place.value.get("exclusiveMaximum").is_some_and(Value::is_boolean) {
        if place.flag("exclusiveMaximum") {
            schema.exclusive_maximum = schema.maximum.take();
        }
    } else {
        schema.exclusive_maximum = number("exclusiveMaximum");
    }
    let mut count = |key: &str| {
        let place = place.child(key)?;
        let count = place.value.as_u64();
        if count.is_none() {
            reader.fault(&place.pointer, "must be a whole number, 0 or more");
        }
        count
    };
    schema.min_length = count("minLength");
    schema.max_length = count("maxLength");
    schema.min_items = count("minItems");
    schema.max_items = count("maxItems");
    if let (Some(low), Some(high)) = (schema.minimum, schema.maximum)
        && low > high
    {
        reader.fault(&place.pointer, "`minimum` is above `maximum`");
    }
    for (low, high) in [(schema.min_length, schema.max_length), (schema.min_items, schema.max_items)] {
        if let (Some(low), Some(high)) = (low, high)
            && low > high
        {
            reader.fault(&place.pointer, "the least allowed size is above the greatest");
        }
    }
}

/// A JSON number, or null for what JSON cannot hold.
pub(in crate::sandbox) fn number(value: f64) -> Value {
    Number::from_f64(value).map_or(Value::Null, Value::Number)
}
