//! Reading an event.

use serde::de::DeserializeOwned;

use crate::{Event, Failure, JsonObject};

impl Event {
    /// The row as a type of the plugin's; a row that does not fit is a permanent failure.
    pub fn row<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        serde_json::from_str(&self.data).map_err(|error| {
            Failure::permanent("row", format!("the row does not have the expected fields: {error}"))
        })
    }

    /// An attribute: `tenant_id`, `actor`, `traceparent`.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The event as one JSON object, in the form of `aftercommit events show`. Rows pass through byte for byte.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut object =
            JsonObject::with_capacity(self.data.len() + self.old.as_ref().map_or(0, String::len) + 320);
        object
            .text("id", &self.id)
            .text("entity_type", &self.entity_type)
            .text("entity_id", &self.entity_id)
            .text("event_kind", &self.kind)
            .text("occurred_at", &self.occurred_at)
            .raw("data", &self.data);
        if let Some(old) = &self.old {
            object.raw("old", old);
        }
        object.texts("changed", &self.changed);
        for (name, value) in &self.attributes {
            object.text(name, value);
        }
        object.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> Event {
        Event {
            id: "e1".to_owned(),
            entity_type: "Order".to_owned(),
            entity_id: "7".to_owned(),
            kind: "updated".to_owned(),
            occurred_at: "2026-01-02T03:04:05.000006Z".to_owned(),
            data: r#"{"total": 0.10000000000000000001,  "note":"a\u00e9\""}"#.to_owned(),
            old: Some(r#"{"total":1}"#.to_owned()),
            changed: vec!["total".to_owned()],
            attributes: vec![("actor".to_owned(), "a \"b\"".to_owned())],
        }
    }

    #[test]
    fn rows_pass_through_byte_for_byte() {
        let event = event();
        let json = event.to_json();
        assert!(
            json.contains(&format!(r#""data":{},"old":{{"total":1}},"changed":["total"]"#, event.data)),
            "{json}"
        );
        let read: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        assert_eq!(read["actor"], "a \"b\"");
        assert_eq!(read["data"]["total"].to_string(), "0.10000000000000000001");
    }

    #[test]
    fn rows_keep_every_digit_and_misfits_are_permanent() {
        #[derive(serde::Deserialize, Debug)]
        struct Row {
            total: serde_json::Number,
        }
        assert_eq!(event().row::<Row>().expect("fits").total.to_string(), "0.10000000000000000001");
        let failure = Event { data: "{}".to_owned(), ..event() }.row::<Row>().expect_err("no total");
        assert!(matches!(failure, Failure::Permanent(_)));
    }
}
