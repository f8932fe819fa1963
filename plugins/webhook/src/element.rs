//! One event's part of an array: its body, with the id by which the receiver knows a repetition.

use std::{borrow::Cow, fmt};

use aftercommit_plugin::{Failure, JsonObject};
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};

/// Names the delivery in an element, as the header `webhook-id` does in a request of its own.
const ID: &str = "webhook_id";

/// The body, a JSON object, with `webhook_id` as its first member unless it has one of its own. Its other bytes stay as they are.
pub(crate) fn of(body: &str, delivery_id: &str) -> Result<String, Failure> {
    let wrong = |why: String| {
        Failure::permanent("invalid_body", format!("in a batch each body is a JSON object: {why}"))
    };
    let Members { any, id } = serde_json::from_str(body).map_err(|error| wrong(error.to_string()))?;
    if id {
        return Ok(body.trim().to_owned());
    }
    let mut object = JsonObject::with_capacity(body.len() + ID.len() + delivery_id.len() + 8);
    object.text(ID, delivery_id);
    let mut element = object.finish();
    // It is an object, so it begins with a brace.
    let rest = &body.trim_start()[1..];
    element.pop();
    if any {
        element.push(',');
    }
    element.push_str(rest.trim_end());
    Ok(element)
}

/// What is known of an object's members.
struct Members {
    any: bool,
    /// One of them is `webhook_id`.
    id: bool,
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Names)
    }
}

struct Names;

impl<'de> Visitor<'de> for Names {
    type Value = Members;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
        let mut members = Members { any: false, id: false };
        while let Some((Name(name), IgnoredAny)) = map.next_entry()? {
            members.any = true;
            members.id |= name == ID;
        }
        Ok(members)
    }
}

/// A name that is copied only if it is written with escapes.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_comes_first_and_the_rest_keeps_its_bytes() {
        let element = |body| of(body, "d1").expect("an object");
        assert_eq!(element(r#"{"n": 1.50}"#), r#"{"webhook_id":"d1","n": 1.50}"#);
        assert_eq!(element(" \n{ } "), r#"{"webhook_id":"d1" }"#);
        assert_eq!(element("{}"), r#"{"webhook_id":"d1"}"#);
        assert_eq!(element(r#"{"a":{"webhook_id":1}}"#), r#"{"webhook_id":"d1","a":{"webhook_id":1}}"#);
        assert_eq!(element(r#" {"webhook_id":"own"}"#), r#"{"webhook_id":"own"}"#, "one of its own stays");
    }

    #[test]
    fn what_is_no_object_is_refused_alone() {
        for body in ["", "[]", "\"a\"", "1", "{", r#"{"a":1}}"#, r#"{"a":1},{"b":2}"#, "null"] {
            let failure = of(body, "d1").expect_err("no object");
            assert!(matches!(failure, Failure::Permanent(ref why) if why.code == "invalid_body"), "{body}");
        }
    }
}
