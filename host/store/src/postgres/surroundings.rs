//! What others decide and a capture suffers from.

use super::{
    session::Session,
    statement::{Record, statements},
};
use crate::Result;

statements! {
    /// What makes a capture less safe, or commits fail, and is decided by others.
    SURROUNDINGS = "-- surroundings
SELECT current_setting('max_prepared_transactions')::integer > 0 AS prepares,
       EXISTS (SELECT 1 FROM aclexplode((SELECT coalesce(nspacl, acldefault('n', nspowner)) FROM pg_namespace
                                         WHERE nspname = current_schema())) AS a
               WHERE a.privilege_type = 'CREATE'
                 AND NOT (a.grantee <> 0 AND pg_has_role(current_user, a.grantee, 'MEMBER'))
                 AND a.grantee <> (SELECT nspowner FROM pg_namespace WHERE nspname = current_schema())) AS is_writable";
}

/// Says what others decide and a capture suffers from.
pub(super) async fn warn_of_all(session: &mut Session<'_>, table: &str, notify: bool) -> Result<()> {
    let Some(record) = SURROUNDINGS.call().optional(session).await? else { return Ok(()) };
    if notify && record.get("prepares")? {
        tracing::warn!(
            table,
            "the server allows prepared transactions, and PREPARE TRANSACTION fails after a change of a captured table that rings \
             hosts; if your application prepares transactions, capture with `--no-notify`"
        );
    }
    warn_of_writers(&record)
}

/// Whether other roles can make functions and operators beside our tables.
fn warn_of_writers(record: &Record) -> Result<()> {
    if record.get("is_writable")? {
        tracing::warn!(
            "other roles may create objects in the schema of aftercommit's tables, which a host would then use; give it a schema \
             of its own (`schema` in `[database]`), or `REVOKE CREATE ON SCHEMA .. FROM PUBLIC`"
        );
    }
    Ok(())
}

/// The same after a migration.
pub(super) async fn warn_of_schema(session: &mut Session<'_>) -> Result<()> {
    match SURROUNDINGS.call().optional(session).await? {
        Some(record) => warn_of_writers(&record),
        None => Ok(()),
    }
}
