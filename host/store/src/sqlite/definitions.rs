//! The table `tb_observer`.

use aftercommit_core::{ObserverDefinition, Timestamp};
use async_trait::async_trait;
use rusqlite::Connection;

use super::{
    SqliteStore,
    connection::Sync,
    statement::{Statement, rows_as_json, statements},
};
use crate::{
    Applied, Definitions, HostId, ObserverRow, ObserverTable, Result, StoreError,
    observer_change::{Change, Written},
    row::Row as _,
};

statements! {
    READ_REVISION = "-- read_revision
SELECT revision FROM observer_revision";
    LOAD_OBSERVERS = "-- load_observers
SELECT o.name, o.entity_type, o.event_kind, o.condition, o.on_failure, o.alert, o.alert_interval_secs, o.ordering,
       o.enabled, o.priority, o.retry, o.actions, o.updated_at,
       (SELECT group_concat(DISTINCT l.error) FROM observer_load_errors AS l JOIN observer_hosts AS h ON h.id = l.host
        WHERE l.observer = o.name) AS load_error
FROM tb_observer AS o
ORDER BY o.priority DESC, o.name";
    INSERT_OBSERVER = "-- insert_observer
INSERT INTO tb_observer
    (name, entity_type, event_kind, condition, on_failure, alert, alert_interval_secs, ordering, enabled, priority,
     retry, actions, created_at, updated_at)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?13)";
    UPDATE_OBSERVER = "-- update_observer
UPDATE tb_observer
SET entity_type = ?2, event_kind = ?3, condition = ?4, on_failure = ?5, alert = ?6, alert_interval_secs = ?7,
    ordering = ?8, enabled = ?9, priority = ?10, retry = ?11, actions = ?12, updated_at = ?13
WHERE name = ?1";
    DELETE_OBSERVERS = "-- delete_observers
DELETE FROM tb_observer WHERE name IN (SELECT value FROM json_each(?1))";
    OBSERVER_ENABLED = "-- observer_enabled
SELECT enabled FROM tb_observer WHERE name = ?1";
    SET_ENABLED = "-- set_enabled
UPDATE tb_observer SET enabled = ?2, updated_at = ?3 WHERE name = ?1";
    SET_LOADED = "-- set_loaded
UPDATE observer_hosts SET revision = ?2 WHERE id = ?1";
    CLEAR_LOAD_ERRORS = "-- clear_load_errors
DELETE FROM observer_load_errors WHERE host = ?1";
    INSERT_LOAD_ERRORS = "-- insert_load_errors
INSERT OR REPLACE INTO observer_load_errors (host, observer, error, reported_at)
SELECT ?2, value ->> 0, value ->> 1, ?3 FROM json_each(?1)";
}

/// How often the revision is looked at.
const LOOK: std::time::Duration = std::time::Duration::from_millis(250);

#[async_trait]
impl Definitions for SqliteStore {
    async fn revision(&self) -> Result<i64> {
        self.inner.connections.read(|connection| READ_REVISION.call().value(connection)).await
    }

    /// Looks: nothing else tells a process what another one wrote, and a look reads one small row.
    async fn definitions_bell(&self, revision: i64) {
        while self.revision().await.is_ok_and(|present| present == revision) {
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn load(&self) -> Result<ObserverTable> {
        self.inner
            .connections
            .read_moment(move |moment| {
                let revision = READ_REVISION.call().value(moment)?;
                Ok(ObserverTable { revision, rows: rows(moment)? })
            })
            .await
    }

    async fn apply(
        &self,
        observers: Vec<ObserverDefinition>,
        prune: bool,
        dry_run: bool,
        now: Timestamp,
    ) -> Result<Applied> {
        if dry_run {
            let present = self.inner.connections.read(rows).await?;
            return Ok(Change::between(&present, &observers, prune)?.into_applied());
        }
        self.inner
            .connections
            .write("apply", Sync::Now, move |write| {
                let change = Change::between(&rows(write)?, &observers, prune)?;
                for (statement, observers) in
                    [(INSERT_OBSERVER, &change.create), (UPDATE_OBSERVER, &change.update)]
                {
                    for observer in observers {
                        put(write, statement, observer, now)?;
                    }
                }
                if !change.remove.is_empty() {
                    DELETE_OBSERVERS.call().bind(rows_as_json(&change.remove)).execute(write)?;
                }
                Ok(change.into_applied())
            })
            .await
    }

    async fn set_enabled(&self, name: &str, enabled: bool, now: Timestamp) -> Result<()> {
        let name = name.to_owned();
        self.inner
            .connections
            .write("set_enabled", Sync::Now, move |write| {
                let Some(row) = OBSERVER_ENABLED.call().bind(&name).optional(write)? else {
                    return Err(StoreError::NotFound { what: "observer", name });
                };
                // A column that holds neither is written: so the command mends it.
                if row.flag("enabled").ok() != Some(enabled) {
                    SET_ENABLED.call().bind(&name).bind(enabled).bind_time(now).execute(write)?;
                }
                Ok(())
            })
            .await
    }

    async fn remove_observer(&self, name: &str) -> Result<()> {
        let name = name.to_owned();
        self.inner
            .connections
            .write("remove_observer", Sync::Now, move |write| {
                match DELETE_OBSERVERS.call().bind(rows_as_json(&[&name])).execute(write)? {
                    0 => Err(StoreError::NotFound { what: "observer", name }),
                    _ => Ok(()),
                }
            })
            .await
    }

    async fn report_loaded(
        &self,
        host: HostId,
        revision: i64,
        errors: Vec<(String, String)>,
        now: Timestamp,
    ) -> Result<()> {
        self.inner
            .connections
            .write("report_loaded", Sync::Later, move |write| {
                SET_LOADED.call().bind(host.to_string()).bind(revision).execute(write)?;
                CLEAR_LOAD_ERRORS.call().bind(host.to_string()).execute(write)?;
                if !errors.is_empty() {
                    INSERT_LOAD_ERRORS
                        .call()
                        .bind(rows_as_json(&errors))
                        .bind(host.to_string())
                        .bind_time(now)
                        .execute(write)?;
                }
                Ok(())
            })
            .await
    }
}

fn rows(connection: &Connection) -> Result<Vec<ObserverRow>> {
    Ok(LOAD_OBSERVERS.call().all(connection)?.iter().map(ObserverRow::read).collect())
}

fn put(
    connection: &Connection,
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
        .bind(alert_interval_secs)
        .bind(ordering)
        .bind(enabled)
        .bind(priority)
        .bind(retry)
        .bind(actions)
        .bind_time(now);
    call.execute(connection)?;
    Ok(())
}
