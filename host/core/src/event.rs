//! An event: one committed row change, or one emitted by hand.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use serde_json::Value;
use uuid::Uuid;

use crate::{number, time::Timestamp};

/// What happened to the row.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum EventKind {
    /// A row was inserted.
    Created,
    /// A row was updated and kept its key.
    Updated,
    /// A row was deleted.
    Deleted,
    /// Emitted by hand.
    Custom,
}

impl EventKind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Created, Self::Updated, Self::Deleted, Self::Custom];

    /// The name used everywhere: `created`, `updated`, `deleted`, `custom`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Deleted => "deleted",
            Self::Custom => "custom",
        }
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A text that is no kind of event.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "`{0}` is not a kind of event; write created, updated, deleted or custom (or INSERT, UPDATE, DELETE)"
)]
pub struct UnknownKind(pub String);

impl FromStr for EventKind {
    type Err = UnknownKind;

    /// Reads the names and SQL's verbs, in any case.
    fn from_str(text: &str) -> Result<Self, UnknownKind> {
        match text.to_ascii_lowercase().as_str() {
            "created" | "insert" => Ok(Self::Created),
            "updated" | "update" => Ok(Self::Updated),
            "deleted" | "delete" => Ok(Self::Deleted),
            "custom" => Ok(Self::Custom),
            _ => Err(UnknownKind(text.to_owned())),
        }
    }
}

impl Serialize for EventKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for EventKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// One committed row change, or one emitted by hand. Its JSON form is the one of the documentation, of
/// `aftercommit events show` and of the default webhook body.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[non_exhaustive]
pub struct EntityEvent {
    /// Stable for the life of the event.
    pub id: Uuid,
    /// For example `Order`.
    pub entity_type: String,
    /// The key as text; the parts of a composite key are joined by `:`.
    pub entity_id: String,
    /// What happened.
    pub event_kind: EventKind,
    /// When, as the database saw it.
    pub occurred_at: Timestamp,
    /// The row after the change; for `deleted`, the row before it.
    pub data: Value,
    /// The row before an update.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old: Option<Value>,
    /// Names of the fields whose value differs between `old` and `data`.
    pub changed: Vec<String>,
    /// The tenant, if the source knows one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<String>,
    /// Who made the change, if the source knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// W3C Trace Context, if the change was part of a trace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
}

impl EntityEvent {
    /// An event with a fresh id, happening now by the machine's clock.
    ///
    /// ```
    /// use aftercommit_core::{EntityEvent, EventKind};
    /// let event = EntityEvent::new(EventKind::Created, "Order", 7, serde_json::json!({"total": 150}));
    /// assert_eq!(event.entity_id, "7");
    /// ```
    #[must_use]
    pub fn new(
        event_kind: EventKind,
        entity_type: impl Into<String>,
        entity_id: impl fmt::Display,
        data: Value,
    ) -> Self {
        use crate::time::{Clock as _, SystemClock};
        Self::at(Uuid::now_v7(), SystemClock.now(), event_kind, entity_type, entity_id, data)
    }

    /// An event whose id and time are known.
    #[must_use]
    pub fn at(
        id: Uuid,
        occurred_at: Timestamp,
        event_kind: EventKind,
        entity_type: impl Into<String>,
        entity_id: impl fmt::Display,
        data: Value,
    ) -> Self {
        Self {
            id,
            entity_type: entity_type.into(),
            entity_id: entity_id.to_string(),
            event_kind,
            occurred_at,
            data,
            old: None,
            changed: Vec::new(),
            tenant_id: None,
            actor: None,
            traceparent: None,
        }
    }

    /// The same event with the row before the update; works out `changed`.
    #[must_use]
    pub fn with_old(mut self, old: Value) -> Self {
        self.changed = changed_fields(&old, &self.data);
        self.old = Some(old);
        self
    }
}

/// The part of an event's id that is its number in the inbox.
const NUMBER_BITS: u32 = 62;

/// The id of a captured event, from its time and its number in the inbox: a UUID of version 7 (RFC 9562, section 5.7). Its first 48
/// bits are milliseconds, `rand_a` the microseconds within, `rand_b` the lower 62 bits of the number. It needs no random
/// number, is the same whenever it is worked out, and says where the event is.
///
/// ```
/// use aftercommit_core::{Timestamp, event::{captured_id, captured_place}};
/// let id = captured_id(Timestamp::from_micros(1_767_225_600_123_456), 7);
/// assert_eq!(id.to_string(), "019b76da-a87b-71c8-8000-000000000007");
/// assert_eq!(captured_place(id), Some((Timestamp::from_micros(1_767_225_600_123_456), 7)));
/// ```
#[must_use]
pub const fn captured_id(occurred_at: Timestamp, number: i64) -> Uuid {
    let micros = occurred_at.as_micros();
    let (millis, rest) =
        (micros.div_euclid(1000).cast_unsigned() & ((1 << 48) - 1), micros.rem_euclid(1000).cast_unsigned());
    let number = number.cast_unsigned() & ((1 << NUMBER_BITS) - 1);
    Uuid::from_u64_pair(millis << 16 | 7 << 12 | rest, 1 << 63 | number)
}

/// The time and the number that a captured event's id was made of. Of another UUID, `None` or a place where that event is not.
#[must_use]
pub const fn captured_place(id: Uuid) -> Option<(Timestamp, i64)> {
    let (high, low) = id.as_u64_pair();
    let rest = high & 0xfff;
    if high >> 12 & 0xf != 7 || low >> NUMBER_BITS != 2 || rest >= 1000 {
        return None;
    }
    let micros = (high >> 16) * 1000 + rest;
    let number = low & ((1 << NUMBER_BITS) - 1);
    Some((Timestamp::from_micros(micros.cast_signed()), number.cast_signed()))
}

impl<'de> Deserialize<'de> for EntityEvent {
    /// `id` and `occurred_at` are made when absent, `changed` is worked out when it is not given.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Written {
            id: Option<Uuid>,
            entity_type: String,
            #[serde(default)]
            entity_id: Value,
            event_kind: EventKind,
            occurred_at: Option<Timestamp>,
            data: Value,
            old: Option<Value>,
            changed: Option<Vec<String>>,
            tenant_id: Option<String>,
            actor: Option<String>,
            traceparent: Option<String>,
        }
        let written = Written::deserialize(deserializer)?;
        for (name, value) in [("data", Some(&written.data)), ("old", written.old.as_ref())] {
            if value.is_some_and(|value| !value.is_object()) {
                return Err(D::Error::custom(format!("`{name}` must be an object, the row")));
            }
        }
        let entity_id = match written.entity_id {
            Value::String(text) => text,
            Value::Number(number) => number.to_string(),
            Value::Null => String::new(),
            _ => return Err(D::Error::custom("`entity_id` must be text or a number")),
        };
        let mut event = Self::new(written.event_kind, written.entity_type, entity_id, written.data);
        if let Some(id) = written.id {
            event.id = id;
        }
        if let Some(at) = written.occurred_at {
            event.occurred_at = at;
        }
        if let Some(old) = written.old {
            event = event.with_old(old);
        }
        if let Some(changed) = written.changed {
            event.changed = changed;
        }
        event.tenant_id = written.tenant_id;
        event.actor = written.actor;
        event.traceparent = written.traceparent;
        Ok(event)
    }
}

/// Names of the top-level fields whose value differs between two images of a row, in order. A field that only one
/// image has differs, unless the other's value would be null. Numbers are compared as numbers: 100 is 100.00.
#[must_use]
pub fn changed_fields(old: &Value, new: &Value) -> Vec<String> {
    let (Value::Object(old), Value::Object(new)) = (old, new) else { return Vec::new() };
    let mut names: Vec<&String> = old
        .iter()
        .filter(|(name, value)| !number::same(value, new.get(*name).unwrap_or(&Value::Null)))
        .map(|(name, _)| name)
        .chain(
            new.iter()
                .filter(|(name, value)| !old.contains_key(*name) && !value.is_null())
                .map(|(name, _)| name),
        )
        .collect();
    names.sort_unstable();
    names.into_iter().cloned().collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn kinds_read_sql_verbs() {
        assert_eq!("UPDATE".parse(), Ok(EventKind::Updated));
        assert_eq!("Created".parse(), Ok(EventKind::Created));
        assert!("upsert".parse::<EventKind>().is_err());
    }

    #[test]
    fn changed_compares_numbers_as_numbers() {
        let old: Value = serde_json::from_str(r#"{"a":100,"b":1,"c":null,"gone":true}"#).unwrap();
        let new: Value = serde_json::from_str(r#"{"a":100.00,"b":2,"new":null}"#).unwrap();
        assert_eq!(changed_fields(&old, &new), ["b", "gone"]);
    }

    #[test]
    fn json_form_reads_back_and_keeps_digits() {
        let text = r#"{"entity_type":"Order","entity_id":7,"event_kind":"UPDATE","data":{"n":0.10000000000000000001},"old":{"n":1}}"#;
        let event: EntityEvent = serde_json::from_str(text).unwrap();
        assert_eq!(event.changed, ["n"]);
        let again: EntityEvent = serde_json::from_str(&serde_json::to_string(&event).unwrap()).unwrap();
        assert_eq!(again, event);
        assert_eq!(event.data["n"].to_string(), "0.10000000000000000001");
        assert_ne!(event.data, json!({"n": 0.1}));
    }

    #[test]
    fn a_row_that_is_no_object_is_refused() {
        let text = r#"{"entity_type":"Order","event_kind":"created","data":[1]}"#;
        assert!(
            serde_json::from_str::<EntityEvent>(text).unwrap_err().to_string().contains("must be an object")
        );
    }
}
