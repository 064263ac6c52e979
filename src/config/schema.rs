//! JSON Schema (draft-07, which editors' YAML support reads) of both files, made from the same types that read them.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use super::model;

/// The schema of `gateway.yaml`.
#[must_use]
pub fn gateway() -> Value {
    schema::<model::gateway::Gateway>("Sluice gateway.yaml")
}

/// The schema of `routes.yaml`.
#[must_use]
pub fn routes() -> Value {
    let mut schema = schema::<model::routes::RoutesFile>("Sluice routes.yaml");
    one_of(&mut schema, "Route", &["upstream", "redirect", "respond"]);
    one_of(&mut schema, "Rewrite", &["strip_prefix", "path"]);
    one_of(&mut schema, "Issuer", &["jwks", "public_keys", "secret"]);
    one_of(&mut schema, "Jwks", &["url", "file"]);
    one_of(&mut schema, "CertificateName", &["dns", "uri", "email", "fingerprint"]);
    one_of(&mut schema, "Access", &["issuer", "api_key", "certificate", "any_of"]);
    one_of(&mut schema, "Method", &["issuer", "api_key", "certificate"]);
    one_of(&mut schema, "ClaimCondition", &["equals", "in", "matches"]);
    schema
}

fn schema<T: JsonSchema>(title: &str) -> Value {
    let schema = SchemaSettings::draft07().into_generator().into_root_schema_for::<T>();
    let mut schema = schema.to_value();
    schema["title"] = title.into();
    // The version is the one value that both files must have.
    schema["properties"]["version"] = json!({
        "description": schema["properties"]["version"]["description"].clone(),
        "const": 1,
    });
    schema
}

/// Exactly one of these keys has to be written.
fn one_of(schema: &mut Value, definition: &str, keys: &[&str]) {
    let choices: Vec<Value> = keys.iter().map(|key| json!({ "required": [key] })).collect();
    schema["definitions"][definition]["oneOf"] = choices.into();
}
