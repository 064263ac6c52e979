//! The tables of keys in the documentation, made from the schemas.

use std::fmt::Write as _;

use serde_json::Value;

use super::schema;

/// Every key of both files, with type, default and meaning, in Markdown.
#[must_use]
pub fn reference() -> String {
    let mut page = String::new();
    for (file, schema) in [("gateway.yaml", schema::gateway()), ("routes.yaml", schema::routes())] {
        let _ = write!(page, "## Keys of `{file}`\n\n");
        table(&mut page, "At the top", &schema);
        for (name, definition) in schema["definitions"].as_object().into_iter().flatten() {
            table(&mut page, name, definition);
        }
    }
    page
}

fn table(page: &mut String, name: &str, schema: &Value) {
    let about = schema["description"].as_str().unwrap_or_default();
    let _ = write!(page, "### {name}\n\n{about}\n\n| key | value | default | meaning |\n|---|---|---|---|\n");
    let required: Vec<&Value> = schema["required"].as_array().into_iter().flatten().collect();
    for (key, property) in schema["properties"].as_object().into_iter().flatten() {
        let default = match &property["default"] {
            Value::Null if required.iter().any(|needed| *needed == key) => "required".into(),
            Value::Null => String::new(),
            Value::String(text) => format!("`{text}`"),
            other => format!("`{other}`"),
        };
        let meaning = property["description"].as_str().unwrap_or_default().replace('|', "\\|");
        let _ = writeln!(page, "| `{key}` | {} | {default} | {meaning} |", kind(property));
    }
    page.push('\n');
}

/// A type in a few words, with links to the tables of mappings.
fn kind(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
        return format!("[{name}](#{})", name.to_ascii_lowercase());
    }
    let each = |value: &Value, separator: &str| {
        value
            .as_array()
            .into_iter()
            .flatten()
            .map(kind)
            .filter(|word| !word.is_empty())
            .collect::<Vec<_>>()
            .join(separator)
    };
    if let Some(word) = schema.get("const") {
        return format!("`{}`", word.as_str().map_or_else(|| word.to_string(), str::to_owned));
    }
    if let Some(words) = schema["enum"].as_array() {
        return words.iter().filter_map(Value::as_str).map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
    }
    if schema.get("anyOf").is_some() {
        return each(&schema["anyOf"], " or ");
    }
    if schema.get("allOf").is_some() {
        return each(&schema["allOf"], "");
    }
    match schema["type"].as_str() {
        Some("string") => match schema["pattern"].as_str() {
            Some(pattern) if pattern.contains("us|ms") => "duration".into(),
            Some(pattern) if pattern.contains("KiB") => "size".into(),
            Some(pattern) if pattern.ends_with("%$") => "percentage".into(),
            Some(pattern) if pattern.contains("month") => "quota".into(),
            Some(pattern) if pattern.contains("min") => "rate".into(),
            Some(pattern) if pattern.contains("env:") => "`${env:NAME}` or `file:path`".into(),
            Some(pattern) if pattern.contains("A-Fa-f") => "64 hexadecimal digits".into(),
            Some(_) => "name".into(),
            None => "text".into(),
        },
        Some("integer") => "number".into(),
        Some("boolean") => "`true`, `false`".into(),
        Some("array") => format!("list of {}", kind(&schema["items"])),
        Some("object") if schema.get("additionalProperties").is_some() => {
            format!("names with {}", kind(&schema["additionalProperties"]))
        }
        Some("object") => "a mapping".into(),
        _ if schema["type"].is_array() => "any value".into(),
        _ => String::new(),
    }
}
