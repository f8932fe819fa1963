//! Where the condition of a capture ends its function: a change that it does not want makes no event.

use aftercommit_core::EventKind;

use super::super::predicate::Predicates;

/// Ends the function where the condition is not true of a row that came or went.
pub(super) fn of_row(predicates: Option<&Predicates>, kind: EventKind) -> String {
    predicates.map_or_else(String::new, |predicates| {
        let predicate = if kind == EventKind::Created { &predicates.created } else { &predicates.deleted };
        format!(
            "
                IF NOT ({predicate}) THEN
                    RETURN NULL;
                END IF;"
        )
    })
}

/// Ends the function where the condition is not true of an update. Of one that changes the key, each of the two events has
/// an answer of its own.
pub(super) fn of_update(predicates: Option<&Predicates>) -> String {
    predicates.map_or_else(String::new, |Predicates { created, updated, deleted }| {
        format!(
            "
                IF coalesce(id OPERATOR(pg_catalog.=) old_id, id IS NULL AND old_id IS NULL) THEN
                    IF NOT ({updated}) THEN
                        RETURN NULL;
                    END IF;
                ELSE
                    creates := {created};
                    deletes := {deleted};
                END IF;"
        )
    })
}

/// The condition in the slow way. It is evaluated only while the columns that it reads are as they were; where it can not be
/// evaluated, the event is made.
pub(super) fn slowly(guard: &str, wanted: &str, otherwise: &str) -> String {
    if wanted.is_empty() {
        return String::new();
    }
    format!(
        "
        BEGIN
            IF {guard} THEN{wanted}
            END IF;
        EXCEPTION WHEN OTHERS THEN
            {otherwise}
        END;"
    )
}
