//! A plugin's configuration schema: validation of what was written, and the marks that the host reads.

use std::collections::BTreeMap;

use aftercommit_core::ActionConfig;
use jsonschema::{Draft, PatternOptions, Validator, error::ValidationErrorKind};
use serde_json::Value;

use crate::{
    configure::{
        enum_hint,
        problem::{ConfigProblem, escape},
    },
    loading::schema_size::{self, PATTERN_BYTES},
    secrets::SecretForm,
    templates::Escaping,
};

/// A compiled JSON Schema (draft 2020-12).
pub(crate) struct ConfigSchema {
    document: Value,
    validator: Validator,
}

/// What the schema says of one text of a configuration.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Marks {
    /// `x-template`.
    pub(crate) template: Option<Escaping>,
    /// `x-name`: the text names something, so that no value in it may be empty.
    pub(crate) name: bool,
    /// `x-egress`.
    pub(crate) egress: bool,
    /// `x-secret-env`: the field that the named secret goes to.
    pub(crate) secret_env: Option<String>,
    /// `x-secret-header` or `x-secret-body`.
    pub(crate) secret_place: Option<SecretPlace>,
    /// `x-secret-form`.
    pub(crate) secret_form: Option<SecretForm>,
    /// `x-recipient`.
    pub(crate) recipient: bool,
    /// `x-tls-client-certificate`: the field with the URL that the certificate is for.
    pub(crate) tls_certificate: Option<String>,
    /// `x-tls-client-key`: the same for its key.
    pub(crate) tls_key: Option<String>,
}

/// Where the host puts a secret that stands in a text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum SecretPlace {
    /// A header's value, a credential, a URL.
    Header,
    /// The body of a request too.
    Body,
}

/// The marks of a client's certificate and key; their values are names of fields.
const TLS_MARKS: [&str; 2] = ["x-tls-client-certificate", "x-tls-client-key"];

/// A field that names a connection of the host's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ConnectionField {
    pub(crate) name: String,
    /// The kind of connection, or the name of the field beside it that says the kind.
    pub(crate) kind: String,
}

/// Schemas nest no deeper; configurations are walked no deeper.
const MAX_DEPTH: usize = 32;

impl ConfigSchema {
    /// Reads a schema; the error continues "its configuration schema ..".
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        let document: Value = serde_json::from_str(text).map_err(|error| format!("is not JSON: {error}"))?;
        if document.get("type") != Some(&Value::from("object")) {
            return Err("is not a schema of an object (\"type\": \"object\")".to_owned());
        }
        if depth(&document) > MAX_DEPTH * 2 {
            return Err(format!("is nested deeper than {}", MAX_DEPTH * 2));
        }
        schema_size::check(&document)?;
        check_marks(&document)?;
        jsonschema::draft202012::meta::validate(&document)
            .map_err(|error| format!("is not valid at `{}`: {error}", error.instance_path()))?;
        let validator = jsonschema::options()
            .with_draft(Draft::Draft202012)
            // No reference is ever fetched, and no pattern can run away.
            .offline()
            .with_pattern_options(PatternOptions::regex().size_limit(PATTERN_BYTES))
            .build(&document)
            .map_err(|error| format!("is not valid: {error}"))?;
        Ok(Self { document, validator })
    }

    pub(crate) fn document(&self) -> &Value {
        &self.document
    }

    /// Everything in a configuration that the schema does not allow.
    pub(crate) fn problems(&self, config: &Value) -> Vec<ConfigProblem> {
        let mut problems = Vec::new();
        for error in self.validator.iter_errors(config) {
            let pointer = error.instance_path().as_str().to_owned();
            match error.kind() {
                ValidationErrorKind::AdditionalProperties { unexpected }
                | ValidationErrorKind::UnevaluatedProperties { unexpected } => {
                    let mut known = self.keys_beside(error.schema_path().as_str());
                    if pointer.is_empty() {
                        known.extend(ActionConfig::HOST_KEYS.map(str::to_owned));
                    }
                    for key in unexpected {
                        problems.push(ConfigProblem::unknown_key(
                            &pointer,
                            key,
                            known.iter().map(String::as_str),
                        ));
                    }
                }
                ValidationErrorKind::Required { property } => {
                    let name = property.as_str().unwrap_or_default();
                    problems.push(ConfigProblem::new(pointer, format!("`{name}` is missing")));
                }
                ValidationErrorKind::Type { .. }
                    if let Some(types) = self.types_at(error.schema_path().as_str()) =>
                {
                    problems.push(ConfigProblem::new(pointer, format!("must be {types}")));
                }
                // Without the value: somebody may have written a secret there.
                _ => problems.push(
                    self.choice_at(error.schema_path().as_str(), &pointer, config).unwrap_or_else(|| {
                        ConfigProblem::new(pointer, error.masked_with("this").to_string())
                    }),
                ),
            }
        }
        problems
    }

    /// The types that the keyword at `schema_path` allows, in words. `null` is how schemas say that a field may be left
    /// out.
    fn types_at(&self, schema_path: &str) -> Option<String> {
        let types = match self.document.pointer(schema_path)? {
            Value::String(one) => vec![one.as_str()],
            Value::Array(several) => {
                several.iter().filter_map(Value::as_str).filter(|it| *it != "null").collect()
            }
            _ => return None,
        };
        let article = |name: &str| if name.starts_with(['a', 'i', 'o']) { "an" } else { "a" };
        let words: Vec<_> = types.into_iter().map(|name| format!("{} {name}", article(name))).collect();
        (!words.is_empty()).then(|| words.join(" or "))
    }

    /// The schema in which the keyword at `schema_path` stands.
    fn around(&self, schema_path: &str) -> Option<&Value> {
        self.document.pointer(schema_path.rsplit_once('/').map_or("", |(parent, _)| parent))
    }

    /// What is wrong where the keyword at `schema_path` allows some words only.
    fn choice_at(&self, schema_path: &str, pointer: &str, config: &Value) -> Option<ConfigProblem> {
        enum_hint::problem(pointer, self.around(schema_path)?, config.pointer(pointer)?)
    }

    /// The keys that the schema names where the keyword at `schema_path` stands.
    fn keys_beside(&self, schema_path: &str) -> Vec<String> {
        let properties = self.around(schema_path).and_then(|schema| schema.get("properties"));
        properties.and_then(Value::as_object).map(|keys| keys.keys().cloned().collect()).unwrap_or_default()
    }

    /// The marks of every text in a configuration, by JSON pointer. Texts without marks are left out.
    pub(crate) fn marks(&self, config: &Value) -> BTreeMap<String, Marks> {
        let mut found = BTreeMap::new();
        self.walk(&self.document, config, String::new(), 0, &mut found);
        found
    }

    /// Whether the field of that name holds a list, by the schema.
    pub(crate) fn is_list(&self, field: &str) -> bool {
        let Some(schema) = self.document.pointer(&format!("/properties/{}", escape(field))) else {
            return false;
        };
        match schema.get("type") {
            Some(Value::String(kind)) => kind == "array",
            Some(Value::Array(kinds)) => kinds.iter().any(|kind| kind == "array"),
            _ => false,
        }
    }

    /// The fields of the configuration itself that are marked `x-connection`.
    pub(crate) fn connection_fields(&self) -> Vec<ConnectionField> {
        let fields = self.document.get("properties").and_then(Value::as_object).into_iter().flatten();
        let marked = fields.filter_map(|(name, schema)| {
            let kind = schema.get("x-connection")?.as_str()?.to_owned();
            Some(ConnectionField { name: name.clone(), kind })
        });
        marked.collect()
    }

    /// What the schema says a field of the configuration itself is when it is left out.
    pub(crate) fn default_text(&self, field: &str) -> Option<&str> {
        self.document.get("properties")?.get(field)?.get("default")?.as_str()
    }

    fn walk(
        &self,
        schema: &Value,
        value: &Value,
        pointer: String,
        depth: usize,
        found: &mut BTreeMap<String, Marks>,
    ) {
        let Value::Object(keywords) = schema else { return };
        if depth > MAX_DEPTH {
            return;
        }
        for nested in
            ["allOf", "anyOf", "oneOf"].iter().filter_map(|name| keywords.get(*name)?.as_array()).flatten()
        {
            self.walk(nested, value, pointer.clone(), depth + 1, found);
        }
        if let Some(target) =
            keywords.get("$ref").and_then(Value::as_str).and_then(|reference| reference.strip_prefix('#'))
            && let Some(target) = self.document.pointer(target)
        {
            self.walk(target, value, pointer.clone(), depth + 1, found);
        }
        match value {
            Value::String(_) => {
                let marks = read_marks(keywords);
                if marks != Marks::default() {
                    found.entry(pointer).or_default().merge(marks);
                }
            }
            Value::Object(fields) => {
                let properties = keywords.get("properties").and_then(Value::as_object);
                for (key, value) in fields {
                    let inner = properties
                        .and_then(|properties| properties.get(key))
                        .or_else(|| keywords.get("additionalProperties"));
                    if let Some(inner) = inner {
                        self.walk(inner, value, format!("{pointer}/{}", escape(key)), depth + 1, found);
                    }
                }
            }
            Value::Array(items) => {
                let prefix = keywords.get("prefixItems").and_then(Value::as_array);
                for (position, value) in items.iter().enumerate() {
                    let inner =
                        prefix.and_then(|prefix| prefix.get(position)).or_else(|| keywords.get("items"));
                    if let Some(inner) = inner {
                        self.walk(inner, value, format!("{pointer}/{position}"), depth + 1, found);
                    }
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

impl Marks {
    fn merge(&mut self, other: Self) {
        self.template = self.template.or(other.template);
        self.name |= other.name;
        self.egress |= other.egress;
        self.secret_place = self.secret_place.or(other.secret_place);
        self.secret_form = self.secret_form.or(other.secret_form);
        self.recipient |= other.recipient;
        self.secret_env = self.secret_env.take().or(other.secret_env);
        self.tls_certificate = self.tls_certificate.take().or(other.tls_certificate);
        self.tls_key = self.tls_key.take().or(other.tls_key);
    }
}

impl Marks {
    /// Whether a secret that stands in the text is put in where it goes. A text that is rendered is content, unless its mark
    /// says more; what becomes of one that is not rendered, only its plugin knows.
    pub(crate) fn may_hold_secret(&self) -> bool {
        match self.template {
            None | Some(Escaping::Url) => true,
            Some(_) => self.egress || self.secret_place.is_some() || self.secret_form.is_some(),
        }
    }
}

fn read_marks(keywords: &serde_json::Map<String, Value>) -> Marks {
    let text = |name: &str| keywords.get(name).and_then(Value::as_str);
    let set = |name: &str| keywords.get(name) == Some(&Value::Bool(true));
    Marks {
        template: text("x-template").and_then(Escaping::named),
        name: set("x-name"),
        egress: set("x-egress"),
        secret_env: text("x-secret-env").map(str::to_owned),
        secret_place: match (set("x-secret-header"), set("x-secret-body")) {
            (_, true) => Some(SecretPlace::Body),
            (true, false) => Some(SecretPlace::Header),
            (false, false) => None,
        },
        secret_form: text("x-secret-form").and_then(SecretForm::named),
        recipient: set("x-recipient"),
        tls_certificate: text(TLS_MARKS[0]).map(str::to_owned),
        tls_key: text(TLS_MARKS[1]).map(str::to_owned),
    }
}

/// A misspelt mark would silently render nothing.
fn check_marks(schema: &Value) -> Result<(), String> {
    match schema {
        Value::Object(keywords) => {
            match keywords.get("x-template") {
                // A property may have that name.
                None | Some(Value::Object(_)) => {}
                Some(Value::String(name)) if Escaping::named(name).is_some() => {}
                Some(other) => {
                    let known = Escaping::ALL.map(Escaping::as_str).join(", ");
                    return Err(format!("has the mark x-template with {other}; there are: {known}"));
                }
            }
            match keywords.get("x-secret-form") {
                None | Some(Value::Object(_)) => {}
                Some(Value::String(name)) if SecretForm::named(name).is_some() => {}
                Some(other) => {
                    let known = SecretForm::ALL.map(SecretForm::as_str).join(", ");
                    return Err(format!("has the mark x-secret-form with {other}; there are: {known}"));
                }
            }
            for name in TLS_MARKS {
                if !matches!(keywords.get(name), None | Some(Value::Object(_) | Value::String(_))) {
                    return Err(format!("has the mark {name} without the name of a field"));
                }
            }
            keywords.values().try_for_each(check_marks)
        }
        Value::Array(items) => items.iter().try_for_each(check_marks),
        _ => Ok(()),
    }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Object(map) => 1 + map.values().map(depth).max().unwrap_or(0),
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema(document: &Value) -> ConfigSchema {
        ConfigSchema::read(&document.to_string()).unwrap()
    }

    #[test]
    fn every_violation_has_its_pointer() {
        let schema = schema(&json!({
            "type": "object", "additionalProperties": false, "required": ["url"],
            "properties": {"url": {"type": "string"}, "n": {"type": "integer", "maximum": 3}, "headers": {"type": "object"}},
        }));
        let problems = schema.problems(&json!({"n": 7, "heders": {}}));
        let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert!(
            told.iter()
                .any(|line| line == "/heders: there is no key `heders` here (did you mean `headers`?)"),
            "{told:?}"
        );
        assert!(told.iter().any(|line| line == "`url` is missing"), "{told:?}");
        let timeout = schema.problems(&json!({"url": "x", "timeout": 5}))[0].to_string();
        assert_eq!(timeout, "/timeout: there is no key `timeout` here (did you mean `timeout_ms`?)");
        let strange = schema.problems(&json!({"url": "x", "zzz": 5}))[0].to_string();
        assert!(strange.contains("known keys: url, n, headers, type, name, timeout_ms, retry"), "{strange}");
        assert!(told.iter().any(|line| line.starts_with("/n: this is greater than")), "{told:?}");
    }

    #[test]
    fn a_wrong_type_is_told_by_the_right_one() {
        let schema = schema(&json!({
            "type": "object",
            "properties": {"url": {"type": ["string", "null"]}, "n": {"type": ["integer", "array"]}},
        }));
        let problems = schema.problems(&json!({"url": 7, "n": "x"}));
        let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(told, ["/url: must be a string", "/n: must be an integer or an array"]);
    }

    #[test]
    fn marks_are_found_in_maps_lists_and_references() {
        let schema = schema(&json!({
            "type": "object",
            "$defs": {"t": {"type": "string", "x-template": "html"}},
            "properties": {
                "url": {"type": "string", "x-egress": true, "x-template": "url"},
                "headers": {"type": "object", "additionalProperties": {"type": "string", "x-template": "text"}},
                "list": {"type": "array", "items": {"anyOf": [{"$ref": "#/$defs/t"}, {"type": "null"}]}},
            },
        }));
        let marks =
            schema.marks(&json!({"url": "u", "headers": {"a/b": "v"}, "list": ["x", null], "other": "y"}));
        assert_eq!(marks["/url"], Marks { template: Some(Escaping::Url), egress: true, ..Marks::default() });
        assert_eq!(marks["/headers/a~1b"].template, Some(Escaping::Text));
        assert_eq!(marks["/list/0"].template, Some(Escaping::Html));
        assert_eq!(marks.len(), 3);
    }

    #[test]
    fn a_wrong_mark_a_remote_reference_and_a_backtracking_pattern_are_refused() {
        for wrong in [
            json!({"type": "object", "properties": {"a": {"type": "string", "x-template": "jsn"}}}),
            json!({"type": "object", "properties": {"a": {"type": "string", "x-tls-client-key": true}}}),
            json!({"type": "object", "properties": {"a": {"type": "string", "x-secret-form": "key"}}}),
            json!({"type": "object", "properties": {"a": {"$ref": "https://example.com/schema.json"}}}),
            json!({"type": "object", "properties": {"a": {"type": "string", "pattern": "(a)\\1"}}}),
        ] {
            assert!(ConfigSchema::read(&wrong.to_string()).is_err(), "{wrong}");
        }
    }
}
