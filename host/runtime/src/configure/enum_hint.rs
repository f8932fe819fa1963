//! The words of which a field takes one, as its schema lists them: for telling what to write instead.

use aftercommit_core::nearest;
use serde_json::Value;

use crate::configure::problem::ConfigProblem;

/// The words that a schema allows, if it allows nothing else; `null` is how schemas say that a field may be left out.
fn choices(schema: &Value) -> Option<Vec<&str>> {
    if let Some(values) = schema.get("enum").and_then(Value::as_array) {
        return values.iter().filter(|value| !value.is_null()).map(Value::as_str).collect();
    }
    if let Some(value) = schema.get("const") {
        return Some(vec![value.as_str()?]);
    }
    if let Some(branches) = ["oneOf", "anyOf"].iter().find_map(|name| schema.get(name)?.as_array()) {
        let each: Option<Vec<Vec<&str>>> = branches.iter().map(choices).collect();
        return each.map(|each| each.concat());
    }
    (schema.get("type")? == "null").then(Vec::new)
}

/// What is wrong with a value that is none of the words that the schema of its field lists; nothing if it lists none.
pub(crate) fn problem(pointer: &str, schema: &Value, value: &Value) -> Option<ConfigProblem> {
    let words = choices(schema).filter(|words| !words.is_empty())?;
    let listed: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
    let problem = ConfigProblem::new(pointer, format!("must be one of {}", listed.join(", ")));
    // Only the known word is told: somebody may have written a secret there.
    Some(match value.as_str().and_then(|written| nearest(written, words.iter().copied())) {
        Some(near) => problem.help(format!("did you mean \"{near}\"?")),
        None => problem,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn words_are_found_however_the_schema_lists_them() {
        for schema in [
            json!({"enum": ["twilio", "vonage"]}),
            json!({"enum": ["twilio", "vonage", null]}),
            json!({"oneOf": [{"const": "twilio", "description": "One."}, {"enum": ["vonage"]}]}),
            json!({"anyOf": [{"oneOf": [{"const": "twilio"}, {"const": "vonage"}]}, {"type": "null"}]}),
        ] {
            let told = problem("/provider", &schema, &json!("twillio")).unwrap().to_string();
            assert_eq!(
                told, "/provider: must be one of \"twilio\", \"vonage\" (did you mean \"twilio\"?)",
                "{schema}"
            );
        }
        let told = problem("", &json!({"enum": ["false", "true"]}), &json!(true)).unwrap();
        assert_eq!(told.to_string(), "must be one of \"false\", \"true\"");
    }

    #[test]
    fn a_field_that_takes_more_than_words_has_no_list() {
        for schema in [
            json!({"oneOf": [{"const": "all"}, {"type": "integer"}]}),
            json!({"enum": ["a", 1]}),
            json!({"type": "null"}),
            json!({"maximum": 3}),
        ] {
            assert_eq!(problem("", &schema, &json!("x")), None, "{schema}");
        }
    }
}
