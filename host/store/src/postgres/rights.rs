//! Rights that a role lacks, as the statements that give them.

use super::{
    capture_table::Table,
    capture_trigger::PresentTrigger,
    connection::Connections,
    session::Session,
    statement::{Record, statements},
};
use crate::{Result, StoreError};

statements! {
    /// What there is of our schema, and what the role is to it. Everyone can read the catalogs.
    OUR_RIGHTS = "-- our_rights
SELECT quote_ident(current_user) AS role, quote_ident(current_database()) AS database, quote_ident($1) AS schema,
       n.oid IS NOT NULL AS has_schema, quote_ident(r.rolname) AS owner, r.rolsuper AS owner_is_superuser,
       coalesce(pg_has_role(c.relowner, 'USAGE'), false) AS is_owner
FROM (SELECT 1) AS one
     LEFT JOIN pg_namespace AS n ON n.nspname = $1
     LEFT JOIN pg_class AS c ON c.relnamespace = n.oid AND c.relname = 'observer_migrations'
     LEFT JOIN pg_roles AS r ON r.oid = c.relowner";
    /// Of what it takes to capture a table and its parts, what the role has not. The triggers run with its rights.
    MISSING_TO_CAPTURE = "-- missing_to_capture
WITH RECURSIVE tree (oid) AS (
    SELECT $1::oid UNION SELECT i.inhrelid FROM tree JOIN pg_inherits AS i ON i.inhparent = tree.oid
)
SELECT DISTINCT format('GRANT %s TO %I', needed.grant_of, current_user) AS grant_of
FROM (
    SELECT format('USAGE ON SCHEMA %I', nspname), has_schema_privilege(oid, 'USAGE')
    FROM pg_namespace WHERE oid = (SELECT relnamespace FROM pg_class WHERE oid = $1)
    UNION ALL
    SELECT format('USAGE, CREATE ON SCHEMA %I', nspname),
           has_schema_privilege(oid, 'USAGE') AND has_schema_privilege(oid, 'CREATE')
    FROM pg_namespace WHERE nspname = $2
    UNION ALL
    SELECT format('%s ON %I.%I', g.privileges, $2, c.relname),
           (SELECT bool_and(has_table_privilege(c.oid, p)) FROM unnest(string_to_array(g.privileges, ', ')) AS p)
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
         JOIN (VALUES ('observer_captures', 'SELECT, INSERT, UPDATE, DELETE'), ('observer_inbox', 'INSERT'))
             AS g (relation, privileges) ON g.relation = c.relname
    WHERE n.nspname = $2
    UNION ALL
    SELECT format('USAGE ON SEQUENCE %I.%I', $2, c.relname), has_sequence_privilege(c.oid, 'USAGE')
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname = $2 AND c.relname = 'observer_events_seq'
    UNION ALL
    SELECT format('TRIGGER ON %I.%I', n.nspname, c.relname), has_table_privilege(c.oid, 'TRIGGER')
    FROM tree JOIN pg_class AS c USING (oid) JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p')
) AS needed (grant_of, has_it)
WHERE NOT needed.has_it
ORDER BY 1";
    /// To end a trigger takes to own its table.
    MISSING_TO_DROP = "-- missing_to_drop
SELECT CASE WHEN r.rolsuper THEN format('ALTER TABLE %I.%I OWNER TO %I', n.nspname, c.relname, current_user)
            ELSE format('GRANT %I TO %I', r.rolname, current_user) END AS grant_of
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace JOIN pg_roles AS r ON r.oid = c.relowner
WHERE n.nspname = $1 AND c.relname = $2 AND NOT pg_has_role(c.relowner, 'USAGE')";
}

/// Refuses to capture a table for a role that may not; nothing was done yet.
pub(super) async fn to_capture(session: &mut Session<'_>, table: &Table, schema: &str) -> Result<()> {
    let missing = MISSING_TO_CAPTURE.call().bind(table.oid).bind(schema.to_owned());
    refuse("capture", &table.relation.shown, &missing.all(session).await?)
}

/// Refuses to drop a trigger for a role that may not.
pub(super) async fn to_drop(session: &mut Session<'_>, trigger: &PresentTrigger) -> Result<()> {
    let missing = MISSING_TO_DROP.call().bind(trigger.schema.clone()).bind(trigger.table.clone());
    refuse("end a capture of", &trigger.shown, &missing.all(session).await?)
}

fn refuse(what: &str, table: &str, missing: &[Record]) -> Result<()> {
    if missing.is_empty() {
        return Ok(());
    }
    let grants = missing.iter().map(|record| record.get("grant_of")).collect::<Result<Vec<&str>>>()?;
    Err(StoreError::Forbidden {
        why: format!("the role of the database URL may not {what} the table `{table}`"),
        grant: Some(grants.join("; ")),
    })
}

impl Connections {
    /// Adds to an error for want of rights in our own schema the statement that gives them.
    pub(super) async fn explained<T>(&self, result: Result<T>) -> Result<T> {
        match result {
            Err(StoreError::Forbidden { why, grant: None }) => {
                // If not even this can be read, the error stands as it is.
                let grant = self.missing_grant().await.ok().flatten();
                Err(StoreError::Forbidden { why, grant })
            }
            other => other,
        }
    }

    async fn missing_grant(&self) -> Result<Option<String>> {
        let mut session = self.read().await?;
        let Some(record) = OUR_RIGHTS.call().bind(self.schema().to_owned()).optional(&mut session).await?
        else {
            return Ok(None);
        };
        let text = |column: &str| record.get::<&str>(column);
        let (role, schema) = (text("role")?, text("schema")?);
        let Some(owner) = record.get::<Option<&str>>("owner")? else {
            return Ok(Some(if record.get("has_schema")? {
                format!("GRANT USAGE, CREATE ON SCHEMA {schema} TO {role}")
            } else {
                format!("GRANT CREATE ON DATABASE {} TO {role}", text("database")?)
            }));
        };
        if record.get("is_owner")? {
            return Ok(None);
        }
        // The rights of a superuser are not what a host should have.
        Ok(Some(if record.get("owner_is_superuser")? {
            format!(
                "GRANT USAGE ON SCHEMA {schema} TO {role}; GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA \
                 {schema} TO {role}; GRANT USAGE ON ALL SEQUENCES IN SCHEMA {schema} TO {role}"
            )
        } else {
            format!("GRANT {owner} TO {role}")
        }))
    }
}
