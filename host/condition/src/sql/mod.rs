//! A condition as SQL, for the triggers of a captured table: a change for which it is not true makes no event.
//!
//! The database then says exactly what the evaluator would say of the images that the trigger writes: three-valued
//! logic, exact numbers, texts by code point, date-times as instants. Where the evaluator would report an error the
//! predicate is true: the event is made, and the observer's own condition reports the error. What cannot be written
//! exactly is refused. A predicate never fails, whatever the row is, and calls built-in functions only.

mod column;
mod compare;
mod dialect;
mod instant;
mod postgres;
mod scope;
mod sqlite;
mod test;
mod value;

use aftercommit_core::EventKind;
pub use column::{Column, Columns, PostgresKind, SqliteKind};
pub use sqlite::{MAX_BLOB_BYTES, MAX_TEXT_CHARS};

use self::{dialect::Dialect, postgres::Postgres, scope::Scope, sqlite::Sqlite};
use crate::{condition::Condition, diagnostic::Diagnostic, syntax::Span};

/// A predicate that would be longer is refused: triggers have bounds, and are read by people.
pub const MAX_SQL_BYTES: usize = 192 * 1024;

/// What a trigger knows of its events beside the row. All but the type are SQL expressions, of type `text` and
/// complete in themselves; all but `occurred_at` may be null.
#[derive(Clone, Copy, Debug)]
pub struct EventSql<'a> {
    /// The entity's type itself.
    pub entity_type: &'a str,
    /// The key of the row called `NEW`.
    pub new_entity_id: &'a str,
    /// The key of the row called `OLD`.
    pub old_entity_id: &'a str,
    /// In RFC 3339.
    pub occurred_at: &'a str,
    /// Who makes the change.
    pub actor: &'a str,
    /// The tenant.
    pub tenant_id: &'a str,
    /// W3C Trace Context.
    pub traceparent: &'a str,
}

/// One SQL expression for each kind of change, true or false and never null. Columns are written `NEW."name"` and
/// `OLD."name"`.
///
/// PostgreSQL: all names are those of `pg_catalog`, and the expressions are to be evaluated with the settings under
/// which the images are written, `timezone = 'UTC'` and `extra_float_digits = 1`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Predicates {
    /// Uses `NEW` only.
    pub created: String,
    /// Uses both rows.
    pub updated: String,
    /// Uses `OLD` only.
    pub deleted: String,
}

/// The condition as SQL, or the place of what cannot be written as SQL exactly.
pub fn compile(
    condition: &Condition,
    columns: Columns<'_>,
    event: &EventSql<'_>,
) -> Result<Predicates, Diagnostic> {
    let names = columns.names();
    let compile = |dialect: &dyn Dialect| {
        let predicate = |kind| {
            let scope = Scope { dialect, names: &names, kind, event };
            let predicate = scope.test(condition.tree())?.passes(dialect);
            if predicate.len() > MAX_SQL_BYTES { Err(too_long(condition)) } else { Ok(predicate) }
        };
        Ok(Predicates {
            created: predicate(EventKind::Created)?,
            updated: predicate(EventKind::Updated)?,
            deleted: predicate(EventKind::Deleted)?,
        })
    };
    match columns {
        Columns::Postgres(columns) => compile(&Postgres { columns }),
        Columns::Sqlite(columns) => compile(&Sqlite { columns }),
    }
}

fn too_long(condition: &Condition) -> Diagnostic {
    let whole = Span { start: 0, end: condition.source().len() };
    Diagnostic::error(
        whole,
        format!("as SQL this condition has more than {MAX_SQL_BYTES} bytes"),
        "too long for a trigger",
    )
    .help(ELSEWHERE)
}

/// What to do with a part of a condition that a trigger cannot evaluate.
const ELSEWHERE: &str =
    "move this part to the observer's condition, which is evaluated outside of the database";
