//! Where a plugin sends to when the operator does not say: the defaults of fields marked `x-egress`.
//!
//! A default names a destination that nobody granted by writing it. It is taken from plugins that the program carries
//! inside itself; of any other plugin it is only told, so that the operator can write it.

use serde_json::Value;

use crate::{
    configure::problem::{ConfigProblem, Findings},
    loading::schema::ConfigSchema,
};

/// Writes the defaults of the egress fields that `config` leaves out into it, or asks the operator to.
pub(crate) fn fill(schema: &ConfigSchema, config: &mut Value, trusted: bool, findings: &Findings) {
    for (field, default) in schema.egress_defaults(config) {
        if trusted {
            config[field] = default.into();
            continue;
        }
        let message =
            format!("is not written, and this plugin would send to `{default}`, which nobody granted");
        findings.add(
            ConfigProblem::new(format!("/{field}"), message)
                .help(format!("write {field} = \"{default}\" to grant it")),
        );
    }
}

impl ConfigSchema {
    /// Fields marked `x-egress` that `config` leaves out, with the default that holds for it: the field's own, or that of
    /// an `if` and `then` in `allOf`. Only fields of the configuration itself, not of objects in it.
    fn egress_defaults(&self, config: &Value) -> Vec<(String, String)> {
        let Some(fields) = self.document().get("properties").and_then(Value::as_object) else {
            return Vec::new();
        };
        fields
            .iter()
            .filter(|(_, field)| field.get("x-egress") == Some(&Value::Bool(true)))
            .filter(|(name, _)| config.get(name.as_str()).is_none_or(Value::is_null))
            .filter_map(|(name, field)| {
                let own = field.get("default").and_then(Value::as_str);
                let default = own.or_else(|| self.conditional_default(name, config))?;
                Some((name.clone(), default.to_owned()))
            })
            .collect()
    }

    fn conditional_default(&self, field: &str, config: &Value) -> Option<&str> {
        let branches = self.document().get("allOf")?.as_array()?;
        branches.iter().find_map(|branch| {
            let condition = jsonschema::options().offline().build(branch.get("if")?).ok()?;
            let holds = if condition.is_valid(config) { "then" } else { "else" };
            branch.get(holds)?.get("properties")?.get(field)?.get("default")?.as_str()
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema() -> ConfigSchema {
        let by_provider = |provider: &str, url: &str| {
            json!({
                "if": {"properties": {"provider": {"const": provider}}, "required": ["provider"]},
                "then": {"properties": {"api_url": {"default": url}}},
            })
        };
        let document = json!({
            "type": "object",
            "properties": {
                "provider": {"type": "string"},
                "api_url": {"type": ["string", "null"], "x-egress": true},
                "token_url": {"type": "string", "x-egress": true, "default": "https://token.example"},
                "note": {"type": "string", "default": "no destination"},
            },
            "allOf": [by_provider("a", "https://a.example"), by_provider("b", "https://b.example")],
        });
        ConfigSchema::read(&document.to_string()).unwrap()
    }

    #[test]
    fn a_built_in_plugin_has_its_default_destinations() {
        let filled = |mut config: Value| {
            let findings = Findings::default();
            fill(&schema(), &mut config, true, &findings);
            findings.into_result().unwrap();
            config
        };
        assert_eq!(
            filled(json!({"provider": "b"})),
            json!({"provider": "b", "api_url": "https://b.example", "token_url": "https://token.example"})
        );
        let written =
            json!({"provider": "a", "api_url": "https://own.example", "token_url": "https://t.example"});
        assert_eq!(filled(written.clone()), written);
        assert_eq!(filled(json!({"provider": "c"}))["api_url"], Value::Null);
    }

    #[test]
    fn any_other_plugin_must_be_granted_them() {
        let mut config = json!({"provider": "a", "token_url": "https://t.example"});
        let told = |config: &mut Value| {
            let findings = Findings::default();
            fill(&schema(), config, false, &findings);
            findings.into_result().map_or_else(|error| error.to_string(), |()| String::new())
        };
        let asked = told(&mut config);
        assert!(
            asked.contains("/api_url") && asked.contains("write api_url = \"https://a.example\""),
            "{asked}"
        );
        config["api_url"] = json!("https://a.example");
        assert_eq!(told(&mut config), "");
    }
}
