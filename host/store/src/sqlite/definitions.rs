//! The table `tb_observer`.

use std::collections::{HashMap, HashSet};

use aftercommit_core::{ObserverDefinition, Timestamp};
use async_trait::async_trait;
use sqlx::SqliteConnection;

use super::{
    SqliteStore,
    connection::Sync,
    observer_row::{self, Written},
    statement::{Statement, rows_as_json, statements},
};
use crate::{Applied, Definitions, HostId, ObserverRow, ObserverTable, Result, StoreError};

statements! {
    READ_REVISION = "-- read_revision
SELECT revision FROM observer_revision";
    LOAD_OBSERVERS = "-- load_observers
SELECT o.name, o.entity_type, o.event_kind, o.condition, o.on_failure, o.ordering, o.enabled, o.priority, o.retry,
       o.actions, o.updated_at,
       (SELECT group_concat(DISTINCT l.error) FROM observer_load_errors AS l JOIN observer_hosts AS h ON h.id = l.host
        WHERE l.observer = o.name) AS load_error
FROM tb_observer AS o
ORDER BY o.priority DESC, o.name";
    INSERT_OBSERVER = "-- insert_observer
INSERT INTO tb_observer
    (name, entity_type, event_kind, condition, on_failure, ordering, enabled, priority, retry, actions,
     created_at, updated_at)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?11)";
    UPDATE_OBSERVER = "-- update_observer
UPDATE tb_observer
SET entity_type = ?2, event_kind = ?3, condition = ?4, on_failure = ?5, ordering = ?6, enabled = ?7, priority = ?8,
    retry = ?9, actions = ?10, updated_at = ?11
WHERE name = ?1";
    DELETE_OBSERVERS = "-- delete_observers
DELETE FROM tb_observer WHERE name IN (SELECT value FROM json_each(?1))";
    OBSERVER_ENABLED = "-- observer_enabled
SELECT enabled FROM tb_observer WHERE name = ?1";
    SET_ENABLED = "-- set_enabled
UPDATE tb_observer SET enabled = ?2, updated_at = ?3 WHERE name = ?1";
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
        let mut connection = self.inner.connections.read().await?;
        READ_REVISION.call().value(&mut connection).await
    }

    /// Looks: nothing else tells a process what another one wrote, and a look reads one small row.
    async fn definitions_bell(&self, revision: i64) {
        while self.revision().await.is_ok_and(|present| present == revision) {
            tokio::time::sleep(LOOK).await;
        }
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
        if dry_run {
            let mut connection = self.inner.connections.read().await?;
            return Ok(Change::between(&rows(&mut connection).await?, &observers, prune)?.into_applied());
        }
        let mut write = self.inner.connections.write("apply", Sync::Now).await?;
        let change = Change::between(&rows(&mut write).await?, &observers, prune)?;
        for (statement, observers) in [(INSERT_OBSERVER, &change.create), (UPDATE_OBSERVER, &change.update)] {
            for observer in observers {
                put(&mut write, statement, observer, now).await?;
            }
        }
        if !change.remove.is_empty() {
            DELETE_OBSERVERS.call().bind(rows_as_json(&change.remove)).execute(&mut write).await?;
        }
        write.commit().await?;
        Ok(change.into_applied())
    }

    async fn set_enabled(&self, name: &str, enabled: bool, now: Timestamp) -> Result<()> {
        let mut write = self.inner.connections.write("set_enabled", Sync::Now).await?;
        let Some(row) = OBSERVER_ENABLED.call().bind(name).optional(&mut write).await? else {
            return Err(StoreError::NotFound { what: "observer", name: name.to_owned() });
        };
        if (row.get::<i64>("enabled")? != 0) != enabled {
            SET_ENABLED.call().bind(name).bind(enabled).bind_time(now).execute(&mut write).await?;
        }
        write.commit().await
    }

    async fn report_load_errors(
        &self,
        host: HostId,
        errors: Vec<(String, String)>,
        now: Timestamp,
    ) -> Result<()> {
        let mut write = self.inner.connections.write("report_load_errors", Sync::Later).await?;
        CLEAR_LOAD_ERRORS.call().bind(host.to_string()).execute(&mut write).await?;
        if !errors.is_empty() {
            INSERT_LOAD_ERRORS
                .call()
                .bind(rows_as_json(&errors))
                .bind(host.to_string())
                .bind_time(now)
                .execute(&mut write)
                .await?;
        }
        write.commit().await
    }
}

async fn rows(connection: &mut SqliteConnection) -> Result<Vec<ObserverRow>> {
    LOAD_OBSERVERS.call().all(connection).await?.iter().map(observer_row::read).collect()
}

async fn put(
    connection: &mut SqliteConnection,
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
        ordering,
        enabled,
        priority,
        retry,
        actions,
    } = Written::of(observer);
    let call =
        statement.call().bind(name).bind(entity_type).bind(event_kind).bind(condition).bind(on_failure);
    let call = call.bind(ordering).bind(enabled).bind(priority).bind(retry).bind(actions).bind_time(now);
    call.execute(connection).await?;
    Ok(())
}

/// What has to be done so that the table holds the given observers.
struct Change<'a> {
    create: Vec<&'a ObserverDefinition>,
    update: Vec<&'a ObserverDefinition>,
    unchanged: Vec<&'a ObserverDefinition>,
    remove: Vec<String>,
}

impl<'a> Change<'a> {
    fn between(rows: &[ObserverRow], observers: &'a [ObserverDefinition], prune: bool) -> Result<Self> {
        let mut names = HashSet::new();
        if let Some(twice) = observers.iter().find(|observer| !names.insert(observer.name.as_str())) {
            return Err(StoreError::Refused(format!(
                "the observer `{}` is there twice; names are unique",
                twice.name
            )));
        }
        let present: HashMap<&str, &ObserverRow> = rows.iter().map(|row| (row.name.as_str(), row)).collect();
        let mut change =
            Self { create: Vec::new(), update: Vec::new(), unchanged: Vec::new(), remove: Vec::new() };
        for observer in observers {
            match present.get(observer.name.as_str()) {
                None => change.create.push(observer),
                Some(row) if row.definition.as_ref() == Ok(observer) => change.unchanged.push(observer),
                Some(_) => change.update.push(observer),
            }
        }
        if prune {
            change.remove = rows
                .iter()
                .map(|row| row.name.clone())
                .filter(|name| !names.contains(name.as_str()))
                .collect();
        }
        Ok(change)
    }

    fn into_applied(self) -> Applied {
        let names =
            |observers: Vec<&ObserverDefinition>| observers.into_iter().map(|o| o.name.clone()).collect();
        Applied {
            created: names(self.create),
            updated: names(self.update),
            unchanged: names(self.unchanged),
            removed: self.remove,
        }
    }
}
