//! How large a schema is once each of its references stands for what it names. A plugin writes the schema, and the host
//! reads it: a few lines of references to references are more work than a host can do, or a deeper recursion than it has
//! stack for.

use std::collections::HashMap;

use serde_json::{Map, Value};

/// Keywords and values, references replaced.
const MAX_SIZE: usize = 20_000;
/// Levels, references replaced.
const MAX_HEIGHT: usize = 64;
/// Regular expressions; each may take as much memory as [`PATTERN_BYTES`].
const MAX_PATTERNS: usize = 100;
/// A compiled regular expression.
pub(crate) const PATTERN_BYTES: usize = 256 << 10;

/// Keywords whose values are data, in which nothing is a reference.
const DATA: [&str; 4] = ["const", "default", "enum", "examples"];
/// Keywords whose values are schemas by name: a name is never a keyword.
const BY_NAME: [&str; 5] = ["$defs", "definitions", "dependentSchemas", "patternProperties", "properties"];
/// Keywords that change what references mean, or mean another schema at another time.
const REFUSED: [&str; 4] = ["$id", "$dynamicRef", "$recursiveRef", "$vocabulary"];

/// Checks a schema; the error continues "its configuration schema ..".
pub(crate) fn check(document: &Value) -> Result<(), String> {
    let mut measuring = Measuring { document, known: HashMap::new(), patterns: 0 };
    measuring.schema(document, 0)?;
    if measuring.patterns > MAX_PATTERNS {
        return Err(format!("has {} patterns; at most {MAX_PATTERNS} are compiled", measuring.patterns));
    }
    Ok(())
}

/// Size and height of a part.
#[derive(Clone, Copy, Default)]
struct Extent {
    size: usize,
    height: usize,
}

struct Measuring<'d> {
    document: &'d Value,
    /// By reference; none while it is measured.
    known: HashMap<&'d str, Option<Extent>>,
    patterns: usize,
}

impl<'d> Measuring<'d> {
    fn schema(&mut self, schema: &'d Value, level: usize) -> Result<Extent, String> {
        // On the way down, because this recurses too.
        if level > MAX_HEIGHT {
            return Err(too_deep());
        }
        match schema {
            Value::Object(keywords) => self.keywords(keywords, level),
            Value::Array(items) => {
                let mut extent = Extent::default();
                for item in items {
                    extent = joined(extent, self.schema(item, level + 1)?, level)?;
                }
                Ok(extent)
            }
            _ => Ok(Extent { size: 1, height: 0 }),
        }
    }

    fn keywords(&mut self, keywords: &'d Map<String, Value>, level: usize) -> Result<Extent, String> {
        let mut extent = Extent { size: 1, height: 0 };
        for (keyword, value) in keywords {
            if REFUSED.contains(&keyword.as_str()) {
                return Err(format!("has `{keyword}`, which this host does not follow"));
            }
            let inner = match (keyword.as_str(), value) {
                ("$ref", Value::String(target)) => self.reference(target, level + 1)?,
                ("pattern", Value::String(_)) => {
                    self.patterns += 1;
                    Extent { size: 1, height: 0 }
                }
                (name, Value::Object(schemas)) if BY_NAME.contains(&name) => {
                    self.patterns += if name == "patternProperties" { schemas.len() } else { 0 };
                    let mut all = Extent::default();
                    for schema in schemas.values() {
                        all = joined(all, self.schema(schema, level + 1)?, level)?;
                    }
                    all
                }
                (name, data) if DATA.contains(&name) => Extent { size: count(data), height: 0 },
                (_, other) => self.schema(other, level + 1)?,
            };
            extent = joined(extent, inner, level)?;
        }
        Ok(extent)
    }

    fn reference(&mut self, target: &'d str, level: usize) -> Result<Extent, String> {
        match self.known.get(target) {
            Some(Some(known)) => return joined(Extent::default(), *known, level),
            Some(None) => return Err(format!("refers to itself at `{target}`")),
            None => {}
        }
        let place = target.strip_prefix('#').filter(|pointer| !pointer.contains('%'));
        let schema = place.and_then(|pointer| self.document.pointer(pointer)).ok_or_else(|| {
            format!("refers to `{target}`, which is not in it (a reference is written as `#/$defs/NAME`)")
        })?;
        self.known.insert(target, None);
        let extent = self.schema(schema, level)?;
        self.known.insert(target, Some(extent));
        Ok(extent)
    }
}

/// The whole with one more part, which begins below `level`.
fn joined(whole: Extent, part: Extent, level: usize) -> Result<Extent, String> {
    let size = whole.size.saturating_add(part.size);
    let height = whole.height.max(part.height + 1);
    if size > MAX_SIZE {
        return Err(format!(
            "has more than {MAX_SIZE} keywords and values, each reference replaced by what it names"
        ));
    }
    if level + height > MAX_HEIGHT {
        return Err(too_deep());
    }
    Ok(Extent { size, height })
}

fn too_deep() -> String {
    format!("is nested deeper than {MAX_HEIGHT}, each reference replaced by what it names")
}

fn count(data: &Value) -> usize {
    match data {
        Value::Object(fields) => 1 + fields.values().map(count).sum::<usize>(),
        Value::Array(items) => 1 + items.iter().map(count).sum::<usize>(),
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// `aN` refers to `aN+1` so many times; the last is a text.
    fn references(levels: usize, each: usize) -> Value {
        let mut defs = Map::new();
        for level in 0..levels {
            let next = json!({"$ref": format!("#/$defs/a{}", level + 1)});
            defs.insert(format!("a{level}"), json!({"allOf": vec![next; each]}));
        }
        defs.insert(format!("a{levels}"), json!({"type": "string"}));
        json!({"type": "object", "$defs": defs, "properties": {"a": {"$ref": "#/$defs/a0"}}})
    }

    #[test]
    fn references_are_counted_by_what_they_stand_for() {
        assert_eq!(check(&references(5, 2)), Ok(()));
        assert!(check(&references(15, 2)).unwrap_err().contains("20000 keywords"));
        assert!(check(&references(8, 9)).unwrap_err().contains("20000 keywords"));
        assert!(check(&references(3000, 1)).unwrap_err().contains("nested deeper"));
    }

    #[test]
    fn what_can_not_be_measured_is_refused() {
        for (schema, told) in [
            (json!({"properties": {"a": {"$ref": "#"}}}), "refers to itself"),
            (json!({"$defs": {"a": {"items": {"$ref": "#/$defs/a"}}}}), "refers to itself"),
            (json!({"$ref": "#/$defs/absent"}), "not in it"),
            (json!({"$ref": "https://json-schema.org/draft/2020-12/schema"}), "not in it"),
            (json!({"$defs": {"a%31": {}, "a1": {}}, "$ref": "#/$defs/a%31"}), "not in it"),
            (json!({"$ref": "#anchor", "$anchor": "anchor"}), "not in it"),
            (json!({"properties": {"default": {"$ref": "#"}}}), "refers to itself"),
            (json!({"items": {"$id": "https://example.com/other", "$ref": "#"}}), "`$id`"),
            (json!({"$dynamicRef": "#x"}), "`$dynamicRef`"),
            (
                json!({"items": [{"patternProperties": {"a": {"pattern": "x"}}}, {"$ref": "#/items"}]}),
                "itself",
            ),
        ] {
            let error = check(&schema).unwrap_err();
            assert!(error.contains(told), "{schema}: {error}");
        }
        let patterns: Map<String, Value> =
            (0..101).map(|number| (format!("p{number}"), json!({"pattern": "x"}))).collect();
        assert!(check(&json!({"properties": patterns})).unwrap_err().contains("101 patterns"));
    }

    #[test]
    fn data_and_names_are_no_references() {
        assert_eq!(check(&json!({"default": {"$ref": "#"}, "enum": [{"$ref": "#"}]})), Ok(()));
        assert_eq!(
            check(&json!({"properties": {"$ref": {"type": "string"}, "$id": {"type": "string"}}})),
            Ok(())
        );
    }
}
