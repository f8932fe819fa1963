//! What the catalogs show of changes whose events come in another order than the changes.

use super::{capture_table::Table, session::Session, statement::statements};
use crate::{Capture, Result};

statements! {
    /// Triggers that run before a row is changed, and write to the table themselves. Only what their functions say is seen: texts
    /// and comments are taken out before, since most compare `TG_OP` with 'UPDATE'.
    EARLY_WRITERS = r#"-- early_writers
WITH RECURSIVE tree (oid) AS (
    SELECT $1::oid UNION SELECT i.inhrelid FROM tree JOIN pg_inherits AS i ON i.inhparent = tree.oid
)
SELECT DISTINCT t.tgname AS name
FROM tree JOIN pg_trigger AS t ON t.tgrelid = tree.oid JOIN pg_proc AS p ON p.oid = t.tgfoid
     CROSS JOIN (SELECT regexp_replace(relname, '(\W)', '\\\1', 'g') AS pattern FROM pg_class WHERE oid = $1) AS c
WHERE t.tgtype & 3 = 3 AND NOT t.tgisinternal AND t.tgenabled <> 'D'
  AND regexp_replace(p.prosrc, '''[^'']*''|--[^\n]*|/\*.*?\*/', ' ', 'g')
      ~* ('\m(update(\s+only)?|insert\s+into|delete\s+from(\s+only)?|merge\s+into(\s+only)?)\s+(("[^"]+"|\w+)\s*\.\s*)?"?' || c.pattern || '"?(?!\w)')
ORDER BY 1"#;
    /// Whether the columns of the key can have the same values in two rows until a transaction ends.
    IS_DEFERRABLE = "-- is_deferrable
SELECT EXISTS (
    SELECT 1 FROM pg_index AS i JOIN pg_constraint AS c ON c.conindid = i.indexrelid
    WHERE i.indrelid = $1 AND c.conrelid = $1 AND c.contype IN ('p', 'u') AND c.condeferrable
      AND (SELECT array_agg(a.attname::text ORDER BY a.attname) FROM pg_attribute AS a WHERE a.attrelid = $1 AND a.attnum = ANY (i.indkey))
          = (SELECT array_agg(k ORDER BY k::name) FROM unnest($2::text[]) AS k)
)";
}

/// Warns of what can be seen before a change is made.
pub(super) async fn warn(session: &mut Session<'_>, table: &Table, key: &[String]) -> Result<()> {
    for reason in reasons(session, table, key).await? {
        tracing::warn!(table = table.relation.shown, "{reason}");
    }
    Ok(())
}

/// The same of a table that is captured: triggers come and go.
pub(super) async fn of_capture(session: &mut Session<'_>, capture: &Capture) -> Result<Vec<String>> {
    // Rows only come into a change log, each an event of its own.
    if capture.change_log.is_some() {
        return Ok(Vec::new());
    }
    match Table::find(session, &capture.table).await? {
        Some(table) => reasons(session, &table, &capture.key).await,
        None => Ok(Vec::new()),
    }
}

async fn reasons(session: &mut Session<'_>, table: &Table, key: &[String]) -> Result<Vec<String>> {
    let mut reasons = Vec::new();
    for record in EARLY_WRITERS.call().bind(table.oid).all(session).await? {
        let name: &str = record.get("name")?;
        reasons.push(format!(
            "the trigger {name} runs before a row is changed and writes to the same table: where it changes another row that the \
             statement changes too, its change comes first; let it run AFTER the change"
        ));
    }
    if IS_DEFERRABLE.call().bind(table.oid).bind(key).value(session).await? {
        reasons.push(
            "the key is deferrable, so that two rows can have it until a transaction ends: where the old row is deleted after the \
             new one was inserted, the last event of the entity is its deletion; delete the old row first"
                .to_owned(),
        );
    }
    Ok(reasons)
}
