//! The body of the request.

use aftercommit_plugin::{Event, JsonObject};

use crate::{config::Config, event_type};

/// The rendered template, else the default body of a method that has one.
pub(crate) fn of(config: &Config, event: &Event) -> Option<String> {
    match (&config.body_template, &config.raw_body_template) {
        (Some(rendered), _) => Some(rendered.to_string()),
        (None, Some(rendered)) => Some(rendered.to_string()),
        (None, None) => config.method.has_body().then(|| default(event)),
    }
}

/// `type`, `timestamp` and `data`, as Standard Webhooks recommends; `data` is the whole event.
fn default(event: &Event) -> String {
    let whole = event.to_json();
    let mut body = JsonObject::with_capacity(whole.len() + 128);
    body.text("type", &event_type::of(event)).text("timestamp", &event.occurred_at).raw("data", &whole);
    body.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Method;

    fn event() -> Event {
        Event {
            id: "e1".to_owned(),
            entity_type: "OrderItem".to_owned(),
            entity_id: "7".to_owned(),
            kind: "created".to_owned(),
            occurred_at: "2026-01-02T03:04:05.000006Z".to_owned(),
            data: r#"{"total":100.00}"#.to_owned(),
            old: None,
            changed: Vec::new(),
            attributes: vec![("tenant_id".to_owned(), "t1".to_owned())],
        }
    }

    #[test]
    fn the_default_body_holds_the_whole_event() {
        assert_eq!(
            of(&Config::default(), &event()).expect("a body"),
            concat!(
                r#"{"type":"order_item.created","timestamp":"2026-01-02T03:04:05.000006Z","data":{"id":"e1","#,
                r#""entity_type":"OrderItem","entity_id":"7","event_kind":"created","#,
                r#""occurred_at":"2026-01-02T03:04:05.000006Z","data":{"total":100.00},"changed":[],"tenant_id":"t1"}}"#
            )
        );
    }

    #[test]
    fn get_and_delete_have_a_body_only_on_demand() {
        let mut config = Config { method: Method::Get, ..Config::default() };
        assert_eq!(of(&config, &event()), None);
        config.body_template = serde_json::from_str(r#""{}""#).expect("a template");
        assert_eq!(of(&config, &event()).as_deref(), Some("{}"));
    }

    #[test]
    fn a_raw_body_is_what_its_template_made() {
        let config: Config =
            serde_json::from_str(r#"{"raw_body_template":"a;\"b\"\n"}"#).expect("a configuration");
        assert_eq!(of(&config, &event()).as_deref(), Some("a;\"b\"\n"));
        assert_eq!(config.content_type(), "text/plain; charset=utf-8");
        let own = Config { content_type: Some("text/csv".to_owned()), ..config };
        assert_eq!(own.content_type(), "text/csv");
        assert_eq!(Config::default().content_type(), "application/json");
    }
}
