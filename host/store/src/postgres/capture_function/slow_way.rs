//! The way of a row whose table was changed since its functions were generated, or of which an image can not be made: what it
//! is made of is looked up in the catalogs.

use aftercommit_core::EventKind;

use super::{
    super::{
        connection::identifier,
        predicate::Predicates,
        sql_text::{literal, text_array},
    },
    inbox::{Inbox, Inserted},
    rows::{MAX_IMAGE_BYTES, MAX_ROW_BYTES, Row, Rows, TOO_LARGE},
    wanted,
};

/// What it knows of the capture beside the inbox.
pub(super) struct SlowWay<'a> {
    pub(super) key: &'a [String],
    /// Chosen columns; `None` for all, also those that come later.
    pub(super) chosen: Option<&'a [String]>,
    pub(super) predicates: Option<&'a Predicates>,
}

impl SlowWay<'_> {
    /// A row that came or went, by what the catalog says now.
    pub(super) fn of_row(
        &self,
        inbox: &Inbox<'_>,
        (row, described): (&str, &Row),
        kind: EventKind,
    ) -> String {
        let schema = identifier(inbox.schema);
        let (names, key) = (text_array(self.chosen), text_array(Some(self.key)));
        format!(
            "{wanted}
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
            wanted = wanted::slowly(&described.read.holds(), &wanted::of_row(self.predicates, kind), "NULL;"),
            insert = inbox.insert(&Inserted {
                problem: "problem",
                ..Inserted::new(&literal(kind.as_str()), "id", "image", "NULL")
            }),
        )
    }

    /// A row that was updated, by what the catalog says now.
    pub(super) fn of_update(&self, inbox: &Inbox<'_>, rows: &Rows) -> String {
        let Rows { new, old, .. } = rows;
        let schema = identifier(inbox.schema);
        let (names, key) = (text_array(self.chosen), text_array(Some(self.key)));
        format!(
            "
    deletes := true;
    creates := true;
    BEGIN
        before := NULL;
        id := {schema}.observer_key(ROW(NEW), TG_RELID, {key});
        old_id := {schema}.observer_key(ROW(OLD), TG_RELID, {key});{wanted}
        IF coalesce({schema}.observer_size(ROW(OLD), TG_RELID, {names}), 0) OPERATOR(pg_catalog.<) {MAX_ROW_BYTES}
            AND coalesce({schema}.observer_size(ROW(NEW), TG_RELID, {names}), 0) OPERATOR(pg_catalog.<) {MAX_ROW_BYTES}
        THEN
            before := {schema}.observer_image(ROW(OLD), TG_RELID, {names});
            image := {schema}.observer_image(ROW(NEW), TG_RELID, {names});
            IF image OPERATOR(pg_catalog.=) before THEN
                RETURN NULL;
            END IF;
            -- Values that are written differently and are the same number.
            SELECT pg_catalog.string_agg(c.same, ' AND '::pg_catalog.text ORDER BY c.place), pg_catalog.array_agg(c.name) FILTER (WHERE c.same IS NULL)
                INTO same, rest
                FROM {schema}.observer_columns(TG_RELID, '$1'::pg_catalog.text, '$2'::pg_catalog.text) AS c
                WHERE {names} IS NULL OR c.name OPERATOR(pg_catalog.=) ANY ({names});
            IF same IS NOT NULL THEN
                EXECUTE pg_catalog.concat('SELECT ', same) INTO is_same USING NEW, OLD;
                rest := coalesce(rest, '{{}}'::pg_catalog.text[]);
                IF is_same AND {schema}.observer_image(ROW(NEW), TG_RELID, rest)
                    OPERATOR(pg_catalog.=) {schema}.observer_image(ROW(OLD), TG_RELID, rest)
                THEN
                    RETURN NULL;
                END IF;
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
            wanted = wanted::slowly(
                &format!("{} AND {}", new.read.holds(), old.read.fits()),
                &wanted::of_update(self.predicates),
                "creates := true;
                deletes := true;",
            ),
            moved = inbox.moved(),
            insert = inbox.insert(&Inserted {
                problem: "problem",
                ..Inserted::new("'updated'", "id", "image", "before")
            }),
        )
    }
}
