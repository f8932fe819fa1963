//! The names of the functions that are generated for a table.

use uuid::Uuid;

use super::capture_table::Relation;

/// What is done to a row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verb {
    Insert,
    Update,
    Delete,
}

impl Verb {
    pub(super) const ALL: [Self; 3] = [Self::Insert, Self::Update, Self::Delete];

    /// The name of its function, of those with this name.
    pub(super) fn function(self, name: &str) -> String {
        format!("{name}_{}", self.as_str())
    }

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Insert => "insert",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }
}

/// What the names of the functions of a table begin with: readable, and its own.
pub(super) fn name_for(relation: &Relation) -> String {
    let name =
        Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("{}\0{}", relation.schema, relation.name).as_bytes());
    let readable: String = relation
        .shown
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' })
        .take(28)
        .collect();
    format!("observer_capture_{readable}_{}", &name.simple().to_string()[..8])
}
