//! The functions behind the triggers of one captured table, one for each verb, generated from its columns. (One for all verbs would
//! ask each time which it is, and that costs more than it looks.)
//!
//! They run inside the application's transaction with the rights of their owner, so nothing in them may fail, and nobody
//! else's code may run: all names are qualified, also operators, since no search path is set (setting one costs more
//! than making the image). Values are read only after their types were compared with those that the function was made
//! for. A row that is different, because the table was changed since, and any error take the slow way through
//! `observer_image`, which looks at the catalog; what fails there too goes into the inbox as a problem without an image.

use std::fmt::Write as _;

use uuid::Uuid;

use super::{
    capture_bell::bell,
    capture_table::{Relation, Table},
    connection::identifier,
    predicate::Predicates,
    session::Session,
    statement::statements,
};
use crate::{Result, StoreError};

/// A row whose values have so many bytes has no image: its text might be longer than PostgreSQL allows.
pub(super) const MAX_ROW_BYTES: usize = 64 << 20;

/// Why such a row has none.
pub(super) const TOO_LARGE: &str = "the row has 64 MiB or more";

/// Images of more bytes do not fit into one row of the inbox. Those of a row that is small enough are smaller, but for what was stored
/// compressed.
const MAX_IMAGE_BYTES: usize = 512 << 20;

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
       string_agg(format('NEW.%1$I::pg_catalog.text OPERATOR(pg_catalog.<>) OLD.%1$I::pg_catalog.text', n.name), ' OR ' ORDER BY n.place)
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

/// What the function of updates declares besides.
const UPDATED: &str = "
    before  pg_catalog.text;
    old_id  pg_catalog.text;
    deletes pg_catalog.bool := true;
    creates pg_catalog.bool := true;";

/// The functions of one captured table, one for each verb.
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
    /// The statements that make them, or make them again.
    pub(super) fn create(&self) -> Vec<String> {
        Verb::ALL
            .iter()
            .map(|verb| {
                format!(
                    "CREATE OR REPLACE FUNCTION {}.{}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER{} AS {}",
                    identifier(self.schema),
                    identifier(&verb.function(self.name)),
                    settings(&self.rows.settings),
                    literal(&self.body(*verb))
                )
            })
            .collect()
    }

    /// The text of one: the fast way, then the slow one.
    fn body(&self, verb: Verb) -> String {
        let Rows { new, old, .. } = self.rows;
        let (fast, slow) = match verb {
            Verb::Insert => (self.fast_way(new, "created"), self.slow_way("NEW", "created")),
            Verb::Delete => (self.fast_way(old, "deleted"), self.slow_way("OLD", "deleted")),
            Verb::Update => (self.fast_update(), self.slow_update()),
        };
        let declared = if verb == Verb::Update { UPDATED } else { "" };
        format!(
            "
-- Generated by aftercommit; `aftercommit capture refresh` writes it again.
DECLARE
    image   pg_catalog.text;
    id      pg_catalog.text;
    problem pg_catalog.text;
    began   pg_catalog.record;{declared}
BEGIN{fast}
    -- The table was changed since this was generated, or an image can not be made.{slow}{bell}
    RETURN NULL;
END
",
            bell = self.bell(),
        )
    }

    /// A row that came or went, by what the catalog says now.
    fn slow_way(&self, row: &str, kind: &str) -> String {
        let schema = identifier(self.schema);
        let (names, key) = (text_array(self.chosen), text_array(Some(self.key)));
        format!(
            "
    BEGIN
        id := {schema}.observer_key(ROW({row}), TG_RELID, {key});
        IF coalesce({schema}.observer_size(ROW({row}), TG_RELID, {names}), 0) OPERATOR(pg_catalog.<) {MAX_ROW_BYTES} THEN
            image := {schema}.observer_image(ROW({row}), TG_RELID, {names});
        END IF;
        IF image IS NULL OR pg_catalog.octet_length(image) OPERATOR(pg_catalog.>) {MAX_IMAGE_BYTES} THEN
            problem := '{TOO_LARGE}';
            image := NULL;
        END IF;
    EXCEPTION WHEN OTHERS THEN
        problem := pg_catalog.left(SQLERRM, 1000);
        image := NULL;
    END;
    {insert}",
            insert = self.insert(&Inserted {
                problem: "problem",
                ..Inserted::new(&literal(kind), "id", "image", "NULL")
            }),
        )
    }

    /// A row that was updated, by what the catalog says now.
    fn slow_update(&self) -> String {
        let schema = identifier(self.schema);
        let (names, key) = (text_array(self.chosen), text_array(Some(self.key)));
        format!(
            "
    deletes := true;
    creates := true;
    BEGIN
        before := NULL;
        id := {schema}.observer_key(ROW(NEW), TG_RELID, {key});
        old_id := {schema}.observer_key(ROW(OLD), TG_RELID, {key});
        IF coalesce({schema}.observer_size(ROW(OLD), TG_RELID, {names}), 0) OPERATOR(pg_catalog.<) {MAX_ROW_BYTES}
            AND coalesce({schema}.observer_size(ROW(NEW), TG_RELID, {names}), 0) OPERATOR(pg_catalog.<) {MAX_ROW_BYTES}
        THEN
            before := {schema}.observer_image(ROW(OLD), TG_RELID, {names});
            image := {schema}.observer_image(ROW(NEW), TG_RELID, {names});
            IF image OPERATOR(pg_catalog.=) before THEN
                RETURN NULL;
            END IF;
        END IF;
        IF image IS NULL OR pg_catalog.octet_length(image) OPERATOR(pg_catalog.+) pg_catalog.octet_length(before) OPERATOR(pg_catalog.>) {MAX_IMAGE_BYTES} THEN
            problem := '{TOO_LARGE}';
            image := NULL;
            before := NULL;
        END IF;
    EXCEPTION WHEN OTHERS THEN
        problem := pg_catalog.left(SQLERRM, 1000);
        image := NULL;
        before := NULL;
    END;
    IF NOT coalesce(id OPERATOR(pg_catalog.=) old_id, id IS NULL AND old_id IS NULL) THEN{moved}
    END IF;
    {insert}",
            moved = self.moved(),
            insert = self.insert(&Inserted {
                problem: "problem",
                ..Inserted::new("'updated'", "id", "image", "before")
            }),
        )
    }

    fn bell(&self) -> String {
        bell(self.schema, self.notify)
    }

    /// A row that came or went.
    fn fast_way(&self, row: &Row, kind: &str) -> String {
        let wanted = self.predicate(kind).map_or_else(String::new, |predicate| {
            format!(
                "
                IF NOT ({predicate}) THEN
                    RETURN NULL;
                END IF;"
            )
        });
        let key = row.key.as_deref().unwrap_or("NULL");
        let bounded = row.bounded("image");
        // One expression where there is no condition: the server prepares each anew in every transaction.
        let image = if wanted.is_empty() {
            format!("image := CASE WHEN {} THEN {} END;{bounded}", row.good(), row.image)
        } else {
            format!(
                "IF {} THEN{wanted}
                image := {};{bounded}
            END IF;",
                row.good(),
                row.image
            )
        };
        format!(
            "
    BEGIN
        {image}
    EXCEPTION WHEN OTHERS THEN
        image := NULL;
    END;
    IF image IS NOT NULL THEN
        {insert}{bell}
        RETURN NULL;
    END IF;",
            insert = self.insert(&Inserted::new(&literal(kind), key, "image", "NULL")),
            bell = self.bell(),
        )
    }

    /// The two images of a row that was updated; nothing where they say the same.
    fn fast_update(&self) -> String {
        let Rows { new, old, loose_differ, loose_same, .. } = self.rows;
        let mut same = "
                IF image OPERATOR(pg_catalog.=) before THEN
                    RETURN NULL;
                END IF;"
            .to_owned();
        if let (Some(differ), Some(equal)) = (loose_differ, loose_same) {
            let rest = match (&new.strict_image, &old.strict_image) {
                (Some(new), Some(old)) => {
                    format!(" AND ({new})::pg_catalog.text OPERATOR(pg_catalog.=) ({old})::pg_catalog.text")
                }
                _ => String::new(),
            };
            // Values that are written differently and are the same number.
            let _ = write!(
                same,
                "
                IF ({differ}) AND {equal}{rest} THEN
                    RETURN NULL;
                END IF;"
            );
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
        format!(
            "
        BEGIN
            IF {new_good} AND {old_sizes} THEN
                id := {key};
                old_id := {old_key};{wanted}
                before := {old_image};
                image := {image};{same}{bounded}
            END IF;
        EXCEPTION WHEN OTHERS THEN
            image := NULL;
        END;
        IF image IS NOT NULL THEN
            IF NOT coalesce(id OPERATOR(pg_catalog.=) old_id, id IS NULL AND old_id IS NULL) THEN{moved}
            END IF;
            {insert}{bell}
            RETURN NULL;
        END IF;",
            new_good = new.good(),
            old_sizes = old.fits(),
            key = new.key.as_deref().unwrap_or("NULL"),
            old_key = old.key.as_deref().unwrap_or("NULL"),
            image = new.image,
            old_image = old.image,
            bounded = new.bounded("pg_catalog.concat(image, before)"),
            moved = self.moved(),
            insert = self.insert(&Inserted::new("'updated'", "id", "image", "before")),
            bell = self.bell(),
        )
    }

    /// An update that changes the key: the old entity is deleted, the new one created. What one statement deletes comes
    /// before what it creates, since a row can take the key that another one gives up.
    fn moved(&self) -> String {
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

    /// The next number.
    fn next(&self) -> String {
        let sequence = format!("{}.observer_events_seq", identifier(self.schema));
        format!("pg_catalog.nextval({}::pg_catalog.regclass)", literal(&sequence))
    }

    fn insert(&self, row: &Inserted<'_>) -> String {
        let schema = identifier(self.schema);
        let is_placed = self.is_ordered || row.is_placed;
        let (mut begin, mut place, mut seq, mut at) =
            (String::new(), self.next(), "0".to_owned(), "pg_catalog.clock_timestamp()".to_owned());
        if is_placed {
            if self.is_ordered {
                begin = format!(
                    "began := {schema}.observer_statement(pg_catalog.concat('aftercommit.statement_', pg_catalog.pg_trigger_depth()), ''::pg_catalog.text,
                {place}, pg_catalog.clock_timestamp());
            "
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

/// A row of the inbox, as SQL expressions.
#[derive(Clone, Copy)]
struct Inserted<'a> {
    kind: &'a str,
    id: &'a str,
    image: &'a str,
    before: &'a str,
    problem: &'a str,
    /// Whether it has the place of its statement.
    is_placed: bool,
    /// Whether it comes last in it.
    is_last: bool,
}

impl<'a> Inserted<'a> {
    const fn new(kind: &'a str, id: &'a str, image: &'a str, before: &'a str) -> Self {
        Self { kind, id, image, before, problem: "NULL", is_placed: false, is_last: false }
    }
}

impl Row {
    /// Whether its values can be read as they were when the function was made.
    fn good(&self) -> String {
        format!("{} AND {}", self.has_types, self.fits())
    }

    /// A look at the images of a row with values that may be stored compressed.
    fn bounded(&self, images: &str) -> String {
        if self.sizes.as_ref().is_some_and(|sizes| sizes.contains("pg_column_size")) {
            format!(
                "
                IF pg_catalog.octet_length({images}) OPERATOR(pg_catalog.>) {MAX_IMAGE_BYTES} THEN
                    image := NULL;
                END IF;"
            )
        } else {
            String::new()
        }
    }

    /// Whether it is not too large.
    fn fits(&self) -> String {
        self.sizes.as_ref().map_or_else(
            || "true".to_owned(),
            |sizes| format!("{sizes} OPERATOR(pg_catalog.<) {MAX_ROW_BYTES}"),
        )
    }
}

/// The settings that decide how some values are written.
pub(super) fn settings(names: &[String]) -> String {
    let clauses: Vec<_> = names
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
        .collect();
    clauses.concat()
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
