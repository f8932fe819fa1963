//! Recipients as a user writes them: one, or a list.

use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer,
    de::{SeqAccess, Visitor},
};

/// Mailboxes; each text is a template of one.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Recipients(Vec<String>);

impl Recipients {
    /// Whether nothing is written, not even a template that may be empty.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// As written.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Those that are not empty: a template may leave one out.
    pub(crate) fn written(self) -> Vec<String> {
        self.0.into_iter().filter(|mailbox| !mailbox.trim().is_empty()).collect()
    }
}

impl<'de> Deserialize<'de> for Recipients {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneOrList)
    }
}

/// Reads a text or a list; serde's own `untagged` would buffer them, in many times the code.
struct OneOrList;

impl<'de> Visitor<'de> for OneOrList {
    type Value = Recipients;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an address or a list of addresses")
    }

    fn visit_str<E>(self, one: &str) -> Result<Recipients, E> {
        Ok(Recipients(vec![one.to_owned()]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Recipients, A::Error> {
        let mut all = Vec::new();
        while let Some(one) = list.next_element()? {
            all.push(one);
        }
        Ok(Recipients(all))
    }
}

impl JsonSchema for Recipients {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Recipients".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "array"],
            "x-template": "text",
            "items": {"type": "string", "x-template": "text"},
            "maxItems": 100,
            "examples": ["admin@example.com", ["{{email}}", "Sales <sales@example.com>"]],
        })
    }
}

/// Marks a field whose addresses the mail is sent to.
pub(crate) fn receives(schema: &mut Schema) {
    schema.insert("x-recipient".to_owned(), true.into());
    if let Some(items) = schema.get_mut("items").and_then(serde_json::Value::as_object_mut) {
        items.insert("x-recipient".to_owned(), true.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_and_several_are_read() {
        let read = |json: &str| serde_json::from_str::<Recipients>(json).map(Recipients::written).ok();
        assert_eq!(read(r#""a@example.com""#).expect("one"), ["a@example.com"]);
        assert_eq!(
            read(r#"["a@example.com", " ", "b@example.com"]"#).expect("two"),
            ["a@example.com", "b@example.com"]
        );
        assert_eq!(read("7"), None);
        assert_eq!(read("[7]"), None);
    }
}
