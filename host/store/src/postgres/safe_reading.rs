//! Reads a table that belongs to somebody else, so that nobody's code runs with our rights.

use sqlx::postgres::types::Oid;

use super::{session::Session, statement::statements};
use crate::Result;

statements! {
    /// Names are found in `pg_catalog` from here on, and policies are refused.
    READ_SAFELY = "-- read_safely
SELECT set_config('search_path', 'pg_catalog, pg_temp', true), set_config('row_security', 'off', true)";
    STILL_A_TABLE = "-- still_a_table
SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
               WHERE c.oid = $1 AND n.nspname = $2 AND c.relname = $3 AND c.relkind IN ('r', 'p'))";
}

/// Has the rest of the transaction read safely. Whether this is a table and still has the name by which it was found: a view
/// would run its owner's functions. The caller holds a lock on it, and is in a transaction that sees what was committed
/// meanwhile.
pub(super) async fn begin(session: &mut Session<'_>, oid: Oid, schema: &str, name: &str) -> Result<bool> {
    READ_SAFELY.call().execute(session).await?;
    STILL_A_TABLE.call().bind(oid).bind(schema).bind(name).value(session).await
}
