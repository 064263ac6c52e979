//! Walking a document: places, references, and a list of faults instead of the first one.

use std::collections::HashMap;

use serde_json::Value;

use super::schema::{self, SchemaId, Schemas};
use super::{Document, Fault, PathItem, operation};

/// References that may follow one another.
const MAX_HOPS: usize = 32;
/// Faults beyond this are the same fault again.
const MAX_FAULTS: usize = 100;

/// Reads a whole document.
pub(super) fn read(source: Value) -> Result<Document, Vec<Fault>> {
    let Parts { title, version, paths, schemas } = {
        let mut reader = Reader::new(&source);
        let parts = reader.document();
        parts.filter(|_| reader.faults.is_empty()).ok_or(reader.faults)?
    };
    Ok(Document { title, version, paths, schemas, source })
}

struct Parts {
    title: String,
    version: String,
    paths: Vec<PathItem>,
    schemas: Schemas,
}

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Place<'a> {
    pub(super) value: &'a Value,
    /// Fragment form, `#/paths/~1orders`.
    pub(super) pointer: String,
}

impl<'a> Place<'a> {
    pub(super) fn child(&self, key: &str) -> Option<Self> {
        let value = self.value.as_object()?.get(key)?;
        Some(Self { value, pointer: format!("{}/{}", self.pointer, escape(key)) })
    }

    pub(super) fn item(&self, index: usize, value: &'a Value) -> Self {
        Self { value, pointer: format!("{}/{index}", self.pointer) }
    }

    pub(super) fn text(&self, key: &str) -> Option<&'a str> {
        self.value.get(key)?.as_str()
    }

    pub(super) fn flag(&self, key: &str) -> bool {
        self.value.get(key).and_then(Value::as_bool).unwrap_or(false)
    }
}

/// RFC 6901 section 3.
fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

pub(super) struct Reader<'a> {
    root: &'a Value,
    /// OpenAPI 3.0 rather than 3.1: references hide what stands beside them, `exclusiveMinimum` is a flag.
    pub(super) v30: bool,
    faults: Vec<Fault>,
    /// Schemas that have an id, by pointer.
    known: HashMap<String, SchemaId>,
    /// Schemas that have an id and are not read yet; a queue, so that no document can exhaust the stack.
    waiting: Vec<(SchemaId, Place<'a>)>,
    schemas: Schemas,
}

impl<'a> Reader<'a> {
    fn new(root: &'a Value) -> Self {
        Self {
            root,
            v30: false,
            faults: Vec::new(),
            known: HashMap::new(),
            waiting: Vec::new(),
            schemas: Schemas::default(),
        }
    }

    fn document(&mut self) -> Option<Parts> {
        let root = Place { value: self.root, pointer: "#".into() };
        match root.text("openapi") {
            Some(version) if version == "3.0" || version.starts_with("3.0.") => self.v30 = true,
            Some(version) if version == "3.1" || version.starts_with("3.1.") => {}
            _ => {
                self.fault("#/openapi", "must be a version 3.0 or 3.1 of OpenAPI, such as `openapi: 3.1.0`");
                return None;
            }
        }
        let info = root.child("info").filter(|info| info.value.is_object());
        let text = |key: &str| info.as_ref().and_then(|info| info.text(key)).map(str::to_owned);
        let (title, version) = (text("title"), text("version"));
        if title.is_none() || version.is_none() {
            self.fault("#/info", "must have `title` and `version`, both text");
        }
        let paths = operation::paths(self, &root);
        while let Some((id, place)) = self.waiting.pop() {
            let read = schema::read(self, &place);
            self.schemas.set(id, read);
        }
        let mut schemas = std::mem::take(&mut self.schemas);
        schemas.merge(self);
        operation::check_examples(self, &paths, &schemas);
        Some(Parts { title: title?, version: version?, paths, schemas })
    }

    pub(super) fn fault(&mut self, pointer: &str, message: impl Into<String>) {
        if self.faults.len() < MAX_FAULTS {
            let fault = Fault { pointer: pointer.to_owned(), message: message.into() };
            if !self.faults.contains(&fault) {
                self.faults.push(fault);
            }
        }
    }

    /// The members of an object; another kind of value is a fault.
    pub(super) fn entries(&mut self, place: &Place<'a>) -> Vec<(&'a str, Place<'a>)> {
        let Some(object) = place.value.as_object() else {
            self.fault(&place.pointer, "must be an object");
            return Vec::new();
        };
        let entry = |(key, value): (&'a String, &'a Value)| {
            (key.as_str(), Place { value, pointer: format!("{}/{}", place.pointer, escape(key)) })
        };
        object.iter().map(entry).collect()
    }

    /// The items of an array; another kind of value is a fault.
    pub(super) fn items(&mut self, place: &Place<'a>) -> Vec<Place<'a>> {
        let Some(array) = place.value.as_array() else {
            self.fault(&place.pointer, "must be a list");
            return Vec::new();
        };
        array.iter().enumerate().map(|(index, value)| place.item(index, value)).collect()
    }

    /// Follows `$ref` until there is none.
    pub(super) fn resolve(&mut self, place: Place<'a>) -> Option<Place<'a>> {
        let start = place.pointer.clone();
        let mut at = place;
        for _ in 0..MAX_HOPS {
            let Some(reference) = at.value.get("$ref") else { return Some(at) };
            at = self.target(&at.pointer, reference)?;
        }
        self.fault(&start, "`$ref` leads in a circle");
        None
    }

    /// What one `$ref` means.
    pub(super) fn target(&mut self, at: &str, reference: &Value) -> Option<Place<'a>> {
        let place = format!("{at}/$ref");
        let Some(text) = reference.as_str() else {
            self.fault(&place, "must be text");
            return None;
        };
        let Some(fragment) = text.strip_prefix('#') else {
            self.fault(&place, format!("`{text}` is outside this document; only `#/...` is followed"));
            return None;
        };
        let decoded = crate::sandbox::percent::decode(fragment);
        match decoded.as_deref().and_then(|pointer| self.root.pointer(pointer)) {
            Some(value) if fragment.starts_with('/') => Some(Place { value, pointer: format!("#{}", decoded?) }),
            _ => {
                self.fault(&place, format!("`{text}` is not found in this document"));
                None
            }
        }
    }

    /// The id of the schema at a place; it is read later.
    pub(super) fn schema(&mut self, place: Place<'a>) -> SchemaId {
        let mut at = place;
        for _ in 0..MAX_HOPS {
            if let Some(id) = self.known.get(&at.pointer) {
                return *id;
            }
            match at.value.get("$ref") {
                Some(reference) if self.v30 || schema::is_plain_reference(at.value) => {
                    match self.target(&at.pointer, reference) {
                        Some(target) => at = target,
                        None => return self.schemas.add(at.pointer),
                    }
                }
                _ => {
                    let id = self.schemas.add(at.pointer.clone());
                    self.known.insert(at.pointer.clone(), id);
                    self.waiting.push((id, at));
                    return id;
                }
            }
        }
        self.fault(&at.pointer, "`$ref` leads in a circle");
        self.schemas.add(at.pointer)
    }
}
