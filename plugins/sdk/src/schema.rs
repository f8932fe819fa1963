//! The JSON Schema of a configuration.

use schemars::{JsonSchema, generate::SchemaSettings};

/// Without `$ref`, so that whoever looks for marks walks one tree; and closed, so that a misspelt key is found.
pub(crate) fn of<C: JsonSchema>() -> String {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let mut schema = settings.into_generator().into_root_schema_for::<C>();
    schema.ensure_object().entry("additionalProperties").or_insert(false.into());
    schema.as_value().to_string()
}
