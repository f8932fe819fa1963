//! One row of an earlier system as an observer.
//!
//! What it means there is kept: who was watched, when, in which order, with which patience. What has another meaning here, or
//! none, is a remark; nothing is left out without one.

use std::{collections::HashSet, fmt::Write as _};

use aftercommit_store::EarlierObserver;
use serde_json::{Map, Value};

use super::toml_text;

/// Columns that say nothing to a host.
const RECORDS: [&str; 6] = ["pk_observer", "id", "created_at", "created_by", "updated_at", "updated_by"];

/// What both systems call the kinds of events.
const KINDS: [(&str, &str); 4] =
    [("INSERT", "created"), ("UPDATE", "updated"), ("DELETE", "deleted"), ("CUSTOM", "custom")];

/// The highest priority, which the earlier system called 0.
const HIGHEST: i64 = 1000;

/// What a person should know of an observer.
#[derive(Debug)]
pub(super) struct Remark {
    pub(super) words: String,
    /// The value that it is about, as it stood in the table: for the file only, since it may hold a secret.
    pub(super) value: Option<String>,
}

impl Remark {
    pub(super) fn new(words: impl Into<String>) -> Self {
        Self { words: words.into(), value: None }
    }

    fn of(value: impl Into<String>, words: impl Into<String>) -> Self {
        Self { value: Some(value.into()), ..Self::new(words) }
    }

    /// The words, with the value.
    pub(super) fn whole(&self) -> String {
        match &self.value {
            Some(value) => format!("{}: {value}", self.words),
            None => self.words.clone(),
        }
    }
}

/// An observer on its way into a file.
pub(super) struct Conversion {
    /// Its name in the file.
    pub(super) name: String,
    /// Its name before.
    pub(super) earlier_name: String,
    /// Its description.
    pub(super) description: Option<String>,
    /// What has another meaning here, or none.
    pub(super) remarks: Vec<Remark>,
    /// Why it can not be an observer as it is.
    pub(super) obstacles: Vec<Remark>,
    /// Its TOML, without comments.
    pub(super) text: String,
}

/// Whether the earlier system had deleted it, and kept the row.
pub(super) fn is_deleted(row: &EarlierObserver) -> bool {
    row.contains_key("deleted_at")
}

/// Converts one row. `names` has those that are taken in the file; `is_ranked`: whether priorities differ at all.
pub(super) fn convert(row: &EarlierObserver, names: &mut HashSet<String>, is_ranked: bool) -> Conversion {
    let mut writer =
        Writer { row: row.clone(), remarks: Vec::new(), obstacles: Vec::new(), text: String::new() };
    for column in RECORDS {
        writer.row.remove(column);
    }
    let earlier_name = writer.row.remove("name").unwrap_or_default();
    let name = free_name(&earlier_name, names);
    if name != earlier_name {
        writer.remarks.push(Remark::of(earlier_name.as_str(), "it had another name"));
    }
    let description = writer.row.remove("description");
    writer.text.push_str("[[observers]]\n");
    writer.line("name", &Value::from(name.as_str()));
    writer.what_it_watches();
    writer.condition();
    writer.priority(is_ranked);
    writer.enabled();
    writer.on_failure();
    writer.retry();
    writer.actions();
    for (column, value) in std::mem::take(&mut writer.row) {
        writer.remarks.push(Remark::of(value, format!("its column `{column}` has no meaning here")));
    }
    let Writer { remarks, obstacles, text, .. } = writer;
    Conversion { name, earlier_name, description, remarks, obstacles, text }
}

/// A name that files may have: other characters become `-`, and what is taken gets a number.
fn free_name(earlier: &str, names: &mut HashSet<String>) -> String {
    let kept = |letter: char| letter.is_alphanumeric() || "-_.".contains(letter);
    let replaced: String =
        earlier.chars().take(150).map(|letter| if kept(letter) { letter } else { '-' }).collect();
    let name = match replaced.trim_matches('-') {
        "" => "unnamed",
        name => name,
    };
    let numbered = (2..).map(|number| format!("{name}-{number}"));
    let free = std::iter::once(name.to_owned()).chain(numbered).find(|name| !names.contains(name));
    let free = free.unwrap_or_default();
    names.insert(free.clone());
    free
}

struct Writer {
    /// The columns that have not been looked at.
    row: EarlierObserver,
    remarks: Vec<Remark>,
    obstacles: Vec<Remark>,
    text: String,
}

impl Writer {
    fn line(&mut self, name: &str, value: &Value) {
        match toml_text::value(value) {
            Ok(written) => {
                let _ = writeln!(self.text, "{} = {written}", toml_text::key(name));
            }
            Err(why) => self
                .obstacles
                .push(Remark::of(value.to_string(), format!("`{name}` can not be written, {why}"))),
        }
    }

    fn what_it_watches(&mut self) {
        if let Some(entity_type) = self.row.remove("entity_type") {
            self.line("entity_type", &entity_type.into());
        }
        let earlier = self.row.remove("event_type").unwrap_or_else(|| {
            self.remarks.push(Remark::new(
                "its event_type was null: the earlier system ran it for INSERT only; for all kinds of events take `event_kind` out",
            ));
            "INSERT".to_owned()
        });
        let known = KINDS.iter().find(|(name, _)| earlier.eq_ignore_ascii_case(name));
        self.line("event_kind", &known.map_or(earlier.as_str(), |(_, kind)| kind).into());
    }

    /// The observer of one customer's organization stays one: whoever else's events it ran for would be a surprise.
    fn condition(&mut self) {
        let condition = self.row.remove("condition_expression").filter(|text| !text.trim().is_empty());
        let condition = match (self.row.remove("fk_customer_org"), condition) {
            (None, None) => return,
            (None, Some(condition)) => condition,
            (Some(tenant), condition) => {
                self.remarks.push(Remark::new(format!(
                    "it was for the organization {tenant} only (fk_customer_org), which is its condition now: it runs for events whose \
                     tenant_id is that"
                )));
                let of_tenant = format!("EVENT.tenant_id = '{}'", tenant.replace('\'', "''"));
                condition
                    .map_or_else(|| of_tenant.clone(), |condition| format!("{of_tenant} AND ({condition})"))
            }
        };
        self.line("condition", &condition.into());
    }

    fn priority(&mut self, is_ranked: bool) {
        let Some(priority) = self.row.remove("priority").filter(|_| is_ranked) else { return };
        match priority.parse::<i64>() {
            Ok(number) if (0..=HIGHEST).contains(&number) => {
                self.line("priority", &(HIGHEST - number).into());
            }
            _ => self.remarks.push(Remark::of(priority, format!("its priority is none of 0 to {HIGHEST}"))),
        }
    }

    fn enabled(&mut self) {
        match self.row.remove("enabled").as_deref() {
            None | Some("t" | "true") => {}
            Some("f" | "false") => self.line("enabled", &false.into()),
            Some(other) => self.obstacles.push(Remark::of(other, "`enabled` is neither true nor false")),
        }
    }

    fn on_failure(&mut self) {
        if let Some(policy) = self.row.remove("on_failure") {
            self.line("on_failure", &policy.to_lowercase().into());
        }
    }

    fn retry(&mut self) {
        let Some(text) = self.row.remove("retry_config") else { return };
        let Ok(mut config) = serde_json::from_str::<Map<String, Value>>(&text) else {
            self.remarks.push(Remark::of(text, "its retry_config is no object, so that the defaults hold"));
            return;
        };
        let strategy = config.remove("backoff_strategy").or_else(|| config.remove("backoff"));
        let mut lines = Vec::new();
        for name in ["max_attempts", "initial_delay_ms", "max_delay_ms"] {
            lines.extend(config.remove(name).filter(|value| !value.is_null()).map(|value| (name, value)));
        }
        let lower = |value: Value| value.as_str().map_or(value.clone(), |word| word.to_lowercase().into());
        lines.extend(
            strategy.filter(|value| !value.is_null()).map(|value| ("backoff_strategy", lower(value))),
        );
        if !lines.is_empty() {
            self.text.push_str("[observers.retry]\n");
        }
        for (name, value) in lines {
            self.line(name, &value);
        }
        for (name, value) in config {
            self.remarks.push(Remark::of(
                value.to_string(),
                format!("`{name}` of its retry_config has no meaning here"),
            ));
        }
    }

    fn actions(&mut self) {
        let timeout_ms = self
            .row
            .remove("timeout_ms")
            .map(|text| serde_json::from_str(&text).unwrap_or(Value::from(text)));
        let text = self.row.remove("actions").unwrap_or_default();
        let Ok(actions) = serde_json::from_str::<Vec<Map<String, Value>>>(&text) else {
            self.obstacles.push(Remark::of(text, "its actions are no list of objects"));
            return;
        };
        if actions.is_empty() {
            self.obstacles.push(Remark::new("it has no actions"));
        }
        for mut action in actions {
            if let Some(timeout_ms) = &timeout_ms {
                action.entry("timeout_ms").or_insert_with(|| timeout_ms.clone());
            }
            self.text.push_str("[[observers.actions]]\n");
            // A field that is null is one that was not given.
            for (name, value) in action.into_iter().filter(|(_, value)| !value.is_null()) {
                self.line(&name, &value);
            }
        }
    }
}
