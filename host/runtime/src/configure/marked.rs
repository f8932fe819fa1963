//! A configuration together with what its schema marks of its texts and the secrets that it names.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{
    configure::problem::{Findings, escape},
    loading::schema::{ConfigSchema, Marks},
    secrets::{Secret, SecretProvider, fetch},
};

/// A configuration whose names of secrets are resolved to references.
pub(crate) struct MarkedConfig {
    /// The configuration; secrets stand in it as `${secret:NAME}`.
    pub(crate) value: Value,
    /// The marks of its texts, by JSON pointer.
    pub(crate) marks: BTreeMap<String, Marks>,
    /// The secrets that it names, as far as there are any of these names.
    pub(crate) secrets: BTreeMap<String, Secret>,
}

/// A text of a configuration that the schema marks.
pub(crate) struct MarkedText<'c> {
    pub(crate) pointer: &'c str,
    pub(crate) marks: &'c Marks,
    pub(crate) text: &'c str,
}

impl MarkedConfig {
    /// Finds the marks of `value` and fetches its secrets. What is wrong with them is in `findings`.
    pub(crate) fn new(
        value: Value,
        schema: &ConfigSchema,
        provider: &dyn SecretProvider,
        findings: &Findings,
    ) -> Self {
        let marks = schema.marks(&value);
        let mut config = Self { value, marks, secrets: BTreeMap::new() };
        config.check_places(findings);
        config.secrets = fetch(provider, &config.value, findings);
        config
    }

    /// The marked texts with which nothing is known to be wrong, in the order of their pointers.
    pub(crate) fn sound_texts(&self, findings: &Findings) -> Vec<MarkedText<'_>> {
        self.texts().filter(|text| findings.are_none_at(text.pointer)).collect()
    }

    /// All marked texts, in the order of their pointers.
    pub(crate) fn texts(&self) -> impl Iterator<Item = MarkedText<'_>> {
        self.marks.iter().filter_map(|(pointer, marks)| {
            let text = self.value.pointer(pointer)?.as_str()?;
            Some(MarkedText { pointer, marks, text })
        })
    }

    /// Whether all origins that the configuration names are known: nothing is wrong with a URL that a request goes to.
    pub(crate) fn has_sound_urls(&self, findings: &Findings) -> bool {
        self.texts().filter(|text| text.marks.egress).all(|text| findings.are_none_at(text.pointer))
    }
}

/// Calls `visit` with the JSON pointer of each text within `value`, and the text.
pub(crate) fn each_text<'v>(value: &'v Value, pointer: &str, visit: &mut impl FnMut(&str, &'v str)) {
    match value {
        Value::String(text) => visit(pointer, text),
        Value::Array(items) => {
            for (position, item) in items.iter().enumerate() {
                each_text(item, &format!("{pointer}/{position}"), visit);
            }
        }
        Value::Object(fields) => {
            for (key, value) in fields {
                each_text(value, &format!("{pointer}/{}", escape(key)), visit);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
