//! Whether a value is what a schema asks for; every place that is wrong, not only the first.
//!
//! `format` and `pattern` are not judged.

use serde_json::Value;

use super::document::{Additional, Kind, Schema, SchemaId, Schemas};

const MAX_VIOLATIONS: usize = 20;
/// Schemas looked at for one value; more means `oneOf` within `oneOf` and is refused.
const MAX_STEPS: usize = 50_000;
const MAX_DEPTH: usize = 200;

/// One place that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Violation {
    /// JSON pointer into the value, or the name of a parameter.
    pub(super) pointer: String,
    pub(super) detail: String,
}

/// Checks a request body: read-only members need not be there, and are not looked at when they are.
pub(super) fn body(schemas: &Schemas, schema: SchemaId, value: &Value) -> Vec<Violation> {
    let mut check = Check { schemas, pointer: String::new(), violations: Vec::new(), steps: 0 };
    check.value(schema, value, 0);
    check.violations
}

/// Reads a parameter: its values as text, one for all kinds but lists.
pub(super) fn parameter(schemas: &Schemas, schema: SchemaId, name: &str, texts: &[&str]) -> Vec<Violation> {
    let own = schemas.get(schema);
    let value = match (own.kind(), own.items) {
        (Some(Kind::Array), Some(items)) => {
            Value::Array(texts.iter().map(|text| scalar(schemas.get(items), text)).collect())
        }
        _ => texts.first().map_or(Value::Null, |text| scalar(own, text)),
    };
    let mut check = Check { schemas, pointer: name.to_owned(), violations: Vec::new(), steps: 0 };
    check.value(schema, &value, 0);
    check.violations
}

/// Text as the kind that a schema asks for; what cannot be read stays text and is found wrong afterwards.
pub(super) fn scalar(schema: &Schema, text: &str) -> Value {
    let parsed = match schema.kind() {
        Some(Kind::Integer) => text.parse::<i64>().ok().map(Value::from),
        Some(Kind::Number) => {
            text.parse::<i64>().map(Value::from).ok().or_else(|| text.parse::<f64>().ok().map(super::document::number))
        }
        Some(Kind::Boolean) => text.parse::<bool>().ok().map(Value::Bool),
        _ => None,
    };
    parsed.filter(|value| !value.is_null()).unwrap_or_else(|| Value::String(text.to_owned()))
}

struct Check<'a> {
    schemas: &'a Schemas,
    pointer: String,
    violations: Vec<Violation>,
    steps: usize,
}

impl Check<'_> {
    fn wrong(&mut self, detail: impl Into<String>) {
        if self.violations.len() < MAX_VIOLATIONS {
            self.violations.push(Violation { pointer: self.pointer.clone(), detail: detail.into() });
        }
    }

    fn at(&mut self, step: &str, look: impl FnOnce(&mut Self)) {
        let length = self.pointer.len();
        self.pointer.push('/');
        self.pointer.push_str(&step.replace('~', "~0").replace('/', "~1"));
        look(self);
        self.pointer.truncate(length);
    }

    fn value(&mut self, id: SchemaId, value: &Value, depth: usize) {
        self.steps += 1;
        if self.steps > MAX_STEPS || depth > MAX_DEPTH {
            return self.wrong("is too complex to be checked");
        }
        let schema = self.schemas.get(id);
        if !schema.kinds.is_empty() && !schema.kinds.iter().any(|kind| is(*kind, value)) {
            let expected: Vec<_> = schema.kinds.iter().map(|kind| name(*kind)).collect();
            return self.wrong(format!("must be {}", expected.join(" or ")));
        }
        if !schema.values.is_empty() && !schema.values.contains(value) {
            let allowed: Vec<_> = schema.values.iter().map(Value::to_string).collect();
            return self.wrong(format!("must be one of {}", allowed.join(", ")));
        }
        match value {
            Value::Object(members) => self.object(schema, members, depth),
            Value::Array(items) => self.array(schema, items, depth),
            Value::String(text) => self.text(schema, text),
            Value::Number(number) => self.number(schema, number.as_f64().unwrap_or_default()),
            Value::Null | Value::Bool(_) => {}
        }
        if !schema.any_of.is_empty() && self.fitting(&schema.any_of, value, depth) == 0 {
            self.wrong("fits none of the schemas of `anyOf`");
        }
        if !schema.one_of.is_empty() {
            match self.fitting(&schema.one_of, value, depth) {
                1 => {}
                0 => self.wrong("fits none of the schemas of `oneOf`"),
                _ => self.wrong("fits more than one of the schemas of `oneOf`"),
            }
        }
    }

    fn fitting(&mut self, variants: &[SchemaId], value: &Value, depth: usize) -> usize {
        let mut fitting = 0;
        for variant in variants {
            let mut check =
                Check { schemas: self.schemas, pointer: String::new(), violations: Vec::new(), steps: self.steps };
            check.value(*variant, value, depth + 1);
            self.steps = check.steps;
            fitting += usize::from(check.violations.is_empty());
        }
        fitting
    }

    fn object(&mut self, schema: &Schema, members: &serde_json::Map<String, Value>, depth: usize) {
        for name in schema.required.iter().filter(|name| !members.contains_key(*name)) {
            let read_only = schema.property(name).is_some_and(|id| self.schemas.get(id).read_only);
            if !read_only {
                self.at(name, |check| check.wrong("is missing"));
            }
        }
        for (name, value) in members {
            match (schema.property(name), schema.additional) {
                (Some(id), _) if self.schemas.get(id).read_only => {}
                (Some(id), _) | (None, Additional::Schema(id)) => {
                    self.at(name, |check| check.value(id, value, depth + 1));
                }
                (None, Additional::None) => self.at(name, |check| check.wrong("is not known here")),
                (None, Additional::Any) => {}
            }
        }
    }

    fn array(&mut self, schema: &Schema, items: &[Value], depth: usize) {
        let count = items.len() as u64;
        if let Some(least) = schema.min_items.filter(|least| count < *least) {
            self.wrong(format!("must have at least {least} items"));
        }
        if let Some(most) = schema.max_items.filter(|most| count > *most) {
            // Nothing more is looked at: the limit is there to bound work.
            return self.wrong(format!("must have at most {most} items"));
        }
        if schema.unique_items {
            let mut seen = std::collections::HashSet::with_capacity(items.len());
            if !items.iter().all(|item| seen.insert(item)) {
                self.wrong("must not have an item twice");
            }
        }
        if let Some(id) = schema.items {
            for (index, item) in items.iter().enumerate() {
                self.at(&index.to_string(), |check| check.value(id, item, depth + 1));
            }
        }
    }

    fn text(&mut self, schema: &Schema, text: &str) {
        let length = text.chars().count() as u64;
        if let Some(least) = schema.min_length.filter(|least| length < *least) {
            self.wrong(format!("must have at least {least} characters"));
        }
        if let Some(most) = schema.max_length.filter(|most| length > *most) {
            self.wrong(format!("must have at most {most} characters"));
        }
    }

    fn number(&mut self, schema: &Schema, number: f64) {
        if let Some(bound) = schema.minimum.filter(|bound| number < *bound) {
            self.wrong(format!("must be at least {bound}"));
        }
        if let Some(bound) = schema.maximum.filter(|bound| number > *bound) {
            self.wrong(format!("must be at most {bound}"));
        }
        if let Some(bound) = schema.exclusive_minimum.filter(|bound| number <= *bound) {
            self.wrong(format!("must be above {bound}"));
        }
        if let Some(bound) = schema.exclusive_maximum.filter(|bound| number >= *bound) {
            self.wrong(format!("must be below {bound}"));
        }
        if let Some(step) = schema.multiple_of {
            let steps = number / step;
            if (steps - steps.round()).abs() > 1e-9 {
                self.wrong(format!("must be a multiple of {step}"));
            }
        }
    }
}

fn is(kind: Kind, value: &Value) -> bool {
    match kind {
        Kind::Null => value.is_null(),
        Kind::Boolean => value.is_boolean(),
        // A number without a fraction is an integer, however it is written (JSON Schema, section 6.1.1).
        Kind::Integer => value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|number| number.fract() == 0.0),
        Kind::Number => value.is_number(),
        Kind::String => value.is_string(),
        Kind::Array => value.is_array(),
        Kind::Object => value.is_object(),
    }
}

fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Null => "null",
        Kind::Boolean => "true or false",
        Kind::Integer => "a whole number",
        Kind::Number => "a number",
        Kind::String => "text",
        Kind::Array => "a list",
        Kind::Object => "an object",
    }
}
