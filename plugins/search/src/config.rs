//! The configuration, and what its schema can not say of it.

use aftercommit_plugin::{
    FieldProblem,
    http::base_url_problem,
    secrets::Secret,
    template::{Name, literal},
};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::operation::check_index;

/// What is written beside `type = "search"`.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The index, or Typesense's collection.
    #[schemars(example = &"orders", example = &"orders-{{tenant_id}}")]
    pub(crate) index: Name,
    /// The document's id. By default the entity's id.
    #[schemars(example = &"order_{{entity_id}}")]
    pub(crate) id_template: Option<Name>,
    /// What runs there.
    #[serde(default)]
    #[schemars(extend("default" = "elasticsearch"))]
    pub(crate) engine: Engine,
    /// Where the engine is. Either this or `url_env`.
    #[schemars(extend("x-egress" = true), example = &"https://search.example.com:9200")]
    pub(crate) url: Option<String>,
    /// Name of the secret that holds the URL, instead of `url`.
    #[schemars(extend("x-secret-env" = "url"), example = &"SEARCH_URL")]
    #[expect(dead_code, reason = "the host has put the secret into `url`")]
    pub(crate) url_env: Option<String>,
    /// Fields of the row that are indexed. By default all.
    #[serde(default)]
    #[schemars(example = ["status", "total"])]
    pub(crate) fields: Vec<String>,
    /// An API key: Elasticsearch's in its encoded form, Meilisearch's, Typesense's.
    #[schemars(extend("x-secret-form" = "any"), example = &"${secret:SEARCH_API_KEY}")]
    pub(crate) api_key: Option<Secret>,
    /// Name of the secret that holds the API key, instead of `api_key`.
    #[schemars(extend("x-secret-env" = "api_key"), example = &"SEARCH_API_KEY")]
    #[expect(dead_code, reason = "the host has put the secret into `api_key`")]
    pub(crate) api_key_env: Option<String>,
    /// Elasticsearch, OpenSearch: a user, with `password`.
    #[schemars(example = &"indexer")]
    pub(crate) username: Option<String>,
    /// The user's password.
    #[schemars(extend("x-secret-form" = "any"), example = &"${secret:SEARCH_PASSWORD}")]
    pub(crate) password: Option<Secret>,
    /// Name of the secret that holds the password, instead of `password`.
    #[schemars(extend("x-secret-env" = "password"), example = &"SEARCH_PASSWORD")]
    #[expect(dead_code, reason = "the host has put the secret into `password`")]
    pub(crate) password_env: Option<String>,
    /// Elasticsearch, OpenSearch: a bearer token.
    #[schemars(extend("x-secret-form" = "any"), example = &"${secret:SEARCH_TOKEN}")]
    pub(crate) token: Option<Secret>,
    /// Name of the secret that holds the token, instead of `token`.
    #[schemars(extend("x-secret-env" = "token"), example = &"SEARCH_TOKEN")]
    #[expect(dead_code, reason = "the host has put the secret into `token`")]
    pub(crate) token_env: Option<String>,
    /// Elasticsearch, OpenSearch: how older changes are kept from overwriting newer ones.
    #[schemars(extend("default" = "external_gte"))]
    pub(crate) version_type: Option<VersionType>,
    /// Elasticsearch, OpenSearch: when the change can be found; `false`: with the index's next refresh.
    #[schemars(extend("default" = "false"))]
    pub(crate) refresh: Option<Refresh>,
    /// Meilisearch: the field that the id is written into. By default `id`.
    #[schemars(example = &"id")]
    pub(crate) primary_key: Option<String>,
}

/// A search engine.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(crate) enum Engine {
    /// Elasticsearch 7 and later.
    #[default]
    Elasticsearch,
    /// OpenSearch.
    Opensearch,
    /// Meilisearch 1.
    Meilisearch,
    /// Typesense.
    Typesense,
}

/// Elasticsearch's version types ("Index API", versioning).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(crate) enum VersionType {
    /// The event's time must not be before that of the document.
    #[default]
    ExternalGte,
    /// The event's time must be after that of the document.
    External,
    /// No versions: whatever arrives last stays.
    None,
}

/// Elasticsearch's `refresh` parameter.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(crate) enum Refresh {
    /// With the next refresh of the index.
    #[serde(rename = "false")]
    No,
    /// At once; costly.
    #[serde(rename = "true")]
    Now,
    /// The request waits for the next refresh.
    WaitFor,
}

impl Engine {
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Elasticsearch => "Elasticsearch",
            Self::Opensearch => "OpenSearch",
            Self::Meilisearch => "Meilisearch",
            Self::Typesense => "Typesense",
        }
    }

    /// Whether it speaks Elasticsearch's API.
    pub(crate) const fn has_bulk(self) -> bool {
        matches!(self, Self::Elasticsearch | Self::Opensearch)
    }
}

impl Config {
    /// Everything that is wrong with it.
    pub(crate) fn problems(&self) -> Vec<FieldProblem> {
        let mut problems = Vec::new();
        let mut wrong = |pointer: &str, message: String| problems.push(FieldProblem::new(pointer, message));
        let engine = self.engine.title();
        if self.url.is_none() {
            wrong(
                "/url",
                format!(
                    "where is {engine}? write url = \"https://..\", or url_env = \"SEARCH_URL\" and set that"
                ),
            );
        }
        if let Some(why) = literal(&self.index).and_then(|index| check_index(self.engine, index).err()) {
            wrong("/index", why);
        }
        if self.engine.has_bulk() {
            let ways = [
                self.api_key.is_some(),
                self.username.is_some() || self.password.is_some(),
                self.token.is_some(),
            ];
            if ways.into_iter().filter(|way| *way).count() > 1 {
                wrong(
                    "/api_key",
                    "write one of `api_key`, `username` with `password`, and `token`".to_owned(),
                );
            }
            if self.username.is_some() != self.password.is_some() {
                wrong("/password", "`username` and `password` go together".to_owned());
            }
        } else {
            for (pointer, is_written) in [
                ("/username", self.username.is_some()),
                ("/password", self.password.is_some()),
                ("/token", self.token.is_some()),
                ("/version_type", self.version_type.is_some()),
                ("/refresh", self.refresh.is_some()),
            ] {
                if is_written {
                    wrong(pointer, format!("{engine} does not know this; it takes `api_key`"));
                }
            }
        }
        if self.engine == Engine::Typesense && self.api_key.is_none() {
            wrong(
                "/api_key",
                "Typesense needs a key: write api_key_env = \"TYPESENSE_API_KEY\" and set that".to_owned(),
            );
        }
        if self.engine != Engine::Meilisearch && self.primary_key.is_some() {
            wrong("/primary_key", format!("{engine} does not know this"));
        }
        problems.extend(base_url_problem("/url", self.url.as_deref()));
        problems
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pointers(mut written: serde_json::Value) -> Vec<String> {
        written["index"] = json!("orders");
        let config: Config = serde_json::from_value(written).expect("a configuration");
        config.problems().into_iter().map(|problem| problem.pointer).collect()
    }

    #[test]
    fn a_url_is_needed() {
        assert_eq!(pointers(json!({})), ["/url"]);
        assert_eq!(pointers(json!({"url": "https://e"})), [""; 0]);
        assert_eq!(pointers(json!({"url": "https://e/?pretty"})), ["/url"]);
    }

    #[test]
    fn an_index_that_no_template_makes_is_checked_at_once() {
        let of = |index: &str| {
            let written = json!({"index": index, "url": "https://e"});
            let config: Config = serde_json::from_value(written).expect("a configuration");
            config.problems().into_iter().map(|problem| problem.pointer).collect::<Vec<_>>()
        };
        assert_eq!(of("orders"), [""; 0]);
        assert_eq!(of("Orders"), ["/index"]);
        assert_eq!(of("Orders-{{tenant}}"), [""; 0], "only known when it is rendered");
    }

    #[test]
    fn credentials_are_of_one_kind() {
        let of = |more: serde_json::Value| {
            let mut written = json!({"url": "u"});
            written.as_object_mut().expect("an object").extend(more.as_object().cloned().expect("an object"));
            pointers(written)
        };
        assert_eq!(of(json!({"username": "a", "password": "b"})), [""; 0]);
        assert_eq!(of(json!({"username": "a"})), ["/password"]);
        assert_eq!(of(json!({"token": "a", "api_key": "b"})), ["/api_key"]);
        assert_eq!(of(json!({"engine": "typesense"})), ["/api_key"]);
        assert_eq!(
            of(json!({"engine": "meilisearch", "token": "a", "version_type": "external"})),
            ["/token", "/version_type"]
        );
        assert_eq!(of(json!({"primary_key": "a"})), ["/primary_key"]);
    }

    #[test]
    fn the_schema_carries_the_marks() {
        let schema = serde_json::to_value(schemars::schema_for!(Config)).expect("JSON");
        let fields = schema["properties"].as_object().expect("fields");
        assert_eq!(
            (&fields["id_template"]["x-template"], &fields["url"]["x-egress"]),
            (&"text".into(), &true.into())
        );
        assert_eq!(
            (&fields["id_template"]["x-name"], &fields["index"]["x-name"]),
            (&true.into(), &true.into())
        );
        assert_eq!(schema["required"], json!(["index"]));
        assert_eq!(aftercommit_plugin::schema::undocumented::<Config>(include_str!("../README.md")), [""; 0]);
    }
}
