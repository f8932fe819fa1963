//! The configuration, and what its schema can not say of it.

use aftercommit_plugin::{
    FieldProblem, redis,
    template::{Glob, Json},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{key::Target, ttl::Ttl};

/// What is written beside `type = "cache"`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = serde_json::json!({"key_pattern": "order:{{entity_id}}", "action": "invalidate"}))]
#[schemars(example = serde_json::json!({"key_pattern": "order:{{entity_id}}", "action": "refresh", "ttl_secs": 3600}))]
pub(crate) struct Config {
    /// The key, or the channel of `publish`. Where `*`, `?` and `[..]` are written, it is a pattern as Redis has it; a
    /// backslash before them makes them plain, and in values they always are.
    #[schemars(example = "order:{{entity_id}}", example = "order:{{entity_id}}:*")]
    pub(crate) key_pattern: Glob,
    /// What to do: `invalidate` deletes, `refresh` sets, `publish` sends to the channel's subscribers.
    #[serde(default)]
    pub(crate) action: Action,
    /// The value that `refresh` sets, by default the row, or the message of `publish`, by default the event; both as JSON.
    #[schemars(example = "{\"status\":\"{{status}}\"}")]
    pub(crate) value_template: Option<Json>,
    /// After how many seconds `refresh` lets the value expire: a number, or a template of one. By default never.
    pub(crate) ttl_secs: Option<Ttl>,
    /// The kind of server.
    #[serde(default)]
    pub(crate) backend: Backend,
    /// Name of the connection in the host's configuration: `[redis.NAME]` or `[memcached.NAME]`. By default the one
    /// called `default`, or the only one.
    #[schemars(extend("x-connection" = "backend"), example = &"sessions")]
    pub(crate) connection: Option<String>,
    /// About how many keys are looked at in one step when `key_pattern` is a pattern (`COUNT` of Redis's `SCAN`).
    #[serde(default = "scan_count")]
    #[schemars(range(min = 1, max = 10_000))]
    pub(crate) scan_count: u32,
}

/// What to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(crate) enum Action {
    #[default]
    Invalidate,
    Refresh,
    Publish,
}

/// The kind of server.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(crate) enum Backend {
    #[default]
    Redis,
    Memcached,
}

/// Some milliseconds of the server's time a step.
const fn scan_count() -> u32 {
    1000
}

impl Config {
    /// The name under which the host knows the connection.
    pub(crate) fn connection(&self) -> &str {
        self.connection.as_deref().unwrap_or(redis::DEFAULT)
    }

    /// Everything that is wrong with it; templates stand as written.
    pub(crate) fn problems(&self) -> Vec<FieldProblem> {
        let mut problems = Vec::new();
        let mut wrong = |field: &str, message: &str| {
            problems.push(FieldProblem::new(format!("/{field}"), message));
        };
        if Target::is_written_as_pattern(&self.key_pattern) {
            if self.action != Action::Invalidate {
                wrong(
                    "key_pattern",
                    "this is a pattern, and only `invalidate` takes one; `\\*` is a plain `*`",
                );
            } else if self.backend == Backend::Memcached {
                wrong(
                    "key_pattern",
                    "this is a pattern, and Memcached knows keys only; `\\*` is a plain `*`",
                );
            }
        }
        if self.backend == Backend::Memcached && self.action == Action::Publish {
            wrong("action", "Memcached has no channels; `publish` needs Redis");
        }
        if self.action == Action::Invalidate && self.value_template.is_some() {
            wrong("value_template", "`invalidate` has no value");
        }
        if self.action != Action::Refresh && self.ttl_secs.is_some() {
            wrong("ttl_secs", "only `refresh` sets a value that could expire");
        }
        if let Some(message) = self.ttl_secs.as_ref().and_then(Ttl::problem) {
            wrong("ttl_secs", &message);
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pointers(json: &str) -> Vec<String> {
        let config: Config = serde_json::from_str(json).expect("a configuration");
        config.problems().into_iter().map(|problem| problem.pointer).collect()
    }

    #[test]
    fn the_seed_form_is_enough() {
        let json = r#"{"key_pattern":"order:{{entity_id}}","action":"invalidate"}"#;
        assert_eq!(pointers(json), [""; 0]);
        let config: Config = serde_json::from_str(json).expect("a configuration");
        assert_eq!((config.connection(), config.backend), ("default", Backend::Redis));
    }

    #[test]
    fn what_does_not_go_together_is_told() {
        for (json, pointer) in [
            (r#"{"key_pattern":"a:*","action":"refresh"}"#, "/key_pattern"),
            (r#"{"key_pattern":"a:*","action":"publish"}"#, "/key_pattern"),
            (r#"{"key_pattern":"a:*","backend":"memcached"}"#, "/key_pattern"),
            (r#"{"key_pattern":"a","backend":"memcached","action":"publish"}"#, "/action"),
            (r#"{"key_pattern":"a","value_template":"x"}"#, "/value_template"),
            (r#"{"key_pattern":"a","action":"publish","ttl_secs":5}"#, "/ttl_secs"),
            (r#"{"key_pattern":"a","action":"refresh","ttl_secs":"soon"}"#, "/ttl_secs"),
        ] {
            assert_eq!(pointers(json), [pointer], "{json}");
        }
        for json in [
            r#"{"key_pattern":"a:*"}"#,
            r#"{"key_pattern":"a:\\*","action":"refresh","ttl_secs":"{{ttl}}"}"#,
            r#"{"key_pattern":"{{#if a}}x{{/if}}","backend":"memcached","action":"refresh","ttl_secs":5}"#,
        ] {
            assert_eq!(pointers(json), [""; 0], "{json}");
        }
    }

    #[test]
    fn the_schema_carries_the_marks_and_knows_all_keys() {
        let schema = serde_json::to_value(schemars::schema_for!(Config)).expect("JSON");
        let fields = &schema["properties"];
        assert_eq!(schema["additionalProperties"], false);
        assert_eq!(fields["key_pattern"]["x-template"], "glob");
        assert_eq!(fields["value_template"]["x-template"], "json");
        assert_eq!(fields["ttl_secs"]["x-template"], "text");
        assert_eq!(fields["connection"]["x-connection"], "backend");
        assert_eq!(fields["backend"]["default"], "redis");
        assert_eq!(schema.get("$defs"), None);
        assert_eq!(aftercommit_plugin::schema::undocumented::<Config>(include_str!("../README.md")), [""; 0]);
    }
}
