//! Adds, refreshes, lists and removes captures.

use std::collections::BTreeMap;

use aftercommit_core::Timestamp;
use async_trait::async_trait;

use super::{
    PostgresStore, capture_drift,
    capture_function::{CaptureFunction, Rows},
    capture_table::Table,
    capture_trigger, change_log,
    change_log_function::ChangeLogFunction,
    connection::{Sync, identifier},
    function_name::{self, Verb},
    predicate, rights,
    session::Session,
    statement::{Record, statements},
};
use crate::{
    Capture, CaptureRequest, CaptureStatus, Captures, ChangeLogField, ChangeLogRequest, Result, Selection,
    StoreError,
    captures::{EVERY_TYPE, refuse_name},
    readable::readable,
    row::Row as _,
};

statements! {
    /// To change triggers needs a moment without writers of the table. While it is waited for, new writers wait too.
    WAIT_SHORTLY = "-- wait_shortly
SET LOCAL lock_timeout TO '5s'";
    /// Two that add captures at the same time would not see each other's entity types.
    LOCK_CAPTURES = "-- lock_captures
LOCK TABLE observer_captures IN SHARE ROW EXCLUSIVE MODE";
    LIST_CAPTURES = "-- list_captures
SELECT table_name, entity_type, key, columns, selection::text AS selection, condition, change_log::text AS change_log,
       notify, function, source, is_tenant, created_at
FROM observer_captures
ORDER BY table_name COLLATE \"C\"";
    PUT_CAPTURE = "-- put_capture
INSERT INTO observer_captures (table_name, entity_type, key, columns, selection, condition, change_log, notify, function,
                               source, is_tenant, triggers, created_at)
VALUES ($1, $2, $3, $4, $5::text::json, $6, $7::text::json, $8, $9::text, (
            SELECT string_agg(pg_get_functiondef(oid), '' ORDER BY proname) FROM pg_proc
            WHERE proname IN ($9::text || '_insert', $9::text || '_update', $9::text || '_delete')
              AND pronamespace = to_regnamespace(quote_ident(current_schema()))
        ), $10, '{}', $11)
ON CONFLICT (table_name) DO UPDATE
SET entity_type = excluded.entity_type, key = excluded.key, columns = excluded.columns, selection = excluded.selection,
    condition = excluded.condition, change_log = excluded.change_log, notify = excluded.notify,
    function = excluded.function, source = excluded.source, is_tenant = excluded.is_tenant,
    triggers = excluded.triggers, created_at = excluded.created_at";
    /// Whether the functions have these texts. A statement that makes one has its text as a literal at its end.
    ARE_FUNCTIONS = "-- are_functions
SELECT count(*) = cardinality($2::text[])
FROM pg_proc AS p JOIN unnest($2::text[]) AS statement ON right(statement, length(quote_literal(p.prosrc))) = quote_literal(p.prosrc)
WHERE p.proname IN ($1 || '_insert', $1 || '_update', $1 || '_delete')
  AND p.pronamespace = to_regnamespace(quote_ident(current_schema()))";
    DELETE_CAPTURE = "-- delete_capture
DELETE FROM observer_captures WHERE table_name = $1";
    /// What makes a capture less safe, or commits fail, and is decided by others.
    SURROUNDINGS = "-- surroundings
SELECT current_setting('max_prepared_transactions')::integer > 0 AS prepares,
       EXISTS (SELECT 1 FROM aclexplode((SELECT coalesce(nspacl, acldefault('n', nspowner)) FROM pg_namespace
                                         WHERE nspname = current_schema())) AS a
               WHERE a.privilege_type = 'CREATE'
                 AND NOT (a.grantee <> 0 AND pg_has_role(current_user, a.grantee, 'MEMBER'))
                 AND a.grantee <> (SELECT nspowner FROM pg_namespace WHERE nspname = current_schema())) AS is_writable";
}

/// A capture, and what was made for it.
pub(super) struct Written {
    pub(super) capture: Capture,
    /// The function behind its triggers; `None` for a capture of an earlier version.
    pub(super) function: Option<String>,
    /// The function's text.
    pub(super) source: Option<String>,
    /// Whether its schema is the tenant of its events.
    pub(super) is_tenant: bool,
}

impl Written {
    /// The first argument of triggers of earlier versions.
    pub(super) fn first_argument(&self) -> &str {
        match self.capture.change_log {
            None => &self.capture.entity_type,
            Some(_) => &self.capture.table,
        }
    }
}

#[async_trait]
impl Captures for PostgresStore {
    async fn add_capture(&self, request: CaptureRequest, now: Timestamp) -> Result<Capture> {
        let connections = &self.inner.connections;
        let (schema, request) = (connections.schema(), &request);
        connections
            .write("add_capture", Sync::Now, |session| Box::pin(add(session, schema, request, now)))
            .await
    }

    async fn add_change_log(&self, request: ChangeLogRequest, now: Timestamp) -> Result<Capture> {
        let connections = &self.inner.connections;
        let (schema, request) = (connections.schema(), &request);
        connections
            .write("add_change_log", Sync::Now, |session| Box::pin(add_log(session, schema, request, now)))
            .await
    }

    async fn captures(&self) -> Result<Vec<CaptureStatus>> {
        let mut moment = self.inner.connections.read_transaction().await?;
        let schema = self.inner.connections.schema();
        let mut statuses = Vec::new();
        for written in list(&mut moment).await? {
            let drift = capture_drift::drift(&mut moment, schema, &written).await?;
            statuses.push(CaptureStatus { capture: written.capture, drift });
        }
        Ok(statuses)
    }

    async fn refresh_capture(&self, table: &str, now: Timestamp) -> Result<Capture> {
        let connections = &self.inner.connections;
        let schema = connections.schema();
        connections
            .write("refresh_capture", Sync::Now, |session| Box::pin(refresh(session, schema, table, now)))
            .await
    }

    async fn remove_capture(&self, table: &str) -> Result<()> {
        let schema = self.inner.connections.schema();
        self.inner
            .connections
            .write("remove_capture", Sync::Now, |session| Box::pin(remove(session, schema, table)))
            .await
    }
}

async fn add(
    session: &mut Session<'_>,
    schema: &str,
    request: &CaptureRequest,
    now: Timestamp,
) -> Result<Capture> {
    let table = Table::capturable(session, &request.table).await?;
    rights::to_capture(session, &table, schema).await?;
    lock(session).await?;
    refuse_name(&request.entity_type)?;
    let name = table.relation.shown.clone();
    let mut written = list(session).await?;
    let earlier =
        written.iter().position(|written| written.capture.table == name).map(|n| written.swap_remove(n));
    if let Some(Written { capture, .. }) = &earlier {
        if capture.change_log.is_some() {
            return Err(captured_otherwise(&name, "a change log"));
        }
        if capture.entity_type != request.entity_type && !request.rename {
            return Err(StoreError::Refused(format!(
                "the table `{name}` is captured as `{}`; give it the name `{}` with `--rename`",
                capture.entity_type, request.entity_type
            )));
        }
    }
    let siblings = siblings(&table, &request.entity_type, written)?;
    let key = table.key(&request.key)?;
    table.chosen(&request.selection, &key)?;
    warn_of_surroundings(session, &name, request.notify).await?;
    let capture = Capture {
        table: name,
        entity_type: request.entity_type.clone(),
        key,
        columns: Vec::new(),
        selection: request.selection.clone(),
        condition: request.condition.clone(),
        change_log: None,
        notify: request.notify,
        created_at: now,
    };
    // The same table in several schemas: events of each say which.
    let is_tenant = !siblings.is_empty();
    for sibling in siblings.into_iter().filter(|sibling| !sibling.is_tenant) {
        let Some(table) = Table::find(session, &sibling.capture.table).await? else { continue };
        write(session, schema, &table, sibling.capture.clone(), Some(&sibling), true).await?;
    }
    write(session, schema, &table, capture, earlier.as_ref(), is_tenant).await
}

/// The captures of the same table in other schemas; refused if another table has the entity type.
fn siblings(table: &Table, entity_type: &str, written: Vec<Written>) -> Result<Vec<Written>> {
    let bare = |shown: &str| shown.rsplit_once('.').map_or(shown.to_owned(), |(_, name)| name.to_owned());
    let same: Vec<Written> =
        written.into_iter().filter(|written| written.capture.entity_type == entity_type).collect();
    match same.iter().find(|written| bare(&written.capture.table) != table.relation.name) {
        Some(Written { capture, .. }) => Err(StoreError::Refused(format!(
            "the entity type `{entity_type}` is taken by the table `{0}`; choose another name, or end that capture with \
             `aftercommit capture remove {0}`",
            capture.table
        ))),
        None => Ok(same),
    }
}

async fn add_log(
    session: &mut Session<'_>,
    schema: &str,
    request: &ChangeLogRequest,
    now: Timestamp,
) -> Result<Capture> {
    let table = Table::capturable(session, &request.table).await?;
    rights::to_capture(session, &table, schema).await?;
    lock(session).await?;
    let fields = change_log::fields(session, &table, &request.columns).await?;
    let name = table.relation.shown.clone();
    let written = list(session).await?;
    let earlier = written.into_iter().find(|written| written.capture.table == name);
    if let Some(Written { capture, .. }) = &earlier
        && capture.change_log.is_none()
    {
        return Err(captured_otherwise(&name, &format!("`{}`", capture.entity_type)));
    }
    warn_of_surroundings(session, &name, request.notify).await?;
    let capture = Capture {
        table: name,
        entity_type: EVERY_TYPE.to_owned(),
        key: Vec::new(),
        columns: fields.values().cloned().collect(),
        selection: Selection::All,
        condition: None,
        change_log: Some(fields),
        notify: request.notify,
        created_at: now,
    };
    write(session, schema, &table, capture, earlier.as_ref(), false).await
}

/// Writes what captures a table again, as it was captured.
pub(super) async fn refresh(
    session: &mut Session<'_>,
    schema: &str,
    table: &str,
    now: Timestamp,
) -> Result<Capture> {
    lock(session).await?;
    let written = find(list(session).await?, table)?;
    let Some(table) = Table::find(session, &written.capture.table).await? else {
        return Err(StoreError::Refused(format!(
            "the table `{0}` is gone; end its capture with `aftercommit capture remove {0}`",
            written.capture.table
        )));
    };
    rights::to_capture(session, &table, schema).await?;
    refuse_renamed(&table, &written.capture)?;
    let capture = Capture { created_at: now, ..written.capture.clone() };
    let is_tenant = written.is_tenant;
    write(session, schema, &table, capture, Some(&written), is_tenant).await
}

/// A column that is left out may have another name now: what could be it is not taken for a new column.
fn refuse_renamed(table: &Table, capture: &Capture) -> Result<()> {
    let Selection::Exclude(named) = &capture.selection else { return Ok(()) };
    let is_new = |column: &&String| !capture.columns.contains(column) && !named.contains(column);
    let new: Vec<&str> = table.columns.iter().filter(is_new).map(String::as_str).collect();
    match named.iter().find(|name| !table.has(name)) {
        Some(gone) if !new.is_empty() => Err(StoreError::Refused(format!(
            "the column `{gone}` of `{0}` that events leave out is gone, and there are new ones, which may be it: {1}; say again what to \
             leave out: `aftercommit capture add {0} --entity {2} --exclude COLUMN,..`",
            capture.table,
            new.join(", "),
            capture.entity_type
        ))),
        _ => Ok(()),
    }
}

/// Makes the function and the triggers of a capture, and writes it down.
async fn write(
    session: &mut Session<'_>,
    schema: &str,
    table: &Table,
    mut capture: Capture,
    earlier: Option<&Written>,
    is_tenant: bool,
) -> Result<Capture> {
    let function = function_name::name_for(&table.relation);
    if let Some(name) = capture.key.iter().find(|name| capture.change_log.is_none() && !table.has(name)) {
        return Err(StoreError::Refused(format!(
            "the table `{0}` has no column `{name}` any more, which is part of the key of its events; say which columns name \
             a row: `aftercommit capture add {0} --entity {1} --key COLUMN,..`",
            capture.table, capture.entity_type
        )));
    }
    if !table.virtual_columns.is_empty() {
        tracing::warn!(
            table = capture.table,
            columns = table.virtual_columns.join(", "),
            "columns that are computed when they are read are not captured: triggers do not see them"
        );
    }
    let changing = table.changing_triggers(session).await?;
    let is_ordered = capture.change_log.is_none() && !changing.is_empty();
    if let Some(first) = changing.iter().find(|trigger| trigger.is_first) {
        tracing::warn!(
            table = capture.table,
            trigger = first.name,
            "a trigger whose name sorts before ours runs first: what it changes is told before the row's own change"
        );
    }
    if capture.change_log.is_none() {
        capture.columns = chosen_now(table, &capture)?;
    }
    for statement in generated(session, schema, &function, table, &capture, (is_ordered, is_tenant)).await? {
        session.run("create_function", &statement).await?;
    }
    // Whoever could make a trigger with one could make events.
    let verbs = if capture.change_log.is_some() { &Verb::ALL[..1] } else { &Verb::ALL[..] };
    for verb in verbs {
        let name = format!("{}.{}", identifier(schema), identifier(&verb.function(&function)));
        session.run("revoke_execute", &format!("REVOKE EXECUTE ON FUNCTION {name}() FROM PUBLIC")).await?;
    }
    let relations = table.relations(session).await?;
    let needed =
        capture_trigger::needed(schema, &function, &relations, capture.change_log.is_some(), is_ordered);
    let first_argument = earlier.map_or("", Written::first_argument);
    let present = capture_trigger::present(session, Some(&function), first_argument).await?;
    for trigger in &needed {
        if trigger.problem(&present).is_some() {
            session.run("create_trigger", &trigger.create()).await?;
        }
    }
    for trigger in &present {
        let is_needed = needed.iter().any(|needed| {
            needed.name == trigger.trigger && needed.relation.shown == trigger.shown && !trigger.is_earlier
        });
        if !is_needed {
            rights::to_drop(session, trigger).await?;
            session.run("drop_trigger", &trigger.drop()).await?;
        } else if let Some(enable) = trigger.enable() {
            session.run("enable_trigger", &enable).await?;
        }
    }
    if let Some(old) = earlier.and_then(|earlier| earlier.function.as_deref()).filter(|old| *old != function)
    {
        session.run("drop_functions", &drop_functions(schema, old)).await?;
    }
    put(session, &capture, &function, is_tenant).await?;
    Ok(capture)
}

/// The columns that a capture takes from the table as it is now. Chosen ones that are gone are passed over.
pub(super) fn chosen_now(table: &Table, capture: &Capture) -> Result<Vec<String>> {
    let present = |named: &[String]| named.iter().filter(|name| table.has(name)).cloned().collect();
    let selection = match &capture.selection {
        Selection::All => Selection::All,
        Selection::Only(named) => Selection::Only(present(named)),
        Selection::Exclude(named) => Selection::Exclude(present(named)),
    };
    table.chosen(&selection, &capture.key)
}

/// Whether the function that the table needs now is another one.
pub(super) async fn has_outgrown(
    session: &mut Session<'_>,
    schema: &str,
    function: &str,
    written: &Written,
    table: &Table,
) -> Result<bool> {
    let capture = &written.capture;
    let is_ordered = capture.change_log.is_none() && !table.changing_triggers(session).await?.is_empty();
    let statements =
        generated(session, schema, function, table, capture, (is_ordered, written.is_tenant)).await?;
    Ok(!ARE_FUNCTIONS.call().bind(function).bind(statements).value::<bool>(session).await?)
}

/// The statement that makes the function that a capture needs for the table as it is now.
async fn generated(
    session: &mut Session<'_>,
    schema: &str,
    function: &str,
    table: &Table,
    capture: &Capture,
    (is_ordered, is_tenant): (bool, bool),
) -> Result<Vec<String>> {
    if let Some(fields) = &capture.change_log {
        let log =
            ChangeLogFunction::describe(session, table, (schema, function), fields, capture.notify).await?;
        return Ok(log.create());
    }
    let columns = chosen_now(table, capture)?;
    let tenant = is_tenant.then_some(table.relation.schema.as_str());
    let condition = match &capture.condition {
        None => None,
        Some(condition) => {
            let names = (capture.entity_type.as_str(), &capture.key[..]);
            let now = (predicate::CHANGED_AT, tenant);
            Some(predicate::compile(session, table, names, condition, now).await?)
        }
    };
    let read = condition.as_ref().map_or(&[][..], |condition| &condition.columns);
    let mut rows = Rows::describe(session, table, (&columns, read), &capture.key).await?;
    rows.set(condition.as_ref().map_or(&[], |condition| &condition.settings));
    let function = CaptureFunction {
        schema,
        name: function,
        entity_type: &capture.entity_type,
        key: &capture.key,
        chosen: (!capture.selection.is_all()).then_some(&columns[..]),
        rows: &rows,
        predicates: condition.as_ref().map(|condition| &condition.predicates),
        notify: capture.notify,
        is_ordered,
        tenant,
    };
    Ok(function.create())
}

async fn remove(session: &mut Session<'_>, schema: &str, table: &str) -> Result<()> {
    lock(session).await?;
    let written = find(list(session).await?, table)?;
    let function = written.function.as_deref();
    for trigger in capture_trigger::present(session, function, written.first_argument()).await? {
        rights::to_drop(session, &trigger).await?;
        session.run("drop_trigger", &trigger.drop()).await?;
    }
    if let Some(function) = function {
        session.run("drop_functions", &drop_functions(schema, function)).await?;
    }
    DELETE_CAPTURE.call().bind(&written.capture.table).execute(session).await?;
    Ok(())
}

fn drop_functions(schema: &str, function: &str) -> String {
    let quoted = |verb: &Verb| format!("{}.{}()", identifier(schema), identifier(&verb.function(function)));
    format!("DROP FUNCTION IF EXISTS {}", Verb::ALL.iter().map(quoted).collect::<Vec<_>>().join(", "))
}

/// The capture of a table, by its name as people write it.
fn find(captures: Vec<Written>, table: &str) -> Result<Written> {
    let plain = table.strip_prefix("public.").unwrap_or(table);
    let lower = plain.to_lowercase();
    let position = |name: &str| captures.iter().position(|written| written.capture.table == name);
    match position(plain).or_else(|| position(&lower)) {
        Some(n) => captures.into_iter().nth(n).ok_or_else(|| no_capture(table)),
        None => Err(no_capture(table)),
    }
}

fn no_capture(table: &str) -> StoreError {
    StoreError::NotFound { what: "capture of the table", name: table.to_owned() }
}

/// The capture of a table.
pub(super) async fn written_of(session: &mut Session<'_>, table: &str) -> Result<Written> {
    find(list(session).await?, table)
}

async fn lock(session: &mut Session<'_>) -> Result<()> {
    WAIT_SHORTLY.call().execute(session).await?;
    LOCK_CAPTURES.call().execute(session).await?;
    Ok(())
}

/// Says what others decide and a capture suffers from.
async fn warn_of_surroundings(session: &mut Session<'_>, table: &str, notify: bool) -> Result<()> {
    let Some(record) = SURROUNDINGS.call().optional(session).await? else { return Ok(()) };
    if notify && record.get("prepares")? {
        tracing::warn!(
            table,
            "the server allows prepared transactions, and PREPARE TRANSACTION fails after a change of a captured table that rings \
             hosts; if your application prepares transactions, capture with `--no-notify`"
        );
    }
    warn_of_writers(&record)
}

/// Whether other roles can make functions and operators beside our tables.
fn warn_of_writers(record: &Record) -> Result<()> {
    if record.get("is_writable")? {
        tracing::warn!(
            "other roles may create objects in the schema of aftercommit's tables, which a host would then use; give it a schema \
             of its own (`schema` in `[database]`), or `REVOKE CREATE ON SCHEMA .. FROM PUBLIC`"
        );
    }
    Ok(())
}

/// The same after a migration.
pub(super) async fn warn_of_schema(session: &mut Session<'_>) -> Result<()> {
    match SURROUNDINGS.call().optional(session).await? {
        Some(record) => warn_of_writers(&record),
        None => Ok(()),
    }
}

fn captured_otherwise(table: &str, what: &str) -> StoreError {
    StoreError::Refused(format!(
        "the table `{table}` is captured already, as {what}; end that with `aftercommit capture remove {table}`"
    ))
}

pub(super) async fn list(session: &mut Session<'_>) -> Result<Vec<Written>> {
    let records = LIST_CAPTURES.call().all(session).await?;
    Ok(readable("observer_captures", &["table_name"], &records, written))
}

fn written(record: &Record) -> Result<Written> {
    let change_log = record.get::<Option<&str>>("change_log")?.map(serde_json::from_str);
    let change_log: Option<BTreeMap<ChangeLogField, String>> =
        change_log.transpose().map_err(|why| record.unreadable("change_log", &why))?;
    Ok(Written {
        capture: Capture {
            table: record.get("table_name")?,
            entity_type: record.get::<Option<_>>("entity_type")?.unwrap_or_else(|| EVERY_TYPE.to_owned()),
            key: record.get("key")?,
            columns: record.get("columns")?,
            selection: record.json("selection")?,
            condition: record.get("condition")?,
            change_log,
            notify: record.get("notify")?,
            created_at: record.time("created_at")?,
        },
        function: record.get("function")?,
        source: record.get("source")?,
        is_tenant: record.get("is_tenant")?,
    })
}

/// Writes down a capture and what was made for it.
async fn put(session: &mut Session<'_>, capture: &Capture, function: &str, is_tenant: bool) -> Result<()> {
    let change_log = capture.change_log.as_ref();
    PUT_CAPTURE
        .call()
        .bind(&capture.table)
        .bind(change_log.is_none().then_some(&capture.entity_type))
        .bind(&capture.key)
        .bind(&capture.columns)
        .bind(serde_json::json!(capture.selection).to_string())
        .bind(&capture.condition)
        .bind(change_log.map(|fields| serde_json::json!(fields).to_string()))
        .bind(capture.notify)
        .bind(function)
        .bind(is_tenant)
        .bind_time(capture.created_at)
        .execute(session)
        .await?;
    Ok(())
}
