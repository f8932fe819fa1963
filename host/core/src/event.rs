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

/// Bits of an id that hold a captured change's number, and its part of that change.
const SEQ_BITS: u32 = 42;
const PART_BITS: u32 = 20;

/// The id of an event that is told by its place: a UUID of version 7 (RFC 9562, section 5.7) with the milliseconds, the
/// microseconds within one in `rand_a`, and in `rand_b` the low bits of the inbox row's number and of the part.
#[must_use]
pub fn captured_id(occurred_at: Timestamp, seq: i64, part: i32) -> Uuid {
    let millis = u128::from(occurred_at.as_millis().cast_unsigned() & 0xffff_ffff_ffff);
    let micros = u128::from(occurred_at.as_micros().rem_euclid(1000).cast_unsigned());
    let seq = u128::from(seq.cast_unsigned() & ((1 << SEQ_BITS) - 1));
    let part = u128::from(part.cast_unsigned() & ((1 << PART_BITS) - 1));
    Uuid::from_u128(millis << 80 | 7 << 76 | micros << 64 | 0b10 << 62 | seq << PART_BITS | part)
}

/// What [`captured_id`] made an id of: the time, the low bits of the number, and the part; `None` for an id that it does not make.
#[must_use]
pub fn captured_place(id: Uuid) -> Option<(Timestamp, i64, i32)> {
    let bits = id.as_u128();
    let field = |shift: u32, width: u32| i64::try_from((bits >> shift) & ((1 << width) - 1)).ok();
    let micros = field(64, 12).filter(|micros| *micros < 1000)?;
    if field(76, 4)? != 7 || field(62, 2)? != 0b10 {
        return None;
    }
    let occurred_at = Timestamp::from_micros(field(80, 48)?.checked_mul(1000)? + micros);
    Some((occurred_at, field(PART_BITS, SEQ_BITS)?, i32::try_from(field(0, PART_BITS)?).ok()?))
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
    fn an_id_tells_the_place_that_it_was_made_of() {
        let at = Timestamp::from_micros(1_767_225_600_123_456);
        let seq = (1 << 50) + 77;
        let id = captured_id(at, seq, 1);
        assert_eq!((id.get_version_num(), id.get_variant()), (7, uuid::Variant::RFC4122));
        assert_eq!(captured_place(id), Some((at, seq & ((1 << 42) - 1), 1)));
        assert!(id < captured_id(Timestamp::from_micros(at.as_micros() + 1), 0, 0), "ids order as times do");
        assert_eq!(captured_place(Uuid::from_u128(5)), None);
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
