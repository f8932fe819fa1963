//! The function behind the trigger of a change log, generated from its columns. What it may and may not do is the same as
//! for the function of a captured table.

use std::collections::BTreeMap;

use super::{
    capture_bell::bell,
    capture_function::{MAX_ROW_BYTES, TOO_LARGE},
    capture_table::Table,
    connection::identifier,
    function_name::Verb,
    session::Session,
    sql_text::{literal, settings},
    statement::{Record, statements},
};
use crate::{ChangeLogField, Result};

statements! {
    /// Of the columns that say something: as text, and as they are in an image.
    DESCRIBE_LOG = "-- describe_log
SELECT name, observer_key_part(type, format('NEW.%I', name), false) AS text, value, has_type, size, settings,
       format_type(observer_base_type(type), NULL) AS type, format('NEW.%I', name) AS column
FROM observer_columns($1, 'NEW', 'OLD')
WHERE name = ANY ($2)";
}

/// A column of a change log, as SQL expressions.
struct Column {
    text: String,
    value: String,
    has_type: String,
    size: Option<String>,
    settings: Vec<String>,
    kind: String,
    reference: String,
}

impl Column {
    fn read(record: &Record) -> Result<(String, Self)> {
        let column = Self {
            text: record.get("text")?,
            value: record.get("value")?,
            has_type: record.get("has_type")?,
            size: record.get("size")?,
            settings: record.get("settings")?,
            kind: record.get("type")?,
            reference: record.get("column")?,
        };
        Ok((record.get("name")?, column))
    }

    /// The time it says, without what a session's settings mean by it.
    fn time(&self) -> String {
        match self.kind.as_str() {
            "timestamp with time zone" => self.reference.clone(),
            "date" => format!(
                "pg_catalog.timezone('00:00:00'::pg_catalog.interval, {}::pg_catalog.timestamp)",
                self.reference
            ),
            _ => format!("pg_catalog.timezone('00:00:00'::pg_catalog.interval, {})", self.reference),
        }
    }
}

/// The function of one change log.
pub(super) struct ChangeLogFunction<'a> {
    /// The schema of the host's tables.
    schema: &'a str,
    name: &'a str,
    fields: &'a BTreeMap<ChangeLogField, String>,
    columns: BTreeMap<String, Column>,
    notify: bool,
}

impl<'a> ChangeLogFunction<'a> {
    pub(super) async fn describe(
        session: &mut Session<'_>,
        table: &Table,
        (schema, name): (&'a str, &'a str),
        fields: &'a BTreeMap<ChangeLogField, String>,
        notify: bool,
    ) -> Result<Self> {
        let names: Vec<&str> = fields.values().map(String::as_str).collect();
        let records = DESCRIBE_LOG.call().bind(table.oid).bind(names).all(session).await?;
        let columns = records.iter().map(Column::read).collect::<Result<_>>()?;
        Ok(Self { schema, name, fields, columns, notify })
    }

    /// The statement that makes it, or makes it again.
    pub(super) fn create(&self) -> Vec<String> {
        let mut set: Vec<String> =
            self.columns.values().flat_map(|column| column.settings.iter().cloned()).collect();
        set.sort_unstable();
        set.dedup();
        vec![format!(
            "CREATE OR REPLACE FUNCTION {}.{}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER{} AS {}",
            identifier(self.schema),
            identifier(&Verb::Insert.function(self.name)),
            settings(&set),
            literal(&self.body())
        )]
    }

    fn column(&self, field: ChangeLogField) -> Option<&Column> {
        self.fields.get(&field).and_then(|name| self.columns.get(name))
    }

    /// A field as text.
    fn text(&self, field: ChangeLogField) -> &str {
        self.column(field).map_or("NULL", |column| &column.text)
    }

    /// A field as JSON.
    fn json(&self, field: ChangeLogField) -> String {
        // JSON's null is no image.
        self.column(field).map_or_else(
            || "NULL".to_owned(),
            |column| {
                let text = format!("({})::pg_catalog.text", column.value);
                format!("CASE WHEN {text} OPERATOR(pg_catalog.<>) 'null' THEN {text} END")
            },
        )
    }

    /// The same fields of a log that was changed since.
    fn slow(&self, field: ChangeLogField, function: &str) -> String {
        match self.fields.get(&field) {
            None => "NULL".to_owned(),
            Some(name) => format!(
                "{}.{function}(ROW(NEW), TG_RELID, ARRAY[{}]::pg_catalog.text[])",
                identifier(self.schema),
                literal(name)
            ),
        }
    }

    fn body(&self) -> String {
        let schema = identifier(self.schema);
        let envelope = if self.fields.contains_key(&ChangeLogField::Before) { "" } else { ENVELOPE };
        let bell = bell(self.schema, self.notify);
        format!(
            "{DECLARED}{fast}{slow}{envelope}{IMAGES}
    seq := pg_catalog.nextval({sequence}::pg_catalog.regclass);
    INSERT INTO {schema}.observer_inbox
        (place, seq, entity_type, entity_id, event_kind, occurred_at, data, old, problem, tenant_id, actor, traceparent)
    VALUES (seq, 0, entity, id, coalesce(kind, ''), at, image, before, problem,
        coalesce(tenant, pg_catalog.current_setting('aftercommit.tenant_id', true)),
        coalesce(actor, pg_catalog.current_setting('aftercommit.actor', true)),
        pg_catalog.current_setting('aftercommit.traceparent', true));{bell}
    RETURN NULL;
END
",
            fast = self.fast_way(),
            slow = self.slow_way(),
            sequence = literal(&format!("{schema}.observer_events_seq")),
        )
    }

    /// Reads a row of the columns that the function was made for.
    fn fast_way(&self) -> String {
        use ChangeLogField::{
            Actor, Before, CreatedAt, ModificationType, ObjectData, ObjectId, ObjectType, Tenant,
        };
        let has_types: Vec<_> = self.columns.values().map(|column| column.has_type.as_str()).collect();
        let sizes: Vec<_> = self.columns.values().filter_map(|column| column.size.as_deref()).collect();
        let sizes = if sizes.is_empty() { "0".to_owned() } else { sizes.join(" OPERATOR(pg_catalog.+) ") };
        format!(
            "
    BEGIN
        IF {has_types} THEN
            entity := {entity};
            id := {id};
            kind := {kind};
            tenant := {tenant};
            actor := {actor};
            logged := {logged};
            IF {sizes} OPERATOR(pg_catalog.<) {MAX_ROW_BYTES} THEN
                image := {image};
                before := {before};
            ELSE
                problem := '{TOO_LARGE}';
            END IF;
            is_made := true;
        END IF;
    EXCEPTION WHEN OTHERS THEN
        is_made := false;
    END;",
            has_types = has_types.join(" AND "),
            entity = self.text(ObjectType),
            id = self.text(ObjectId),
            kind = self.text(ModificationType),
            tenant = self.text(Tenant),
            actor = self.text(Actor),
            logged = self.column(CreatedAt).map_or_else(|| "NULL".to_owned(), Column::time),
            image = self.json(ObjectData),
            before = self.json(Before),
        )
    }

    /// Reads a row of a log that was changed since.
    fn slow_way(&self) -> String {
        use ChangeLogField::{
            Actor, Before, CreatedAt, ModificationType, ObjectData, ObjectId, ObjectType, Tenant,
        };
        let logged = match self.fields.get(&CreatedAt) {
            None => "NULL".to_owned(),
            Some(_) => {
                format!("{}.observer_time({})", identifier(self.schema), self.slow(CreatedAt, "observer_key"))
            }
        };
        format!(
            "
    IF NOT is_made THEN
        BEGIN
            problem := NULL;
            entity := {entity};
            id := {id};
            kind := {kind};
            tenant := {tenant};
            actor := {actor};
            logged := {logged};
            image := {image};
            before := {before};
        EXCEPTION WHEN OTHERS THEN
            problem := pg_catalog.left(SQLERRM, 1000);
            image := NULL;
            before := NULL;
        END;
    END IF;",
            entity = self.slow(ObjectType, "observer_key"),
            id = self.slow(ObjectId, "observer_key"),
            kind = self.slow(ModificationType, "observer_key"),
            tenant = self.slow(Tenant, "observer_key"),
            actor = self.slow(Actor, "observer_key"),
            image = self.slow(ObjectData, "observer_field"),
            before = self.slow(Before, "observer_field"),
        )
    }
}

const DECLARED: &str = "
-- Generated by aftercommit; `aftercommit capture refresh` writes it again.
DECLARE
    entity  pg_catalog.text;
    id      pg_catalog.text;
    kind    pg_catalog.text;
    verb    pg_catalog.text;
    tenant  pg_catalog.text;
    actor   pg_catalog.text;
    image   pg_catalog.text;
    before  pg_catalog.text;
    problem pg_catalog.text;
    logged  pg_catalog.timestamptz;
    doc     pg_catalog.json;
    at      pg_catalog.timestamptz := pg_catalog.clock_timestamp();
    seq     pg_catalog.int8;
    is_made pg_catalog.bool := false;
BEGIN";

/// Which images the kind of change has, and its time. Images that do not fit into one row of the inbox are left out.
const IMAGES: &str = "
    IF pg_catalog.octet_length(image) OPERATOR(pg_catalog.>) 268435456
        OR pg_catalog.octet_length(before) OPERATOR(pg_catalog.>) 268435456
    THEN
        problem := 'the row has 64 MiB or more';
        image := NULL;
        before := NULL;
    END IF;
    verb := pg_catalog.lower(kind);
    IF verb OPERATOR(pg_catalog.=) 'delete' OR verb OPERATOR(pg_catalog.=) 'deleted' THEN
        IF problem IS NULL THEN
            -- A delete without an image is one all the same: it says of what.
            image := coalesce(before, image, '{}');
        END IF;
        before := NULL;
    ELSIF NOT coalesce(verb OPERATOR(pg_catalog.=) 'update' OR verb OPERATOR(pg_catalog.=) 'updated', false) THEN
        before := NULL;
    END IF;
    -- Nobody did anything in the future: a time ahead would stand in the way of that day's partition.
    IF logged OPERATOR(pg_catalog.<) at AND logged OPERATOR(pg_catalog.>=) '0001-01-01 00:00:00+00'::pg_catalog.timestamptz THEN
        at := logged;
    END IF;";

/// Takes apart what Debezium writes: both images in one.
const ENVELOPE: &str = "
    IF pg_catalog.strpos(image, '\"op\"') OPERATOR(pg_catalog.>) 0 THEN
        BEGIN
            doc := image::pg_catalog.json;
            IF (doc OPERATOR(pg_catalog.->>) 'op') OPERATOR(pg_catalog.=) ANY (ARRAY['c', 'u', 'd', 'r'])
                AND pg_catalog.json_typeof(doc OPERATOR(pg_catalog.->) 'before') OPERATOR(pg_catalog.=) ANY (ARRAY['object', 'null'])
                AND pg_catalog.json_typeof(doc OPERATOR(pg_catalog.->) 'after') OPERATOR(pg_catalog.=) ANY (ARRAY['object', 'null'])
            THEN
                before := (doc OPERATOR(pg_catalog.->) 'before')::pg_catalog.text;
                image := (doc OPERATOR(pg_catalog.->) 'after')::pg_catalog.text;
                IF before OPERATOR(pg_catalog.=) 'null' THEN
                    before := NULL;
                END IF;
                IF image OPERATOR(pg_catalog.=) 'null' THEN
                    image := NULL;
                END IF;
            END IF;
        EXCEPTION WHEN OTHERS THEN
            -- Escapes that can not be read as text: intake says what it can not read.
            before := NULL;
        END;
    END IF;";
