//! What a trigger does last: its commit rings as long as a host sleeps.

use super::{connection::identifier, sql_text::literal};

/// The statements, for a function in PL/pgSQL; nothing for a capture whose commits never ring.
///
/// That nobody sleeps is seen by one comparison. Otherwise the time until which to ring is compared with the server's clock. Both are read
/// after the row was changed: what was read before a host went to sleep belongs to a transaction that was open then.
pub(super) fn bell(schema: &str, notify: bool) -> String {
    if !notify {
        return String::new();
    }
    let until = format!(
        "pg_catalog.pg_sequence_last_value({}::pg_catalog.regclass)",
        literal(&format!("{}.observer_bell", identifier(schema)))
    );
    format!(
        "
        IF {until} OPERATOR(pg_catalog.>) 0 THEN
            IF {until}::pg_catalog.float8 OPERATOR(pg_catalog.>) pg_catalog.date_part('epoch'::pg_catalog.text, pg_catalog.clock_timestamp()) THEN
                IF pg_catalog.pg_notify('observer_inbox', '') IS NULL THEN
                    RETURN NULL;
                END IF;
            END IF;
        END IF;"
    )
}
