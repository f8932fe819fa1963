//! The table `tb_observer`.

use aftercommit_core::{ObserverDefinition, Timestamp};
use async_trait::async_trait;

use super::{
    PostgresStore,
    connection::Sync,
    session::Session,
    statement::{Statement, int, statements},
};
use crate::{
    Applied, Definitions, HostId, ObserverRow, ObserverTable, Result, StoreError,
    observer_change::{Change, Written},
    row::Row as _,
};

statements! {
    READ_REVISION = "-- read_revision
SELECT revision FROM observer_revision";
    /// Whoever else changes the table waits, so that what is compared is what is changed. Readers do not wait.
    LOCK_OBSERVERS = "-- lock_observers
LOCK TABLE tb_observer IN SHARE ROW EXCLUSIVE MODE";
    LOAD_OBSERVERS = "-- load_observers
SELECT o.name, o.entity_type, o.event_kind, o.condition, o.on_failure, o.alert::text AS alert,
       o.alert_interval_secs, o.ordering, o.enabled, o.priority, o.retry::text AS retry,
       o.actions::text AS actions, o.updated_at,
       (SELECT string_agg(DISTINCT l.error, ',') FROM observer_load_errors AS l JOIN observer_hosts AS h ON h.id = l.host
        WHERE l.observer = o.name) AS load_error
FROM tb_observer AS o
ORDER BY o.priority DESC, o.name COLLATE \"C\"";
    INSERT_OBSERVER = "-- insert_observer
INSERT INTO tb_observer
    (name, entity_type, event_kind, condition, on_failure, alert, alert_interval_secs, ordering, enabled, priority,
     retry, actions, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6::text::json, $7, $8, $9, $10, $11::text::json, $12::text::json, $13, $13)";
    UPDATE_OBSERVER = "-- update_observer
UPDATE tb_observer
SET entity_type = $2, event_kind = $3, condition = $4, on_failure = $5, alert = $6::text::json,
    alert_interval_secs = $7, ordering = $8, enabled = $9, priority = $10, retry = $11::text::json,
    actions = $12::text::json, updated_at = $13
WHERE name = $1";
    DELETE_OBSERVERS = "-- delete_observers
DELETE FROM tb_observer WHERE name = ANY($1)";
    OBSERVER_ENABLED = "-- observer_enabled
SELECT enabled FROM tb_observer WHERE name = $1 FOR UPDATE";
    SET_ENABLED = "-- set_enabled
UPDATE tb_observer SET enabled = $2, updated_at = $3 WHERE name = $1";
    SET_LOADED = "-- set_loaded
UPDATE observer_hosts SET revision = $2 WHERE id = $1";
    CLEAR_LOAD_ERRORS = "-- clear_load_errors
DELETE FROM observer_load_errors WHERE host = $1";
    INSERT_LOAD_ERRORS = "-- insert_load_errors
INSERT INTO observer_load_errors (host, observer, error, reported_at)
SELECT DISTINCT ON (observer) $3, observer, error, $4 FROM unnest($1::text[], $2::text[]) AS n (observer, error)
ON CONFLICT (host, observer) DO UPDATE SET error = excluded.error, reported_at = excluded.reported_at";
}

#[async_trait]
impl Definitions for PostgresStore {
    async fn revision(&self) -> Result<i64> {
        let mut session = self.inner.connections.read().await?;
        READ_REVISION.call().value(&mut session).await
    }

    async fn definitions_bell(&self, revision: i64) {
        self.inner.doorbell.definitions(self, revision).await;
    }

    async fn load(&self) -> Result<ObserverTable> {
        let mut moment = self.inner.connections.read_transaction().await?;
        let revision = READ_REVISION.call().value(&mut moment).await?;
        Ok(ObserverTable { revision, rows: rows(&mut moment).await? })
    }

    async fn apply(
        &self,
        observers: Vec<ObserverDefinition>,
        prune: bool,
        dry_run: bool,
        now: Timestamp,
    ) -> Result<Applied> {
        let connections = &self.inner.connections;
        if dry_run {
            let mut session = connections.read().await?;
            return Ok(Change::between(&rows(&mut session).await?, &observers, prune)?.into_applied());
        }
        let observers = &observers[..];
        connections.write("apply", Sync::Now, |session| Box::pin(apply(session, observers, prune, now))).await
    }

    async fn set_enabled(&self, name: &str, enabled: bool, now: Timestamp) -> Result<()> {
        self.inner
            .connections
            .write("set_enabled", Sync::Now, |session| Box::pin(set_enabled(session, name, enabled, now)))
            .await
    }

    async fn remove_observer(&self, name: &str) -> Result<()> {
        self.inner
            .connections
            .write("remove_observer", Sync::Now, |session| Box::pin(remove_observer(session, name)))
            .await
    }

    async fn report_loaded(
        &self,
        host: HostId,
        revision: i64,
        errors: Vec<(String, String)>,
        now: Timestamp,
    ) -> Result<()> {
        let loaded = (revision, &errors[..]);
        self.inner
            .connections
            .write("report_loaded", Sync::Later, |session| Box::pin(report(session, host, loaded, now)))
            .await
    }
}

async fn rows(session: &mut Session<'_>) -> Result<Vec<ObserverRow>> {
    Ok(LOAD_OBSERVERS.call().all(session).await?.iter().map(ObserverRow::read).collect())
}

async fn apply(
    session: &mut Session<'_>,
    observers: &[ObserverDefinition],
    prune: bool,
    now: Timestamp,
) -> Result<Applied> {
    LOCK_OBSERVERS.call().execute(session).await?;
    let change = Change::between(&rows(session).await?, observers, prune)?;
    for (statement, observers) in [(INSERT_OBSERVER, &change.create), (UPDATE_OBSERVER, &change.update)] {
        for observer in observers {
            put(session, statement, observer, now).await?;
        }
    }
    if !change.remove.is_empty() {
        DELETE_OBSERVERS.call().bind(&change.remove).execute(session).await?;
    }
    Ok(change.into_applied())
}

async fn put(
    session: &mut Session<'_>,
    statement: Statement,
    observer: &ObserverDefinition,
    now: Timestamp,
) -> Result<()> {
    let Written {
        name,
        entity_type,
        event_kind,
        condition,
        on_failure,
        alert,
        alert_interval_secs,
        ordering,
        enabled,
        priority,
        retry,
        actions,
    } = Written::of(observer);
    let call =
        statement.call().bind(name).bind(entity_type).bind(event_kind).bind(condition).bind(on_failure);
    let call = call
        .bind(alert)
        .bind(int(alert_interval_secs))
        .bind(ordering)
        .bind(enabled)
        .bind(i32::from(priority))
        .bind(retry)
        .bind(actions);
    call.bind_time(now).execute(session).await?;
    Ok(())
}

async fn set_enabled(session: &mut Session<'_>, name: &str, enabled: bool, now: Timestamp) -> Result<()> {
    let Some(row) = OBSERVER_ENABLED.call().bind(name).optional(session).await? else {
        return Err(StoreError::NotFound { what: "observer", name: name.to_owned() });
    };
    if row.flag("enabled")? != enabled {
        SET_ENABLED.call().bind(name).bind(enabled).bind_time(now).execute(session).await?;
    }
    Ok(())
}

async fn remove_observer(session: &mut Session<'_>, name: &str) -> Result<()> {
    match DELETE_OBSERVERS.call().bind([name]).execute(session).await? {
        0 => Err(StoreError::NotFound { what: "observer", name: name.to_owned() }),
        _ => Ok(()),
    }
}

async fn report(
    session: &mut Session<'_>,
    host: HostId,
    (revision, errors): (i64, &[(String, String)]),
    now: Timestamp,
) -> Result<()> {
    SET_LOADED.call().bind(host.0).bind(revision).execute(session).await?;
    CLEAR_LOAD_ERRORS.call().bind(host.0).execute(session).await?;
    if errors.is_empty() {
        return Ok(());
    }
    INSERT_LOAD_ERRORS
        .call()
        .bind(errors.iter().map(|(observer, _)| &**observer).collect::<Vec<&str>>())
        .bind(errors.iter().map(|(_, error)| &**error).collect::<Vec<&str>>())
        .bind(host.0)
        .bind_time(now)
        .execute(session)
        .await?;
    Ok(())
}
