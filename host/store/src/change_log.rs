//! Change logs: tables to which the application itself writes a row for each change it makes.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// What a row of a change log says; each is a column of it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeLogField {
    /// The entity type, e.g. `Order`.
    ObjectType,
    /// The entity's id, of any type.
    ObjectId,
    /// The kind of event: `INSERT`, `UPDATE`, `DELETE`, `created`, .., in any case.
    ModificationType,
    /// The row after the change, as JSON; or both images in Debezium's envelope, if there is no `before`.
    ObjectData,
    /// The row before the change, as JSON.
    Before,
    /// The tenant.
    Tenant,
    /// Who made the change.
    Actor,
    /// When.
    CreatedAt,
}

impl ChangeLogField {
    /// All fields, in the order in which triggers take their columns.
    pub const ALL: [Self; 8] = [
        Self::ObjectType,
        Self::ObjectId,
        Self::ModificationType,
        Self::ObjectData,
        Self::Before,
        Self::Tenant,
        Self::Actor,
        Self::CreatedAt,
    ];

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ObjectType => "object_type",
            Self::ObjectId => "object_id",
            Self::ModificationType => "modification_type",
            Self::ObjectData => "object_data",
            Self::Before => "before",
            Self::Tenant => "tenant",
            Self::Actor => "actor",
            Self::CreatedAt => "created_at",
        }
    }

    /// The columns it is looked for in, unless one is named: the first that the table has.
    #[must_use]
    pub const fn usual_columns(self) -> &'static [&'static str] {
        match self {
            Self::ObjectType => &["object_type"],
            Self::ObjectId => &["object_id"],
            Self::ModificationType => &["modification_type"],
            Self::ObjectData => &["object_data"],
            Self::Before => &["object_data_before"],
            Self::Tenant => &["tenant_id", "fk_customer_org"],
            Self::Actor => &["actor", "fk_contact"],
            Self::CreatedAt => &["created_at"],
        }
    }

    /// Whether a change log must have it.
    #[must_use]
    pub const fn is_required(self) -> bool {
        matches!(self, Self::ObjectType | Self::ObjectId | Self::ModificationType | Self::ObjectData)
    }
}

impl fmt::Display for ChangeLogField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A text that names no field of a change log.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a change log has no field `{0}`; there are {all}", all = ChangeLogField::ALL.map(ChangeLogField::as_str).join(", "))]
pub struct UnknownField(pub String);

impl FromStr for ChangeLogField {
    type Err = UnknownField;

    fn from_str(text: &str) -> Result<Self, UnknownField> {
        Self::ALL
            .into_iter()
            .find(|field| field.as_str() == text)
            .ok_or_else(|| UnknownField(text.to_owned()))
    }
}
