//! Adds, refreshes, lists and removes captures.

use aftercommit_core::Timestamp;
use async_trait::async_trait;

use super::{
    PostgresStore, capture_drift, capture_making, capture_order,
    capture_record::{self, Written},
    capture_table::Table,
    capture_trigger, change_log,
    connection::Sync,
    rights,
    session::Session,
    statement::statements,
    surroundings,
};
use crate::{
    Capture, CaptureRequest, CaptureStatus, Captures, ChangeLogRequest, Result, Selection, StoreError,
    captures::{EVERY_TYPE, refuse_name},
    commands,
};

statements! {
    /// To change triggers needs a moment without writers of the table. While it is waited for, new writers wait too.
    WAIT_SHORTLY = "-- wait_shortly
SET LOCAL lock_timeout TO '5s'";
    /// Two that add captures at the same time would not see each other's entity types.
    LOCK_CAPTURES = "-- lock_captures
LOCK TABLE observer_captures IN SHARE ROW EXCLUSIVE MODE";
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
        for written in capture_record::list(&mut moment).await? {
            let drift = capture_drift::drift(&mut moment, schema, &written).await?;
            let warnings = capture_order::of_capture(&mut moment, &written.capture).await?;
            statuses.push(CaptureStatus { capture: written.capture, drift, warnings });
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
    let mut written = capture_record::list(session).await?;
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
    capture_order::warn(session, &table, &key).await?;
    surroundings::warn_of_all(session, &name, request.notify).await?;
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
        capture_making::make(session, schema, &table, sibling.capture.clone(), Some(&sibling), true).await?;
    }
    capture_making::make(session, schema, &table, capture, earlier.as_ref(), is_tenant).await
}

/// The captures of the same table in other schemas; refused if another table has the entity type.
fn siblings(table: &Table, entity_type: &str, written: Vec<Written>) -> Result<Vec<Written>> {
    let bare = |shown: &str| shown.rsplit_once('.').map_or(shown.to_owned(), |(_, name)| name.to_owned());
    let same: Vec<Written> =
        written.into_iter().filter(|written| written.capture.entity_type == entity_type).collect();
    match same.iter().find(|written| bare(&written.capture.table) != table.relation.name) {
        Some(Written { capture, .. }) => Err(StoreError::Refused(format!(
            "the entity type `{entity_type}` is taken by the table `{0}`; choose another name, or end that capture with \
             `{1}`",
            capture.table,
            commands::remove(&capture.table)
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
    let written = capture_record::list(session).await?;
    let earlier = written.into_iter().find(|written| written.capture.table == name);
    if let Some(Written { capture, .. }) = &earlier
        && capture.change_log.is_none()
    {
        return Err(captured_otherwise(&name, &format!("`{}`", capture.entity_type)));
    }
    surroundings::warn_of_all(session, &name, request.notify).await?;
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
    capture_making::make(session, schema, &table, capture, earlier.as_ref(), false).await
}

/// Writes what captures a table again, as it was captured.
pub(super) async fn refresh(
    session: &mut Session<'_>,
    schema: &str,
    table: &str,
    now: Timestamp,
) -> Result<Capture> {
    lock(session).await?;
    let written = capture_record::written_of(session, table).await?;
    let Some(table) = Table::find(session, &written.capture.table).await? else {
        let why = capture_drift::of_missing(session, &written).await?;
        return Err(StoreError::Refused(format!("`{}`: {why}", written.capture.table)));
    };
    rights::to_capture(session, &table, schema).await?;
    refuse_renamed(&table, &written.capture)?;
    let capture = Capture { created_at: now, ..written.capture.clone() };
    let is_tenant = written.is_tenant;
    capture_making::make(session, schema, &table, capture, Some(&written), is_tenant).await
}

/// A column that is left out may have another name now: what could be it is not taken for a new column.
fn refuse_renamed(table: &Table, capture: &Capture) -> Result<()> {
    let Selection::Exclude(named) = &capture.selection else { return Ok(()) };
    let is_new = |column: &&String| !capture.columns.contains(column) && !named.contains(column);
    let new: Vec<&str> = table.columns.iter().filter(is_new).map(String::as_str).collect();
    match named.iter().find(|name| !table.has(name)) {
        Some(gone) if !new.is_empty() => Err(StoreError::Refused(format!(
            "the column `{gone}` of `{0}` that events leave out is gone, and there are new ones, which may be it: {1}; say again what to \
             leave out: `{2}`",
            capture.table,
            new.join(", "),
            capture.command_for_exclusion(&capture.table)
        ))),
        _ => Ok(()),
    }
}

async fn remove(session: &mut Session<'_>, schema: &str, table: &str) -> Result<()> {
    lock(session).await?;
    let written = capture_record::written_of(session, table).await?;
    let function = written.function.as_deref();
    for trigger in capture_trigger::present(session, function, written.first_argument()).await? {
        rights::to_drop(session, &trigger).await?;
        session.run("drop_trigger", &trigger.drop()).await?;
    }
    if let Some(function) = function {
        session.run("drop_functions", &capture_making::drop_functions(schema, function)).await?;
    }
    capture_record::delete(session, &written.capture.table).await
}

async fn lock(session: &mut Session<'_>) -> Result<()> {
    WAIT_SHORTLY.call().execute(session).await?;
    LOCK_CAPTURES.call().execute(session).await?;
    Ok(())
}

fn captured_otherwise(table: &str, what: &str) -> StoreError {
    StoreError::Refused(format!(
        "the table `{table}` is captured already, as {what}; end that with `{}`",
        commands::remove(table)
    ))
}
