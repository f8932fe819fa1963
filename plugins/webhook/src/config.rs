//! The configuration, and what its schema can not say of it.

use std::collections::BTreeMap;

use aftercommit_plugin::{
    FieldProblem,
    template::{Json, Text, Url},
};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{headers, signature::SigningSecret, success::Codes};

/// What is written beside `type = "webhook"`.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// Where to send the request. Either this or `url_env`.
    #[schemars(extend("x-egress" = true))]
    pub(crate) url: Option<Url>,
    /// Name of the secret that holds the URL, instead of `url`.
    #[schemars(extend("x-secret-env" = "url"))]
    #[expect(dead_code, reason = "the host has put the secret into `url`")]
    pub(crate) url_env: Option<String>,
    /// Method of the request. `GET` and `DELETE` carry a body only if `body_template` is given.
    #[serde(default)]
    pub(crate) method: Method,
    /// Further headers. `Content-Type` is `application/json` unless it is given here.
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, Text>,
    /// The body. By default `{"type":"order.updated","timestamp":...,"data":<the event>}`.
    pub(crate) body_template: Option<Json>,
    /// Each adds a signature; several while one is replaced by the next.
    #[serde(default)]
    pub(crate) signing_secrets: Vec<SigningSecret>,
    /// Name of a secret that is added to `signing_secrets`.
    #[schemars(extend("x-secret-env" = "signing_secrets"))]
    #[expect(dead_code, reason = "the host has put the secret into `signing_secrets`")]
    pub(crate) signing_secret_env: Option<String>,
    /// Status codes that count as success: numbers and ranges such as `"200-204"`. By default 200-299.
    #[serde(default)]
    pub(crate) success_codes: Vec<Codes>,
    /// How many redirects to follow; a redirect that is not followed is a failure.
    #[serde(default)]
    #[schemars(range(max = 10))]
    pub(crate) follow_redirects: u32,
}

/// A method of HTTP that webhooks use.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
#[schemars(inline)]
pub(crate) enum Method {
    #[default]
    Post,
    Put,
    Patch,
    Delete,
    Get,
}

impl Method {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
            Self::Get => "GET",
        }
    }

    /// Whether a request of this method has a body that nobody asked for (RFC 9110, 9.3).
    pub(crate) const fn has_body(self) -> bool {
        matches!(self, Self::Post | Self::Put | Self::Patch)
    }
}

impl Config {
    /// Whether the status code means that the receiver has taken the event.
    pub(crate) fn is_success(&self, status: u16) -> bool {
        if self.success_codes.is_empty() {
            return (200..300).contains(&status);
        }
        self.success_codes.iter().any(|codes| codes.contain(status))
    }

    /// Everything that is wrong with it.
    pub(crate) fn problems(&self) -> Vec<FieldProblem> {
        let mut problems = Vec::new();
        // The host has put the secret that `url_env` names into `url`, and has refused both at once.
        if self.url.is_none() {
            problems.push(FieldProblem::new("/url", "write `url`, or `url_env` with a secret's name"));
        }
        problems.extend(headers::problems(self.headers.keys().map(String::as_str)));
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(json: &str) -> Config {
        serde_json::from_str(json).expect("a configuration")
    }

    fn pointers(json: &str) -> Vec<String> {
        config(json).problems().into_iter().map(|problem| problem.pointer).collect()
    }

    #[test]
    fn a_url_is_needed() {
        assert_eq!(pointers(r#"{"url":"https://example.com/hook"}"#), [""; 0]);
        assert_eq!(pointers(r#"{"url":"a handle","url_env":"HOOK"}"#), [""; 0]);
        assert_eq!(pointers("{}"), ["/url"]);
    }

    #[test]
    fn headers_of_the_standard_can_not_be_written() {
        let found =
            pointers(r#"{"url":"https://e.com","headers":{"Webhook-Id":"1","X-A":"1","x-a":"2","a b":"c"}}"#);
        assert_eq!(found, ["/headers/Webhook-Id", "/headers/a b", "/headers/x-a"]);
    }

    #[test]
    fn success_is_2xx_unless_it_is_written() {
        let default = config("{}");
        assert!(default.is_success(200) && default.is_success(299) && !default.is_success(302));
        let own = config(r#"{"success_codes":[204,"300-302","409"]}"#);
        for (status, expected) in
            [(200, false), (204, true), (300, true), (302, true), (303, false), (409, true)]
        {
            assert_eq!(own.is_success(status), expected, "{status}");
        }
    }

    #[test]
    fn the_schema_carries_the_marks_and_knows_all_keys() {
        let schema = serde_json::to_value(schemars::schema_for!(Config)).expect("JSON");
        let fields = &schema["properties"];
        assert_eq!(schema["additionalProperties"], false);
        assert_eq!((&fields["url"]["x-template"], &fields["url"]["x-egress"]), (&"url".into(), &true.into()));
        assert_eq!(fields["headers"]["additionalProperties"]["x-template"], "text");
        assert_eq!(fields["body_template"]["x-template"], "json");
        assert_eq!(fields["signing_secret_env"]["x-secret-env"], "signing_secrets");
        assert_eq!(aftercommit_plugin::schema::undocumented::<Config>(include_str!("../README.md")), [""; 0]);
        assert_eq!(schema.get("$defs"), None);
    }
}
