//! The function behind the triggers of one captured table, generated from its columns.
//!
//! It runs inside the application's transaction with the rights of its owner, so nothing in it may fail, and nobody
//! else's code may run: all names are qualified, also operators, since no search path is set (setting one costs more
//! than making the image). Values are read only after their types were compared with those that the function was made
//! for. A row that is different, because the table was changed since, and any error take the slow way through
//! `observer_image`, which looks at the catalog; what fails there too goes into the inbox as a problem without an image.

use uuid::Uuid;

use super::{
    capture_table::{Relation, Table},
    connection::identifier,
    predicate::Predicates,
    session::Session,
    statement::statements,
};
use crate::{Result, StoreError};

/// A row whose values have so many bytes has no image: its text might be longer than PostgreSQL allows.
const MAX_ROW_BYTES: usize = 64 << 20;

/// `created` events of an update that changed keys come behind everything else of their statement.
const LAST_IN_STATEMENT: i64 = 1 << 62;

statements! {
    /// What the function says of the chosen columns, of the row after the change and of the one before. Two values of a
    /// loose type can have different texts and be the same: 1 and 1.00. To compare the type of a composite's field takes a search
    /// path: `(value).field` calls a function of that name where the type has lost the field.
    DESCRIBE_ROWS = "-- describe_rows
SELECT (SELECT string_agg(g.has_type, ' AND ' ORDER BY g.place) FROM observer_columns($1, 'NEW', 'OLD') AS g
        WHERE g.name = ANY ($4)) AS new_has_types,
       (SELECT string_agg(g.has_type, ' AND ' ORDER BY g.place) FROM observer_columns($1, 'OLD', 'NEW') AS g
        WHERE g.name = ANY ($4)) AS old_has_types,
       string_agg(n.size, ' OPERATOR(pg_catalog.+) ' ORDER BY n.place) AS new_sizes,
       string_agg(o.size, ' OPERATOR(pg_catalog.+) ' ORDER BY n.place) AS old_sizes,
       string_agg(format('(%s) OPERATOR(pg_catalog.<>) (%s)', n.value, o.value), ' OR ' ORDER BY n.place)
           FILTER (WHERE n.same IS NOT NULL) AS loose_differ,
       string_agg(n.same, ' AND ' ORDER BY n.place) AS loose_same,
       observer_image_expression($1, 'NEW', array_agg(n.name)) AS new_image,
       observer_image_expression($1, 'OLD', array_agg(n.name)) AS old_image,
       observer_image_expression($1, 'NEW', array_agg(n.name) FILTER (WHERE n.same IS NULL)) AS new_strict_image,
       observer_image_expression($1, 'OLD', array_agg(n.name) FILTER (WHERE n.same IS NULL)) AS old_strict_image,
       observer_key_expression($1, 'NEW', $3) AS new_key, observer_key_expression($1, 'OLD', $3) AS old_key,
       ARRAY(SELECT DISTINCT s FROM observer_columns($1, 'NEW', 'OLD') AS c, unnest(c.settings) AS s
             WHERE c.name = ANY ($2) OR c.name = ANY ($4) AND s = 'search_path' ORDER BY s) AS settings
FROM observer_columns($1, 'NEW', 'OLD') AS n JOIN observer_columns($1, 'OLD', 'NEW') AS o USING (place)
WHERE n.name = ANY ($2)";
}

/// Expressions over one of the two rows.
#[derive(Clone, Default, Debug)]
struct Row {
    has_types: String,
    sizes: Option<String>,
    image: String,
    strict_image: Option<String>,
    key: Option<String>,
}

/// All that is generated from a table's columns.
#[derive(Clone, Debug)]
pub(super) struct Rows {
    new: Row,
    old: Row,
    loose_differ: Option<String>,
    loose_same: Option<String>,
    settings: Vec<String>,
}

impl Rows {
    /// Of these columns, with this key. `guarded`: columns whose types are compared before anything is read.
    pub(super) async fn describe(
        session: &mut Session<'_>,
        table: &Table,
        (columns, guarded): (&[String], &[String]),
        key: &[String],
    ) -> Result<Self> {
        let call = DESCRIBE_ROWS.call().bind(table.oid).bind(columns).bind(key).bind(guarded);
        let Some(record) = call.optional(session).await? else {
            return Err(StoreError::Refused(format!("the table `{}` is gone", table.relation.shown)));
        };
        let row = |side: &str| {
            let text = |what: &str| record.get::<Option<String>>(&format!("{side}_{what}"));
            Ok(Row {
                has_types: text("has_types")?.unwrap_or_default(),
                sizes: text("sizes")?,
                image: text("image")?.unwrap_or_default(),
                strict_image: text("strict_image")?,
                key: text("key")?,
            })
        };
        Ok(Self {
            new: row("new")?,
            old: row("old")?,
            loose_differ: record.get("loose_differ")?,
            loose_same: record.get("loose_same")?,
            settings: record.get("settings")?,
        })
    }
    /// Has the function set these as well.
    pub(super) fn set(&mut self, settings: &[&str]) {
        self.settings.extend(settings.iter().map(|&setting| setting.to_owned()));
        self.settings.sort_unstable();
        self.settings.dedup();
    }
}

/// The function of one captured table.
pub(super) struct CaptureFunction<'a> {
    /// The schema of the host's tables.
    pub(super) schema: &'a str,
    pub(super) name: &'a str,
    pub(super) entity_type: &'a str,
    pub(super) key: &'a [String],
    /// Chosen columns; `None` for all, also those that come later.
    pub(super) chosen: Option<&'a [String]>,
    pub(super) rows: &'a Rows,
    pub(super) predicates: Option<&'a Predicates>,
    pub(super) notify: bool,
    /// Whether triggers of the application can change a row before its own event is made.
    pub(super) is_ordered: bool,
    /// The tenant of changes that name none.
    pub(super) tenant: Option<&'a str>,
}

impl CaptureFunction<'_> {
    /// The statement that makes it, or makes it again.
    pub(super) fn create(&self) -> String {
        format!(
            "CREATE OR REPLACE FUNCTION {}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER{} AS {}",
            self.quoted(),
            settings(&self.rows.settings),
            literal(&self.body())
        )
    }

    fn quoted(&self) -> String {
        format!("{}.{}", identifier(self.schema), identifier(self.name))
    }

    /// Its text.
    pub(super) fn body(&self) -> String {
        let Rows { new, old, .. } = self.rows;
        let schema = identifier(self.schema);
        let created = self.fast_way(new, &format!("image := {};", new.image), "created", "id");
        let deleted = self.fast_way(old, &format!("image := {};", old.image), "deleted", "id");
        let (names, key) = (text_array(self.chosen), text_array(Some(self.key)));
        let updated = self.fast_update();
        let placed = self.placed();
        let moved = self.moved();
        let insert = self.insert("place", "seq", "id", "kind", "at", "image", "before");
        let bell = if self.notify {
            "\n    IF pg_catalog.pg_notify('observer_inbox', '') IS NULL THEN\n        RETURN NULL;\n    END IF;"
        } else {
            ""
        };
        format!(
            "
-- Generated by aftercommit; `aftercommit capture refresh` writes it again.
DECLARE
    kind    pg_catalog.text;
    id      pg_catalog.text;
    old_id  pg_catalog.text;
    image   pg_catalog.text;
    before  pg_catalog.text;
    problem pg_catalog.text;
    at      pg_catalog.timestamptz := pg_catalog.clock_timestamp();
    seq     pg_catalog.int8;
    place   pg_catalog.int8;
    began   pg_catalog.record;
    is_made pg_catalog.bool := false;
    deletes pg_catalog.bool := true;
    creates pg_catalog.bool := true;
BEGIN
    BEGIN
        IF TG_OP OPERATOR(pg_catalog.=) 'INSERT' THEN
            kind := 'created';{created}
        ELSIF TG_OP OPERATOR(pg_catalog.=) 'DELETE' THEN
            kind := 'deleted';{deleted}
        ELSE
            kind := 'updated';{updated}
        END IF;
    EXCEPTION WHEN OTHERS THEN
        is_made := false;
    END;
    IF NOT is_made THEN
        problem := NULL;
        image := NULL;
        before := NULL;
        BEGIN
            IF TG_OP OPERATOR(pg_catalog.=) 'DELETE' THEN
                id := {schema}.observer_key(ROW(OLD), TG_RELID, {key});
                image := {schema}.observer_image(ROW(OLD), TG_RELID, {names});
            ELSE
                id := {schema}.observer_key(ROW(NEW), TG_RELID, {key});
                old_id := id;
                IF TG_OP OPERATOR(pg_catalog.=) 'UPDATE' THEN
                    old_id := {schema}.observer_key(ROW(OLD), TG_RELID, {key});
                    before := {schema}.observer_image(ROW(OLD), TG_RELID, {names});
                END IF;
                image := {schema}.observer_image(ROW(NEW), TG_RELID, {names});
                IF image OPERATOR(pg_catalog.=) before THEN
                    RETURN NULL;
                END IF;
            END IF;
        EXCEPTION WHEN OTHERS THEN
            problem := pg_catalog.left(SQLERRM, 1000);
            image := NULL;
            before := NULL;
        END;
    END IF;
    seq := pg_catalog.nextval({sequence}::pg_catalog.regclass);
    place := seq;{placed}
    IF kind OPERATOR(pg_catalog.=) 'updated' AND NOT coalesce(id OPERATOR(pg_catalog.=) old_id, id IS NULL AND old_id IS NULL) THEN{moved}
    ELSE
        {insert}
    END IF;{bell}
    RETURN NULL;
END
",
            sequence = literal(&format!("{schema}.observer_events_seq")),
        )
    }

    /// The image of a row that came or went.
    fn fast_way(&self, row: &Row, image: &str, kind: &str, id: &str) -> String {
        let wanted = self.predicate(kind).map_or_else(String::new, |predicate| {
            format!("\n                IF NOT ({predicate}) THEN\n                    RETURN NULL;\n                END IF;")
        });
        let key = row.key.as_deref().unwrap_or("NULL");
        format!(
            "
            IF {has_types} THEN
                {id} := {key};{wanted}
                {bounded}
                is_made := true;
            END IF;",
            has_types = row.has_types,
            bounded = bounded(row.sizes.as_deref(), image),
        )
    }

    /// The two images of a row that was updated; nothing where they say the same.
    fn fast_update(&self) -> String {
        let Rows { new, old, loose_differ, loose_same, .. } = self.rows;
        let mut same = "\n                IF image OPERATOR(pg_catalog.=) before THEN\n                    RETURN NULL;\n                END IF;".to_owned();
        if let (Some(differ), Some(equal)) = (loose_differ, loose_same) {
            let rest = match (&new.strict_image, &old.strict_image) {
                (Some(new), Some(old)) => format!(" AND {new} OPERATOR(pg_catalog.=) {old}"),
                _ => String::new(),
            };
            // Values that are written differently and are the same number.
            same.push_str(&format!(
                "\n                IF ({differ}) AND {equal}{rest} THEN\n                    RETURN NULL;\n                END IF;"
            ));
        }
        let wanted = match (self.predicate("updated"), self.predicate("created"), self.predicate("deleted")) {
            (Some(updated), Some(created), Some(deleted)) => format!(
                "
                IF coalesce(id OPERATOR(pg_catalog.=) old_id, id IS NULL AND old_id IS NULL) THEN
                    IF NOT ({updated}) THEN
                        RETURN NULL;
                    END IF;
                ELSE
                    creates := {created};
                    deletes := {deleted};
                END IF;"
            ),
            _ => String::new(),
        };
        let sizes = match (&new.sizes, &old.sizes) {
            (Some(new), Some(old)) => Some(format!("pg_catalog.int8larger({new}, {old})")),
            _ => None,
        };
        let images = format!("image := {};\n                    before := {};", new.image, old.image);
        format!(
            "
            IF {has_types} THEN
                id := {key};
                old_id := {old_key};{wanted}
                {bounded}{same}
                is_made := true;
            END IF;",
            has_types = new.has_types,
            key = new.key.as_deref().unwrap_or("NULL"),
            old_key = old.key.as_deref().unwrap_or("NULL"),
            bounded = bounded(sizes.as_deref(), &images),
        )
    }

    /// The place of a statement's events, where its rows can be changed before their own events are made; and their time. What it
    /// deletes and creates under the same key is created a moment later.
    fn placed(&self) -> String {
        if !self.is_ordered {
            return String::new();
        }
        format!(
            "
    began := {}.observer_statement(pg_catalog.concat('aftercommit.statement_', pg_catalog.pg_trigger_depth()), ''::pg_catalog.text, seq, at);
    place := began.place;
    at := began.began_at;
    IF kind OPERATOR(pg_catalog.=) 'created' THEN
        at := at OPERATOR(pg_catalog.+) '00:00:00.000001'::pg_catalog.interval;
    END IF;",
            identifier(self.schema)
        )
    }

    /// An update that changes the key: the old entity is deleted, the new one created. What one statement deletes comes
    /// before what it creates, since a row can take the key that another one gives up.
    fn moved(&self) -> String {
        let schema = identifier(self.schema);
        let began = if self.is_ordered {
            String::new()
        } else {
            // Rows of one statement have the same command in their version.
            format!(
                "
        began := {schema}.observer_statement('aftercommit.moved'::pg_catalog.text, pg_catalog.concat(NEW.cmin), seq, at);
        place := began.place;
        at := began.began_at;"
            )
        };
        format!(
            "{began}
        IF deletes THEN
            {deleted}
        END IF;
        IF creates THEN
            seq := pg_catalog.nextval({sequence}::pg_catalog.regclass);
            at := at OPERATOR(pg_catalog.+) '00:00:00.000001'::pg_catalog.interval;
            {created}
        END IF;",
            deleted = self.insert("place", "seq", "old_id", "'deleted'", "at", "before", "NULL"),
            created = self.insert(
                "place",
                &format!("seq OPERATOR(pg_catalog.|) {LAST_IN_STATEMENT}"),
                "id",
                "'created'",
                "at",
                "image",
                "NULL"
            ),
            sequence = literal(&format!("{schema}.observer_events_seq")),
        )
    }

    #[expect(clippy::too_many_arguments, reason = "the columns of a row, in their order")]
    fn insert(
        &self,
        place: &str,
        seq: &str,
        id: &str,
        kind: &str,
        at: &str,
        data: &str,
        old: &str,
    ) -> String {
        format!(
            "INSERT INTO {schema}.observer_inbox
            (place, seq, entity_type, entity_id, event_kind, occurred_at, data, old, problem, tenant_id, actor, traceparent)
        VALUES ({place}, {seq}, {entity_type}, {id}, {kind}, {at}, {data}, {old}, problem,
            {tenant}, pg_catalog.current_setting('aftercommit.actor', true), pg_catalog.current_setting('aftercommit.traceparent', true));",
            schema = identifier(self.schema),
            entity_type = literal(self.entity_type),
            tenant = self.tenant(),
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

    fn predicate(&self, kind: &str) -> Option<&str> {
        self.predicates.map(|predicates| match kind {
            "created" => predicates.created.as_str(),
            "deleted" => predicates.deleted.as_str(),
            _ => predicates.updated.as_str(),
        })
    }
}

/// Makes images unless the row is too large.
fn bounded(sizes: Option<&str>, images: &str) -> String {
    match sizes {
        None => images.to_owned(),
        Some(sizes) => format!(
            "IF {sizes} OPERATOR(pg_catalog.<) {MAX_ROW_BYTES} THEN
                    {images}
                ELSE
                    problem := 'the row has {} MiB or more';
                END IF;",
            MAX_ROW_BYTES >> 20
        ),
    }
}

/// The settings that decide how some values are written.
pub(super) fn settings(names: &[String]) -> String {
    names
        .iter()
        .map(|name| {
            let value = match name.as_str() {
                "array_nulls" => "on",
                "bytea_output" => "'hex'",
                "datestyle" => "'ISO, MDY'",
                "extra_float_digits" => "1",
                "intervalstyle" => "'postgres'",
                "lc_monetary" => "'C'",
                "quote_all_identifiers" => "off",
                "search_path" => "pg_catalog, pg_temp",
                _ => "'UTC'",
            };
            format!(" SET {name} = {value}")
        })
        .collect()
}

/// A text literal, whatever `standard_conforming_strings` is.
pub(super) fn literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if quoted.contains('\\') { format!("E'{}'", quoted.replace('\\', "\\\\")) } else { format!("'{quoted}'") }
}

fn text_array(texts: Option<&[String]>) -> String {
    texts.map_or_else(
        || "NULL::pg_catalog.text[]".to_owned(),
        |texts| {
            let texts: Vec<_> = texts.iter().map(|text| literal(text)).collect();
            format!("ARRAY[{}]::pg_catalog.text[]", texts.join(", "))
        },
    )
}

/// The name of the function of a table: readable, and its own.
pub(super) fn name_for(relation: &Relation) -> String {
    let name =
        Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("{}\0{}", relation.schema, relation.name).as_bytes());
    let readable: String = relation
        .shown
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' })
        .take(30)
        .collect();
    format!("observer_capture_{readable}_{}", &name.simple().to_string()[..8])
}
