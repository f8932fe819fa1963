//! The configuration, and what its schema can not say of it.

use std::collections::BTreeMap;

use aftercommit_plugin::{
    FieldProblem,
    template::{Header, Json, Text, Url},
};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{headers, oauth2::OAuth2, signature::SigningSecret, success::Codes};

/// What is written beside `type = "webhook"`.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// Where to send the request. Either this or `url_env`.
    #[schemars(extend("x-egress" = true), example = &"https://example.com/orders/{{entity_id}}")]
    pub(crate) url: Option<Url>,
    /// Name of the secret that holds the URL, instead of `url`.
    #[schemars(extend("x-secret-env" = "url"), example = &"WEBHOOK_URL")]
    #[expect(dead_code, reason = "the host has put the secret into `url`")]
    pub(crate) url_env: Option<String>,
    /// Method of the request. `GET` and `DELETE` carry a body only if a template for it is given.
    #[serde(default)]
    #[schemars(extend("default" = "POST"))]
    pub(crate) method: Method,
    /// Further headers.
    #[serde(default)]
    #[schemars(example = BTreeMap::from([("Authorization", "Bearer ${secret:API_TOKEN}")]))]
    pub(crate) headers: BTreeMap<String, Header>,
    /// The body. By default `{"type":"order.updated","timestamp":...,"data":<the event>}`.
    #[schemars(extend("x-secret-body" = true), example = &r#"{"id":"{{entity_id}}","status":"{{status}}"}"#)]
    pub(crate) body_template: Option<Json>,
    /// The body, of any content type: values stand in it as they are. Instead of `body_template`.
    #[schemars(extend("x-secret-body" = true), example = &"{{entity_id}};{{status}}")]
    pub(crate) raw_body_template: Option<Text>,
    /// `Content-Type` of the body. By default `application/json`; with `raw_body_template`
    /// `text/plain; charset=utf-8`.
    #[schemars(example = &"text/csv; charset=utf-8")]
    pub(crate) content_type: Option<String>,
    /// Each adds a signature; several while one is replaced by the next.
    #[serde(default)]
    #[schemars(example = ["${secret:WEBHOOK_SECRET}"])]
    pub(crate) signing_secrets: Vec<SigningSecret>,
    /// Name of a secret that is added to `signing_secrets`.
    #[schemars(extend("x-secret-env" = "signing_secrets"), example = &"WEBHOOK_SECRET")]
    #[expect(dead_code, reason = "the host has put the secret into `signing_secrets`")]
    pub(crate) signing_secret_env: Option<String>,
    /// An access token that the host obtains with client credentials (OAuth 2.0) and renews.
    pub(crate) oauth2: Option<OAuth2>,
    /// PEM of the certificate, and those between it and its authority, that this client shows to `url` (mutual TLS).
    #[schemars(extend("x-tls-client-certificate" = "url"), example = &"${secret:CLIENT_CERTIFICATE}")]
    #[expect(dead_code, reason = "the host shows it in the handshake")]
    pub(crate) client_certificate: Option<String>,
    /// PEM of the certificate's private key.
    #[schemars(extend("x-tls-client-key" = "url"), example = &"${secret:CLIENT_KEY}")]
    #[expect(dead_code, reason = "the host proves with it that the certificate is its own")]
    pub(crate) client_key: Option<String>,
    /// With `batch`: a body is no longer than so many bytes, unless a single event is.
    #[serde(default = "default_batch_bytes")]
    #[schemars(range(min = 1, max = 16_777_216))]
    pub(crate) batch_max_bytes: u32,
    /// Status codes that count as success: numbers and ranges such as `"200-204"`. By default 200-299.
    #[serde(default)]
    #[schemars(example = ["200", "202-204"])]
    pub(crate) success_codes: Vec<Codes>,
    /// How many redirects to follow, with the same method and body; one that is not followed is a failure.
    #[serde(default)]
    #[schemars(range(max = 10))]
    pub(crate) follow_redirects: u32,
}

/// Less than a mebibyte, which is what many servers take of a body.
const fn default_batch_bytes() -> u32 {
    1_000_000
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

    /// What the body is.
    pub(crate) fn content_type(&self) -> &str {
        match &self.content_type {
            Some(content_type) => content_type,
            None if self.raw_body_template.is_some() => "text/plain; charset=utf-8",
            None => "application/json",
        }
    }

    /// Everything that is wrong with it.
    pub(crate) fn problems(&self) -> Vec<FieldProblem> {
        let mut problems = Vec::new();
        // The host has put the secret that `url_env` names into `url`, and has refused both at once.
        if self.url.is_none() {
            problems.push(FieldProblem::new("/url", "write `url`, or `url_env` with a secret's name"));
        }
        problems.extend(headers::problems(self.headers.keys().map(String::as_str)));
        if self.body_template.is_some() && self.raw_body_template.is_some() {
            problems.push(FieldProblem::new(
                "/raw_body_template",
                "write either this or `body_template`, not both",
            ));
        }
        let has_header = |name: &str| self.headers.keys().any(|header| header.eq_ignore_ascii_case(name));
        if self.content_type.is_some() && has_header("content-type") {
            problems.push(FieldProblem::new(
                "/content_type",
                "write either this or the header `Content-Type`, not both",
            ));
        }
        if self.oauth2.is_some() && has_header("authorization") {
            problems.push(FieldProblem::new(
                "/oauth2",
                "write either this or the header `Authorization`, not both",
            ));
        }
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
    fn bodies_and_credentials_exclude_each_other() {
        let with = |more: &str| pointers(&format!(r#"{{"url":"https://e.com",{more}}}"#));
        assert_eq!(with(r#""body_template":"{}","raw_body_template":"x""#), ["/raw_body_template"]);
        assert_eq!(with(r#""content_type":"text/csv","headers":{"content-Type":"x"}"#), ["/content_type"]);
        let oauth2 = r#""oauth2":{"token_url":"https://a.com/t","client_id":"i","client_secret":"s"}"#;
        assert_eq!(with(oauth2), [""; 0]);
        assert_eq!(with(&format!(r#"{oauth2},"headers":{{"AUTHORIZATION":"x"}}"#)), ["/oauth2"]);
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
        assert_eq!(fields["raw_body_template"]["x-template"], "text");
        assert_eq!(fields["signing_secret_env"]["x-secret-env"], "signing_secrets");
        assert_eq!(fields["client_certificate"]["x-tls-client-certificate"], "url");
        assert_eq!(fields["client_key"]["x-tls-client-key"], "url");
        assert!(schema.to_string().contains(r#""x-egress":true"#));
        assert_eq!(aftercommit_plugin::schema::undocumented::<Config>(include_str!("../README.md")), [""; 0]);
        assert_eq!(schema.get("$defs"), None);
    }
}
