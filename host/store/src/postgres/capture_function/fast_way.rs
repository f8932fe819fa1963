//! The way of a row whose table is as it was when its functions were generated.

use std::fmt::Write as _;

use aftercommit_core::EventKind;

use super::{
    super::{predicate::Predicates, sql_text::literal},
    inbox::{Inbox, Inserted},
    rows::{Row, Rows},
    wanted,
};

/// A row that came or went.
pub(super) fn of_row(
    inbox: &Inbox<'_>,
    row: &Row,
    predicates: Option<&Predicates>,
    kind: EventKind,
) -> String {
    let wanted = wanted::of_row(predicates, kind);
    let key = row.key.as_deref().unwrap_or("NULL");
    let bounded = row.bounded("image");
    // One expression where there is no condition: the server prepares each anew in every transaction.
    let image = if wanted.is_empty() {
        format!("image := CASE WHEN {} THEN {} END;{bounded}", row.guard.holds(), row.image)
    } else {
        format!(
            "IF {} THEN{wanted}
            image := {};{bounded}
        END IF;",
            row.guard.holds(),
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
        insert = inbox.insert(&Inserted::new(&literal(kind.as_str()), key, "image", "NULL")),
        bell = inbox.bell(),
    )
}

/// The two images of a row that was updated; nothing where they say the same.
pub(super) fn of_update(inbox: &Inbox<'_>, rows: &Rows, predicates: Option<&Predicates>) -> String {
    let Rows { new, old, loose_differ, loose_same, .. } = rows;
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
        new_good = new.guard.holds(),
        old_sizes = old.guard.fits(),
        wanted = wanted::of_update(predicates),
        key = new.key.as_deref().unwrap_or("NULL"),
        old_key = old.key.as_deref().unwrap_or("NULL"),
        image = new.image,
        old_image = old.image,
        bounded = new.bounded("pg_catalog.concat(image, before)"),
        moved = inbox.moved(),
        insert = inbox.insert(&Inserted::new("'updated'", "id", "image", "before")),
        bell = inbox.bell(),
    )
}
