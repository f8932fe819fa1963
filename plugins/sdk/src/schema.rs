//! The JSON Schema of a configuration.

use schemars::{JsonSchema, Schema, generate::SchemaSettings};

/// Without `$ref`, so that whoever looks for marks walks one tree; and closed, so that a misspelt key is found.
pub(crate) fn of<C: JsonSchema>() -> String {
    closed::<C>().as_value().to_string()
}

/// For the tests of a plugin: the fields of its configuration that have no description, that its README does not name as
/// code, or of which the schema does not show what to write: an example, a default, or the values that there are.
pub fn undocumented<C: JsonSchema>(readme: &str) -> Vec<String> {
    let schema = closed::<C>();
    let fields = schema.get("properties").and_then(serde_json::Value::as_object).into_iter().flatten();
    fields
        .filter(|(name, field)| {
            !field["description"].is_string() || !readme.contains(&format!("`{name}`")) || !is_shown(field)
        })
        .map(|(name, _)| name.clone())
        .collect()
}

fn is_shown(field: &serde_json::Value) -> bool {
    let has = |key: &str| field.get(key).is_some_and(|value| !value.is_null());
    let is_flag = field["type"]
        .as_array()
        .map_or(&field["type"] == "boolean", |types| types.iter().any(|kind| kind == "boolean"));
    is_flag || ["examples", "default", "enum", "oneOf", "anyOf", "properties"].into_iter().any(has)
}

fn closed<C: JsonSchema>() -> Schema {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let mut schema = settings.into_generator().into_root_schema_for::<C>();
    schema.ensure_object().entry("additionalProperties").or_insert(false.into());
    schema
}
