//! What a plugin says of itself, checked before anything relies on it.

use aftercommit_core::nearest;
use serde_json::Value;

use crate::{
    bindings::aftercommit::action::model,
    capability::{Need, Needs},
    loading::schema::ConfigSchema,
};

/// A plugin's own description.
#[derive(Clone, Debug)]
pub struct Descriptor {
    /// The word written as an action's `type`.
    pub name: String,
    /// Semantic version.
    pub version: String,
    /// One line for people.
    pub summary: String,
    /// JSON Schema of the configuration.
    pub config_schema: Value,
    /// What it needs.
    pub needs: Needs,
}

/// A description that is wrong.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DescriptorError {
    /// Its name.
    #[error("its name `{0}` is not of the form [a-z][a-z0-9-]*, at most {MAX_NAME_BYTES} characters")]
    Name(String),
    /// Its version.
    #[error("its version `{0}` is not a semantic version such as 1.2.3")]
    Version(String),
    /// Its summary.
    #[error("its summary is not one line of at most {MAX_SUMMARY_BYTES} bytes")]
    Summary,
    /// Its schema is too large.
    #[error("its configuration schema has {0} bytes; at most {MAX_SCHEMA_BYTES} are read")]
    SchemaSize(usize),
    /// Its schema is wrong.
    #[error("its configuration schema {0}")]
    Schema(String),
    /// It needs something that does not exist.
    #[error("it needs `{name}`, which is no capability{}", near.map(|near| format!(" (did it mean `{near}`?)")).unwrap_or_default())]
    Need {
        /// As declared.
        name: String,
        /// The nearest capability.
        near: Option<&'static str>,
    },
}

const MAX_NAME_BYTES: usize = 64;
const MAX_SUMMARY_BYTES: usize = 500;
pub(crate) const MAX_SCHEMA_BYTES: usize = 256 << 10;

impl Descriptor {
    /// Reads what `describe` returned, and compiles the schema.
    pub(crate) fn read(said: model::Descriptor) -> Result<(Self, ConfigSchema), DescriptorError> {
        if !is_name(&said.name) {
            return Err(DescriptorError::Name(said.name.chars().take(MAX_NAME_BYTES).collect()));
        }
        if said.version.len() > MAX_NAME_BYTES || semver::Version::parse(&said.version).is_err() {
            return Err(DescriptorError::Version(said.version.chars().take(MAX_NAME_BYTES).collect()));
        }
        if said.summary.len() > MAX_SUMMARY_BYTES || said.summary.contains(char::is_control) {
            return Err(DescriptorError::Summary);
        }
        if said.config_schema.len() > MAX_SCHEMA_BYTES {
            return Err(DescriptorError::SchemaSize(said.config_schema.len()));
        }
        let mut needs = Needs::default();
        for name in &said.needs {
            let need = Need::named(name).ok_or_else(|| {
                // How near it is to another is much work for a long one.
                let name: String = name.chars().take(MAX_NAME_BYTES).collect();
                DescriptorError::Need { near: nearest(&name, Need::ALL.map(Need::as_str)), name }
            })?;
            needs = needs.with(need);
        }
        let schema = ConfigSchema::read(&said.config_schema).map_err(DescriptorError::Schema)?;
        let descriptor = Self {
            name: said.name,
            version: said.version,
            summary: said.summary,
            config_schema: schema.document().clone(),
            needs,
        };
        Ok((descriptor, schema))
    }
}

fn is_name(name: &str) -> bool {
    name.len() <= MAX_NAME_BYTES
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said() -> model::Descriptor {
        model::Descriptor {
            name: "a-1".into(),
            version: "1.0.0".into(),
            summary: "Does".into(),
            config_schema: r#"{"type":"object"}"#.into(),
            needs: vec!["http".into()],
        }
    }

    #[test]
    fn a_good_one_is_read() {
        let (descriptor, _) = Descriptor::read(said()).unwrap();
        assert!(descriptor.needs.has(Need::Http) && !descriptor.needs.has(Need::Reveal));
    }

    #[test]
    fn each_fault_is_named() {
        type Fault = fn(&mut model::Descriptor);
        let faults: [(Fault, &str); 9] = [
            (|said| said.name = "Bad Name".into(), "its name `Bad Name`"),
            (|said| said.version = "one".into(), "its version `one`"),
            (|said| said.summary = "a\nb".into(), "its summary"),
            (|said| said.needs = vec!["htpp".into()], "did it mean `http`?"),
            (|said| said.needs = vec!["x".repeat(1 << 24)], "xxx`, which is no capability"),
            (|said| said.config_schema = "{".into(), "is not JSON"),
            (|said| said.config_schema = "[]".into(), "is not a schema of an object"),
            (
                |said| said.config_schema = r#"{"type":"object","properties":{"a":{"type":7}}}"#.into(),
                "is not valid",
            ),
            (|said| said.config_schema = " ".repeat(MAX_SCHEMA_BYTES + 1), "at most"),
        ];
        for (fault, expected) in faults {
            let mut wrong = said();
            fault(&mut wrong);
            let error = Descriptor::read(wrong).err().unwrap().to_string();
            assert!(error.contains(expected) && error.len() < 1000, "{error}");
        }
    }
}
