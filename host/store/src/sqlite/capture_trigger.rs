//! The triggers of a captured table.
//!
//! Each puts the event and its inbox row into the application's own transaction: they commit together or not at all.
//! `last_insert_rowid()` and `changes()` are the application's again when a trigger ends.

use super::row_json::{self, Column, identifier, literal};

/// The time now, with the milliseconds that every SQLite knows; `'now'` is the same throughout a statement.
const NOW: &str = "strftime('%Y-%m-%dT%H:%M:%f', 'now')";

/// The milliseconds of the same time.
const NOW_MS: &str = "CAST((julianday('now') - 2440587.5) * 86400000 + 0.5 AS INTEGER)";

/// A captured table, as far as its triggers need it.
pub(super) struct Captured<'a> {
    pub(super) table: &'a str,
    pub(super) entity_type: &'a str,
    pub(super) key: &'a [String],
    pub(super) columns: &'a [Column],
}

/// The triggers, (name, text) each.
pub(super) fn triggers(captured: &Captured<'_>) -> Vec<(String, String)> {
    let key = captured.key.iter().map(String::as_str);
    let all = captured.columns.iter().map(|column| column.name.as_str());
    let (rekeyed, changed) = (row_json::differs(key), row_json::differs(all));
    let created = captured.event("created", "NEW", None);
    let updated = captured.event("updated", "NEW", Some("OLD"));
    let deleted = captured.event("deleted", "OLD", None);
    vec![
        captured.trigger("insert", "INSERT", None, &[&created]),
        // An update that changes nothing is no event; one that changes the key is two.
        captured.trigger("update", "UPDATE", Some(format!("NOT ({rekeyed}) AND ({changed})")), &[&updated]),
        captured.trigger("rekey", "UPDATE", Some(rekeyed), &[&deleted, &created]),
        captured.trigger("delete", "DELETE", None, &[&deleted]),
    ]
}

impl Captured<'_> {
    fn trigger(&self, what: &str, verb: &str, when: Option<String>, events: &[&String]) -> (String, String) {
        let name = format!("aftercommit_{}_{what}", self.table);
        let when = when.map(|when| format!(" WHEN {when}")).unwrap_or_default();
        let mut body = String::new();
        for event in events {
            body.push_str(event);
            body.push_str(";\n  INSERT INTO observer_inbox (seq) VALUES (last_insert_rowid());\n  ");
        }
        let text = format!(
            "CREATE TRIGGER {} AFTER {verb} ON {}{when} BEGIN\n  {}\nEND",
            identifier(&name),
            identifier(self.table),
            body.trim_end()
        );
        (name, text)
    }

    /// The statement that writes one event.
    fn event(&self, kind: &str, data: &str, old: Option<&str>) -> String {
        format!(
            "INSERT INTO observer_events (id, entity_type, entity_id, event_kind, occurred_at, data, old)\n  \
             VALUES ({}, {}, {}, '{kind}', {},\n    {},\n    {})",
            uuid_v7(),
            literal(self.entity_type),
            row_json::key(data, self.key),
            occurred_at(),
            row_json::object(data, self.columns),
            old.map_or_else(|| "NULL".to_owned(), |old| row_json::object(old, self.columns)),
        )
    }
}

/// The time now with six digits, as all our times. The last three count the events of one millisecond, so that times
/// tell which of two changes of a row is newer; they stay at 999 from there.
fn occurred_at() -> String {
    format!(
        "{NOW} || printf('%03dZ', min(999, coalesce((SELECT substr(occurred_at, 24, 3) + 1 FROM observer_events \
         WHERE occurred_at BETWEEN {NOW} || '000Z' AND {NOW} || '999Z' ORDER BY occurred_at DESC LIMIT 1), 0)))"
    )
}

/// A UUID of version 7 (RFC 9562, section 5.7): 48 bits of milliseconds, 74 random bits, version and variant.
fn uuid_v7() -> String {
    format!(
        "printf('%08x-%04x-7%03x-%04x-%012x', {NOW_MS} >> 16, {NOW_MS} & 65535, random() & 4095, \
         32768 | (random() & 16383), random() & 281474976710655)"
    )
}
