//! What is done to the index for an event.

use aftercommit_plugin::{Event, Failure};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::{
    config::{Config, Engine, VersionType},
    document, version,
};

/// One change of one document.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Operation {
    pub(crate) index: String,
    pub(crate) id: String,
    /// The document in one line of JSON; nothing when it is deleted.
    pub(crate) document: Option<String>,
    /// Version and version type, for engines that have them.
    pub(crate) version: Option<(u64, &'static str)>,
}

impl Operation {
    /// Created and updated rows are indexed, deleted ones are deleted.
    pub(crate) fn of(event: &Event, config: &Config) -> Result<Self, Failure> {
        let id = config.id_template.as_deref().unwrap_or(&event.entity_id).to_owned();
        check_id(config.engine, &id).map_err(|why| Failure::permanent("invalid_id", why))?;
        check_index(config.engine, &config.index).map_err(|why| Failure::permanent("invalid_index", why))?;
        let document = match event.kind.as_str() {
            "created" | "updated" => {
                let id_field = match config.engine {
                    Engine::Elasticsearch | Engine::Opensearch => None,
                    Engine::Meilisearch => Some(config.primary_key.as_deref().unwrap_or("id")),
                    Engine::Typesense => Some("id"),
                };
                Some(document::of(&event.data, &config.fields, id_field.map(|name| (name, id.as_str())))?)
            }
            "deleted" => None,
            other => {
                let message = format!(
                    "an event of the kind {other:?} says nothing of the row; observe created, updated and deleted"
                );
                return Err(Failure::permanent("unsupported_event_kind", message));
            }
        };
        let version = match config.version_type.unwrap_or_default() {
            _ if !config.engine.has_bulk() => None,
            VersionType::None => None,
            VersionType::External => Some((version::of(&event.occurred_at)?, "external")),
            VersionType::ExternalGte => Some((version::of(&event.occurred_at)?, "external_gte")),
        };
        Ok(Self { index: config.index.to_string(), id, document, version })
    }
}

/// RFC 3986, 2.3: what stands in a segment of a path as it is.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// A text as one segment of a path.
pub(crate) fn segment(text: &str) -> String {
    utf8_percent_encode(text, SEGMENT).to_string()
}

/// A segment `..` would lead out of the index, however it is encoded (WHATWG URL, "double-dot URL path segment").
fn is_dots(text: &str) -> bool {
    matches!(text, "." | "..")
}

fn check_id(engine: Engine, id: &str) -> Result<(), String> {
    let (most, plain) = match engine {
        Engine::Elasticsearch | Engine::Opensearch | Engine::Typesense => (512, false),
        Engine::Meilisearch => (511, true),
    };
    if id.is_empty() || id.len() > most || is_dots(id) {
        return Err(format!(
            "a document's id has 1 to {most} bytes and is not `.` or `..`; this one has {}",
            id.len()
        ));
    }
    if plain && !id.bytes().all(is_plain) {
        return Err(format!(
            "Meilisearch takes ids of a-z, A-Z, 0-9, - and _ only, not {id:?}; write another id_template"
        ));
    }
    Ok(())
}

/// What is wrong with the name of an index.
pub(crate) fn check_index(engine: Engine, index: &str) -> Result<(), String> {
    let right = match engine {
        // "Create index API", path parameters.
        Engine::Elasticsearch | Engine::Opensearch => {
            index.len() <= 255
                && !index.starts_with(['-', '_', '+'])
                && !index.contains(['\\', '/', '*', '?', '"', '<', '>', '|', ' ', ',', '#', ':'])
                && !index.chars().any(char::is_uppercase)
        }
        Engine::Meilisearch => index.len() <= 400 && index.bytes().all(is_plain),
        Engine::Typesense => true,
    };
    if right && !index.is_empty() && !is_dots(index) {
        return Ok(());
    }
    let hint = match engine {
        Engine::Elasticsearch | Engine::Opensearch => {
            "lower case, without spaces and \\ / * ? \" < > | , # :, and not beginning with - _ +"
        }
        Engine::Meilisearch => "letters, digits, - and _ only",
        Engine::Typesense => "not empty",
    };
    Err(format!("{index:?} is not the name of an index in {}: {hint}", engine.title()))
}

const fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(kind: &str) -> Event {
        Event {
            id: "e1".to_owned(),
            entity_type: "Order".to_owned(),
            entity_id: "7".to_owned(),
            kind: kind.to_owned(),
            occurred_at: "2026-01-02T03:04:05.000006Z".to_owned(),
            data: r#"{"id":7,"total":100.00}"#.to_owned(),
            old: None,
            changed: Vec::new(),
            attributes: Vec::new(),
        }
    }

    fn of(kind: &str, config: &serde_json::Value) -> Result<Operation, Failure> {
        Operation::of(&event(kind), &serde_json::from_value(config.clone()).expect("a configuration"))
    }

    fn code(kind: &str, config: &serde_json::Value) -> String {
        of(kind, config).expect_err("it is refused").problem().code.clone()
    }

    #[test]
    fn kinds_decide() {
        let orders = json!({"index": "orders", "id_template": "order_7"});
        let expected = Operation {
            index: "orders".to_owned(),
            id: "order_7".to_owned(),
            document: Some(r#"{"id":7,"total":100.00}"#.to_owned()),
            version: Some((1_767_323_045_000_006, "external_gte")),
        };
        assert_eq!(of("created", &orders).expect("an operation"), expected);
        assert_eq!(of("updated", &orders).expect("an operation"), expected);
        assert_eq!(of("deleted", &orders).expect("an operation"), Operation { document: None, ..expected });
        assert_eq!(code("custom", &orders), "unsupported_event_kind");
    }

    #[test]
    fn engines_differ() {
        let with = |more: &str, value: &str| json!({"index": "orders", more: value});
        let version = |config| of("created", &config).expect("an operation").version.map(|(_, kind)| kind);
        assert_eq!(version(with("version_type", "external")), Some("external"));
        assert_eq!(version(with("version_type", "none")), None);
        assert_eq!(version(with("engine", "typesense")), None);
        let typesense = of("created", &with("engine", "typesense")).expect("an operation");
        assert_eq!(typesense.document.as_deref(), Some(r#"{"id":"7","total":100.00}"#));
        let meilisearch =
            of("created", &json!({"index": "o", "engine": "meilisearch", "primary_key": "key"}));
        assert_eq!(
            meilisearch.expect("an operation").document.as_deref(),
            Some(r#"{"key":"7","id":7,"total":100.00}"#)
        );
    }

    #[test]
    fn nothing_leads_out_of_the_index() {
        for id in ["", ".", ".."] {
            assert_eq!(code("deleted", &json!({"index": "orders", "id_template": id})), "invalid_id", "{id}");
        }
        for index in ["", "..", "_all", "*", "a,b", "a/b", "Orders", "<x-{now/d}>"] {
            assert_eq!(code("deleted", &json!({"index": index})), "invalid_index", "{index}");
        }
        let dots = json!({"index": "o", "engine": "meilisearch", "id_template": "a.b"});
        assert_eq!(code("deleted", &dots), "invalid_id");
        assert_eq!(segment("a/b?c#d e%ü.."), "a%2Fb%3Fc%23d%20e%25%C3%BC..");
    }
}
