//! What observers ask for and no captured table has: entity types, and fields of conditions and templates. A hint and no error, because events
//! come from elsewhere too, and tables get columns later.

use std::collections::BTreeSet;

use aftercommit_condition::Condition;
use aftercommit_core::{ActionConfig, ObserverDefinition, nearest};
use aftercommit_store::Capture;
use serde_json::Value;

/// The entity type of all, and of change logs.
const EVERY_TYPE: &str = "*";

/// What templates know beside the row.
const EVENT_NAMES: [&str; 12] = [
    "event_id",
    "entity_type",
    "entity_id",
    "event_kind",
    "occurred_at",
    "old",
    "new",
    "changed",
    "data",
    "event",
    "this",
    "else",
];

/// One sentence for each thing that is nowhere captured. Nothing where no table is captured, or change logs are, which have any type.
#[must_use]
pub fn warnings(observers: &[ObserverDefinition], captures: &[Capture]) -> Vec<String> {
    if captures.is_empty() || captures.iter().any(|capture| capture.change_log.is_some()) {
        return Vec::new();
    }
    let types: BTreeSet<&str> = captures.iter().map(|capture| capture.entity_type.as_str()).collect();
    let mut warnings = Vec::new();
    for observer in observers {
        let wanted = observer.entity_type.as_str();
        if wanted != EVERY_TYPE && !types.contains(wanted) {
            let hint = hint(wanted, &types);
            warnings.push(format!(
                "observer `{}`: no captured table has the entity type `{wanted}`{hint}",
                observer.name
            ));
            continue;
        }
        let columns: BTreeSet<&str> = captures
            .iter()
            .filter(|capture| wanted == EVERY_TYPE || capture.entity_type == wanted)
            .flat_map(|capture| capture.columns.iter().map(String::as_str))
            .collect();
        for (place, field) in fields(observer) {
            if !columns.contains(field.as_str()) {
                let of = if wanted == EVERY_TYPE {
                    "no captured table".to_owned()
                } else {
                    format!("no table of `{wanted}`")
                };
                let hint = hint(&field, &columns);
                warnings.push(format!(
                    "observer `{}`: {place} reads `{field}`, and {of} has that column{hint}",
                    observer.name
                ));
            }
        }
    }
    warnings
}

fn hint(written: &str, known: &BTreeSet<&str>) -> String {
    match nearest(written, known.iter().copied()) {
        Some(near) => format!("; did you mean `{near}`?"),
        None => format!("; there are {}", known.iter().copied().collect::<Vec<_>>().join(", ")),
    }
}

/// The fields of the row that an observer reads, each with where.
fn fields(observer: &ObserverDefinition) -> BTreeSet<(&'static str, String)> {
    let mut fields = BTreeSet::new();
    if let Some(condition) = observer.condition.as_deref().and_then(|text| Condition::parse(text).ok()) {
        fields.extend(condition.fields().into_iter().map(|field| ("its condition", field.to_owned())));
    }
    for action in &observer.actions {
        fields.extend(of_action(action).into_iter().map(|field| ("a template", field)));
    }
    fields
}

fn of_action(action: &ActionConfig) -> BTreeSet<String> {
    let mut fields = BTreeSet::new();
    for value in action.config.values() {
        walk(value, &mut fields);
    }
    fields
}

fn walk(value: &Value, fields: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => fields.extend(of_template(text).into_iter().map(str::to_owned)),
        Value::Array(items) => items.iter().for_each(|item| walk(item, fields)),
        Value::Object(map) => map.values().for_each(|value| walk(value, fields)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The fields that a template writes as they are. Those within blocks belong to something else, or may be missing.
fn of_template(text: &str) -> BTreeSet<&str> {
    let mut fields = BTreeSet::new();
    let mut depth = 0_usize;
    for part in text.split("{{").skip(1) {
        let Some((tag, _)) = part.split_once("}}") else { break };
        let tag = tag.trim_matches(|letter: char| "{}~&".contains(letter) || letter.is_whitespace());
        match tag.chars().next() {
            Some('#' | '^') => depth += 1,
            Some('/') => depth = depth.saturating_sub(1),
            Some(first) if depth == 0 && (first.is_alphabetic() || first == '_') => {
                let is_path = tag.chars().all(|letter| letter.is_alphanumeric() || "_.$".contains(letter));
                let root = tag.split('.').next().unwrap_or(tag);
                if is_path && !EVENT_NAMES.contains(&root) {
                    fields.insert(root);
                }
            }
            _ => {}
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use aftercommit_core::Timestamp;
    use aftercommit_store::Selection;
    use serde_json::json;

    use super::*;

    fn capture(table: &str, entity_type: &str, columns: &[&str]) -> Capture {
        Capture {
            table: table.to_owned(),
            entity_type: entity_type.to_owned(),
            key: vec!["id".to_owned()],
            columns: columns.iter().map(|column| (*column).to_owned()).collect(),
            selection: Selection::All,
            condition: None,
            change_log: None,
            notify: true,
            created_at: Timestamp::from_micros(0),
        }
    }

    fn observer(entity_type: &str, condition: Option<&str>, url: &str) -> ObserverDefinition {
        let mut action = ActionConfig::new("webhook");
        action.config.insert("url".to_owned(), json!(url));
        ObserverDefinition {
            entity_type: entity_type.to_owned(),
            condition: condition.map(str::to_owned),
            actions: vec![action],
            ..ObserverDefinition::new("o")
        }
    }

    #[test]
    fn what_is_nowhere_captured_is_named_with_the_nearest() {
        let captures = [
            capture("orders", "Order", &["id", "total", "status"]),
            capture("users", "User", &["id", "email"]),
        ];
        let told = |observer| warnings(&[observer], &captures);
        assert_eq!(
            told(observer("Ordr", None, "x")),
            ["observer `o`: no captured table has the entity type `Ordr`; did you mean `Order`?"]
        );
        assert_eq!(
            told(observer(
                "Order",
                Some("totl > 1 AND status = 'x'"),
                "https://h/{{id}}/{{emial}}?k={{entity_id}}"
            )),
            [
                "observer `o`: a template reads `emial`, and no table of `Order` has that column; there are id, status, total",
                "observer `o`: its condition reads `totl`, and no table of `Order` has that column; did you mean `total`?",
            ]
        );
        assert!(
            told(observer("*", Some("email = 'x'"), "{{total}} {{#each items}}{{sku}}{{/each}} {{len x}}"))
                .is_empty()
        );
        assert!(warnings(&[observer("Ordr", None, "x")], &[]).is_empty(), "events may come from elsewhere");
    }
}
