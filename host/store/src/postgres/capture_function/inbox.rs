//! The rows of the inbox that the functions of one captured table write.

use super::super::{capture_bell::bell, connection::identifier, sql_text::literal};

/// `created` events of an update that changed keys come behind everything else of their statement.
const LAST_IN_STATEMENT: i64 = 1 << 62;

/// A row of the inbox, as SQL expressions.
#[derive(Clone, Copy)]
pub(super) struct Inserted<'a> {
    pub(super) kind: &'a str,
    pub(super) id: &'a str,
    pub(super) image: &'a str,
    pub(super) before: &'a str,
    pub(super) problem: &'a str,
    /// Whether it has the place of its statement.
    pub(super) is_placed: bool,
    /// Whether it comes last in it.
    pub(super) is_last: bool,
}

impl<'a> Inserted<'a> {
    pub(super) const fn new(kind: &'a str, id: &'a str, image: &'a str, before: &'a str) -> Self {
        Self { kind, id, image, before, problem: "NULL", is_placed: false, is_last: false }
    }
}

/// Where they are written, and what is the same in all of them.
#[derive(Clone, Copy)]
pub(super) struct Inbox<'a> {
    /// The schema of the host's tables.
    pub(super) schema: &'a str,
    pub(super) entity_type: &'a str,
    /// The tenant of changes that name none.
    pub(super) tenant: Option<&'a str>,
    /// Whether all rows of a statement have its place.
    pub(super) is_ordered: bool,
    /// The number of the command that changed the row.
    pub(super) command: &'a str,
    /// Whether hosts are notified.
    pub(super) notify: bool,
}

impl Inbox<'_> {
    pub(super) fn insert(&self, row: &Inserted<'_>) -> String {
        let schema = identifier(self.schema);
        let is_placed = self.is_ordered || row.is_placed;
        let (mut begin, mut place, mut seq, mut at) =
            (String::new(), self.next(), "0".to_owned(), "pg_catalog.clock_timestamp()".to_owned());
        if is_placed {
            if self.is_ordered {
                begin = format!(
                    "began := {schema}.observer_statement(pg_catalog.concat('aftercommit.statement_', pg_catalog.pg_trigger_depth()), {statement},
                {place}, pg_catalog.clock_timestamp());
            ",
                    statement = self.statement(),
                );
            }
            seq = std::mem::replace(&mut place, "began.place".to_owned());
            "began.began_at".clone_into(&mut at);
        }
        if is_placed && (row.is_last || row.kind == "'created'") {
            // What a statement deletes and creates under the same key is created a moment later.
            at.push_str(" OPERATOR(pg_catalog.+) '00:00:00.000001'::pg_catalog.interval");
        }
        if row.is_last {
            seq = format!("{seq} OPERATOR(pg_catalog.|) {LAST_IN_STATEMENT}");
        }
        let (mut columns, mut values) = (String::new(), String::new());
        for (column, value) in [("old", row.before), ("problem", row.problem)] {
            if value != "NULL" {
                columns.extend([", ", column]);
                values.extend([", ", value]);
            }
        }
        format!(
            "{begin}INSERT INTO {schema}.observer_inbox
                (place, seq, entity_type, entity_id, event_kind, occurred_at, data, tenant_id, actor, traceparent{columns})
            VALUES ({place}, {seq}, {entity_type}, {id}, {kind}, {at}, {image}, {tenant},
                pg_catalog.current_setting('aftercommit.actor', true), pg_catalog.current_setting('aftercommit.traceparent', true){values});",
            entity_type = literal(self.entity_type),
            id = row.id,
            kind = row.kind,
            image = row.image,
            tenant = self.tenant(),
        )
    }

    /// What tells statements apart at one depth beside the trigger before each of them. Logical replication runs none for
    /// statements, and changes one row with each command.
    fn statement(&self) -> String {
        format!(
            "CASE WHEN pg_catalog.current_setting('session_replication_role') OPERATOR(pg_catalog.=) 'replica' THEN pg_catalog.concat({}) ELSE ''::pg_catalog.text END",
            self.command
        )
    }

    fn tenant(&self) -> String {
        const SETTING: &str = "pg_catalog.current_setting('aftercommit.tenant_id', true)";
        match self.tenant {
            None => SETTING.to_owned(),
            Some(tenant) => format!(
                "CASE WHEN pg_catalog.length({SETTING}) OPERATOR(pg_catalog.>) 0 THEN {SETTING} ELSE {} END",
                literal(tenant)
            ),
        }
    }

    /// The next number.
    fn next(&self) -> String {
        let sequence = format!("{}.observer_events_seq", identifier(self.schema));
        format!("pg_catalog.nextval({}::pg_catalog.regclass)", literal(&sequence))
    }

    pub(super) fn bell(&self) -> String {
        bell(self.schema, self.notify)
    }

    /// An update that changes the key: the old entity is deleted, the new one created. What one statement deletes comes
    /// before what it creates, since a row can take the key that another one gives up.
    pub(super) fn moved(&self) -> String {
        // Rows of one statement have the same command in their version.
        let began = if self.is_ordered {
            String::new()
        } else {
            format!(
                "
                began := {}.observer_statement('aftercommit.moved'::pg_catalog.text, pg_catalog.concat(NEW.cmin),
                    {}, pg_catalog.clock_timestamp());",
                identifier(self.schema),
                self.next(),
            )
        };
        let placed = Inserted {
            is_placed: true,
            problem: "problem",
            ..Inserted::new("'deleted'", "old_id", "before", "NULL")
        };
        let last = Inserted { is_last: true, kind: "'created'", id: "id", image: "image", ..placed };
        format!(
            "{began}
                IF deletes THEN
                    {deleted}
                END IF;
                IF creates THEN
                    {created}
                END IF;{bell}
                RETURN NULL;",
            deleted = self.insert(&placed),
            created = self.insert(&last),
            bell = self.bell(),
        )
    }
}
