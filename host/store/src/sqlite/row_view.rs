//! The views to which the triggers of captured tables write their rows, and the triggers of these views, which make the images.
//!
//! Each connection of the application parses all triggers when it opens, and an image takes a long expression. So it is
//! there once for all tables of about the same number of columns: a view has a width, and a row with fewer columns
//! ends in nulls.

use super::row_json;

/// The most columns that can be captured: a view has four more, and SQLite's limit is 2000.
pub(super) const MAX_COLUMNS: usize = 1990;

/// Few, because each costs as much as two tables, and close enough that rows end in few nulls.
const WIDTHS: [usize; 17] =
    [8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 998, 1280, 1600, MAX_COLUMNS];

/// The most columns of which a view can take the row before and after an update at once.
const MAX_PAIRED: usize = 998;

/// What the names of these views and triggers begin with.
const PREFIXES: [&str; 2] = ["observer_row_", "observer_update_"];

/// Where the triggers of a captured table write its rows.
#[derive(Clone, Copy)]
pub(super) struct RowView {
    columns: usize,
    width: usize,
}

/// Whether it is the name of such a view or of a trigger of one: several captures can share it.
pub(super) fn is_shared(name: &str) -> bool {
    PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

impl RowView {
    /// The narrowest that takes so many columns.
    pub(super) fn of(columns: usize) -> Self {
        let width = WIDTHS.into_iter().find(|width| *width >= columns).unwrap_or(columns);
        Self { columns, width }
    }

    /// The view that takes (kind, entity type, names, key, values ..). Without a kind: it is the row before an update, whose
    /// other row comes next.
    pub(super) fn rows(self) -> String {
        format!("observer_row_{}", self.width)
    }

    /// The view that takes (entity type, names, key before, key, values before .., values ..) of an update, and makes nothing
    /// of one that changed no value; `None` if there are too many columns for it.
    pub(super) fn updates(self) -> Option<String> {
        (self.columns <= MAX_PAIRED).then(|| format!("observer_update_{}", self.width))
    }

    /// The expressions of a row's values, as many as the view takes.
    pub(super) fn padded(self, values: &[String]) -> String {
        format!("{}{}", values.join(","), ",NULL".repeat(self.width - self.columns))
    }

    /// The columns of [`rows`](Self::rows) to which a row's values are written.
    pub(super) fn value_columns(self) -> String {
        names("c", "", self.columns).join(",")
    }

    /// The views and their triggers in the order in which they are made, (name, text) each.
    pub(super) fn texts(self) -> Vec<(String, String)> {
        let rows = self.rows();
        let (old, new) = (names("o", "", self.width), names("c", "", self.width));
        let image = row_json::image("NEW.names", &names("c", "NEW.", self.width));
        let write = format!("INSERT INTO observer_image VALUES(NEW.kind,NEW.entity_type,NEW.key,{image});");
        let mut texts =
            vec![view(&rows, ["kind", "entity_type", "names", "key"], &[&new]), trigger(&rows, &write)];
        if let Some(updates) = self.updates() {
            texts.push(view(&updates, ["entity_type", "names", "old_key", "key"], &[&old, &new]));
            texts.push(trigger(&updates, &self.update()));
        }
        texts
    }

    /// What becomes of an update. If no value changed, its place is removed: left there, it would be taken for that of the
    /// statement around this one.
    fn update(self) -> String {
        let (old, new) = (names("o", "NEW.", self.width).join(","), names("c", "NEW.", self.width).join(","));
        let rows = self.rows();
        format!(
            "DELETE FROM observer_inbox WHERE ({old}) IS ({new}) AND seq=(SELECT seq FROM observer_inbox \
             WHERE seq>=(SELECT us FROM observer_now) AND pending IN('updated','updated late') \
             AND entity_type=NEW.entity_type ORDER BY seq DESC LIMIT 1);\n\
             SELECT RAISE(IGNORE) WHERE changes();\n\
             INSERT INTO {rows} VALUES(NULL,NEW.entity_type,NEW.names,NEW.old_key,{old});\n\
             INSERT INTO {rows} VALUES('updated',NEW.entity_type,NEW.names,NEW.key,{new});"
        )
    }
}

fn names(letter: &str, before: &str, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{before}{letter}{n}")).collect()
}

/// Nobody reads it: what it selects only names its columns.
fn view(name: &str, fixed: [&str; 4], values: &[&[String]]) -> (String, String) {
    let values = values.iter().flat_map(|values| values.iter().map(String::as_str));
    let columns: Vec<_> = fixed.into_iter().chain(values).map(|column| format!("0 AS {column}")).collect();
    (name.to_owned(), format!("CREATE VIEW {name} AS SELECT {}", columns.join(",")))
}

fn trigger(view: &str, body: &str) -> (String, String) {
    let name = format!("{view}_write");
    let text = format!("CREATE TRIGGER {name} INSTEAD OF INSERT ON {view} BEGIN\n{body}\nEND");
    (name, text)
}
