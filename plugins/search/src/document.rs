//! The document: the row, or some of its fields. Values pass through byte for byte, so numbers keep every digit.

use std::collections::BTreeMap;

use aftercommit_plugin::{Failure, JsonObject};
use serde_json::value::RawValue;

/// The row's `fields`, all if none are named, with the id in the field `id_field` if there is one. One line of JSON.
pub(crate) fn of(row: &str, fields: &[String], id_field: Option<(&str, &str)>) -> Result<String, Failure> {
    if fields.is_empty() && id_field.is_none() {
        return Ok(one_line(row));
    }
    let row: BTreeMap<String, &RawValue> = serde_json::from_str(row)
        .map_err(|error| Failure::permanent("row", format!("the row is not a JSON object: {error}")))?;
    let mut document = JsonObject::new();
    if let Some((name, id)) = id_field {
        document.text(name, id);
    }
    let is_id = |name: &str| id_field.is_some_and(|(id_name, _)| id_name == name);
    if fields.is_empty() {
        for (name, value) in row.iter().filter(|(name, _)| !is_id(name)) {
            document.raw(name, value.get());
        }
    }
    for name in fields.iter().filter(|name| !is_id(name)) {
        let value = row.get(name).ok_or_else(|| {
            Failure::permanent(
                "missing_field",
                format!("the row has no field `{name}`, which `fields` names"),
            )
        })?;
        document.raw(name, value.get());
    }
    Ok(one_line(&document.finish()))
}

/// A line break can only stand between JSON's tokens; `_bulk` takes one line a document.
fn one_line(json: &str) -> String {
    json.replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: &str = "{\n\"id\": 7, \"total\": 0.10000000000000000001, \"note\": \"a\\nb\"\r\n}";

    #[test]
    fn a_row_keeps_its_bytes_in_one_line() {
        let whole = of(ROW, &[], None).expect("a document");
        assert_eq!(whole, "{ \"id\": 7, \"total\": 0.10000000000000000001, \"note\": \"a\\nb\"  }");
    }

    #[test]
    fn fields_are_selected_and_the_id_is_put_in() {
        let fields = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let of = |names: &[&str], id| of(ROW, &fields(names), id);
        assert_eq!(of(&["total"], None).expect("a document"), r#"{"total":0.10000000000000000001}"#);
        assert_eq!(
            of(&["total", "id"], Some(("id", "o7"))).expect("one"),
            r#"{"id":"o7","total":0.10000000000000000001}"#
        );
        assert_eq!(
            of(&[], Some(("id", "o7"))).expect("a document"),
            r#"{"id":"o7","note":"a\nb","total":0.10000000000000000001}"#
        );
        let failure = of(&["totla"], None).expect_err("no such field");
        assert!(
            matches!(failure, Failure::Permanent(ref why) if why.message.contains("`totla`")),
            "{failure:?}"
        );
    }
}
