//! What is generated from a table's columns: expressions over the row after a change and the one before.

use super::super::{
    capture_table::Table,
    session::Session,
    statement::{Record, statements},
};
use crate::{Result, StoreError};

/// A row whose values have so many bytes has no image: its text might be longer than PostgreSQL allows.
pub(in crate::postgres) const MAX_ROW_BYTES: usize = 64 << 20;

/// Why such a row has none.
pub(in crate::postgres) const TOO_LARGE: &str = "the row has 64 MiB or more";

/// Images of more bytes do not fit into one row of the inbox. Those of a row that is small enough are smaller, but for what was stored
/// compressed.
pub(super) const MAX_IMAGE_BYTES: usize = 512 << 20;

statements! {
    /// What the function says of the chosen columns ($2) and those that its condition reads ($4), of the row after the
    /// change and of the one before. Two values of a loose type can have different texts and be the same: 1 and 1.00. To
    /// compare the type of a composite's field takes a search path: `(value).field` calls a function of that name where the
    /// type has lost the field.
    DESCRIBE_ROWS = "-- describe_rows
WITH columns AS MATERIALIZED (
    SELECT c.*, side, c.name = ANY ($2) AS is_chosen, c.name = ANY ($4) AS is_read
    FROM (VALUES ('new', 'NEW', 'OLD'), ('old', 'OLD', 'NEW')) AS v (side, \"row\", other)
         CROSS JOIN LATERAL observer_columns($1, v.row, v.other) AS c
    WHERE c.name = ANY ($2) OR c.name = ANY ($4)
)
SELECT side,
       string_agg(c.has_type, ' AND ' ORDER BY c.place) AS has_types,
       string_agg(c.size, ' OPERATOR(pg_catalog.+) ' ORDER BY c.place) AS sizes,
       string_agg(c.has_type, ' AND ' ORDER BY c.place) FILTER (WHERE is_read) AS read_has_types,
       string_agg(c.size, ' OPERATOR(pg_catalog.+) ' ORDER BY c.place) FILTER (WHERE is_read) AS read_sizes,
       observer_image_expression($1, upper(side), array_agg(c.name) FILTER (WHERE is_chosen)) AS image,
       observer_image_expression($1, upper(side), coalesce(array_agg(c.name) FILTER (WHERE is_chosen AND c.same IS NULL), '{}')) AS strict_image,
       observer_key_expression($1, upper(side), $3) AS key,
       string_agg(format('NEW.%1$I::pg_catalog.text OPERATOR(pg_catalog.<>) OLD.%1$I::pg_catalog.text', c.name), ' OR ' ORDER BY c.place)
           FILTER (WHERE is_chosen AND c.same IS NOT NULL) AS loose_differ,
       string_agg(c.same, ' AND ' ORDER BY c.place) FILTER (WHERE is_chosen) AS loose_same,
       ARRAY(SELECT DISTINCT s FROM columns AS g, unnest(g.settings) AS s
             WHERE g.is_chosen OR s = 'search_path' ORDER BY s) AS settings
FROM columns AS c
GROUP BY side
ORDER BY side";
}

/// Whether columns of a row can be read as they could when the function was made.
#[derive(Clone, Debug)]
pub(super) struct Guard {
    pub(super) has_types: Option<String>,
    /// Of their values that can be large.
    pub(super) sizes: Option<String>,
}

impl Guard {
    pub(super) fn holds(&self) -> String {
        match &self.has_types {
            Some(has_types) => format!("{has_types} AND {}", self.fits()),
            None => "true".to_owned(),
        }
    }

    /// Whether they are not too large.
    pub(super) fn fits(&self) -> String {
        self.sizes.as_ref().map_or_else(
            || "true".to_owned(),
            |sizes| format!("{sizes} OPERATOR(pg_catalog.<) {MAX_ROW_BYTES}"),
        )
    }
}

/// Expressions over one of the two rows.
#[derive(Clone, Debug)]
pub(super) struct Row {
    /// Of all columns that the function reads.
    pub(super) guard: Guard,
    /// Of those that its condition reads.
    pub(super) read: Guard,
    pub(super) image: String,
    pub(super) strict_image: Option<String>,
    pub(super) key: Option<String>,
}

impl Row {
    /// A look at the images of a row with values that may be stored compressed.
    pub(super) fn bounded(&self, images: &str) -> String {
        if self.guard.sizes.as_ref().is_some_and(|sizes| sizes.contains("pg_column_size")) {
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
}

/// All that is generated from a table's columns.
#[derive(Clone, Debug)]
pub(in crate::postgres) struct Rows {
    pub(super) new: Row,
    pub(super) old: Row,
    pub(super) loose_differ: Option<String>,
    pub(super) loose_same: Option<String>,
    pub(super) settings: Vec<String>,
}

impl Rows {
    /// Of these columns, with this key. `read`: columns that a condition reads.
    pub(in crate::postgres) async fn describe(
        session: &mut Session<'_>,
        table: &Table,
        (columns, read): (&[String], &[String]),
        key: &[String],
    ) -> Result<Self> {
        let call = DESCRIBE_ROWS.call().bind(table.oid).bind(columns).bind(key).bind(read);
        let records = call.all(session).await?;
        let [new, old] = &records[..] else {
            return Err(StoreError::Refused(format!("the table `{}` is gone", table.relation.shown)));
        };
        let row = |record: &Record| {
            Ok::<_, StoreError>(Row {
                guard: Guard { has_types: record.get("has_types")?, sizes: record.get("sizes")? },
                read: Guard { has_types: record.get("read_has_types")?, sizes: record.get("read_sizes")? },
                image: record.get::<Option<String>>("image")?.unwrap_or_default(),
                strict_image: record.get("strict_image")?,
                key: record.get("key")?,
            })
        };
        Ok(Self {
            loose_differ: new.get("loose_differ")?,
            loose_same: new.get("loose_same")?,
            settings: new.get("settings")?,
            new: row(new)?,
            old: row(old)?,
        })
    }
    /// Has the function set these as well.
    pub(in crate::postgres) fn set(&mut self, settings: &[&str]) {
        self.settings.extend(settings.iter().map(|&setting| setting.to_owned()));
        self.settings.sort_unstable();
        self.settings.dedup();
    }
}
