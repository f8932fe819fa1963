//! Cases of `Definitions`.

use aftercommit_core::{
    ActionConfig, BackoffStrategy, EventKind, FailurePolicy, ObserverDefinition, Ordering, RetryConfig,
};

use super::fixture::{Fixture, at};
use crate::{Applied, StoreError};

/// With something other than the default in every field.
fn full(name: &str) -> ObserverDefinition {
    let retry = RetryConfig {
        max_attempts: 9,
        initial_delay_ms: 1,
        max_delay_ms: 2,
        backoff_strategy: BackoffStrategy::Linear,
        jitter: 0.5,
    };
    let number = serde_json::from_str::<serde_json::Value>("0.10000000000000000001").unwrap();
    ObserverDefinition {
        entity_type: "Order".into(),
        event_kind: Some(EventKind::Updated),
        condition: Some("CHANGED_TO(status, 'it''s shipped')".into()),
        on_failure: FailurePolicy::Alert,
        alert: Some(ActionConfig::new("slack").with("text", "{{message}}")),
        alert_interval_secs: 600,
        ordering: Ordering::PerEntity,
        priority: 7,
        retry,
        actions: vec![ActionConfig::new("webhook").with("url", "https://example.com").with("limit", number)],
        ..ObserverDefinition::new(name)
    }
}

async fn apply(fixture: &Fixture, observers: &[ObserverDefinition]) -> Applied {
    fixture.store.apply(observers.to_vec(), false, false, at(0)).await.unwrap()
}

pub(super) async fn applies_and_loads_the_same(fixture: Fixture) {
    let (low, high) = (full("b"), ObserverDefinition::new("a"));
    let applied = apply(&fixture, &[low.clone(), high.clone()]).await;
    assert_eq!(applied.created, ["b", "a"]);
    let table = fixture.store.load().await.unwrap();
    assert_eq!(table.revision, fixture.store.revision().await.unwrap());
    let read: Vec<_> = table.rows.iter().map(|row| row.definition.clone().unwrap()).collect();
    assert_eq!(read, [high, low], "by descending priority");
    assert!(table.rows.iter().all(|row| row.updated_at == at(0) && row.enabled && row.load_error.is_none()));
}

pub(super) async fn an_unchanged_application_keeps_the_revision(fixture: Fixture) {
    apply(&fixture, &[full("a"), full("b")]).await;
    let before = fixture.store.revision().await.unwrap();
    let changed = ObserverDefinition { condition: None, ..full("c") };
    let applied = apply(&fixture, &[full("a"), full("b")]).await;
    assert_eq!((applied.unchanged.len(), applied.updated.len()), (2, 0));
    assert_eq!(fixture.store.revision().await.unwrap(), before);
    apply(&fixture, &[full("c")]).await;
    let applied = apply(&fixture, &[changed.clone(), full("a")]).await;
    assert_eq!(
        (&applied.updated[..], &applied.unchanged[..]),
        (&["c".to_owned()][..], &["a".to_owned()][..])
    );
    assert!(fixture.store.revision().await.unwrap() > before);
    let rows = fixture.store.load().await.unwrap().rows;
    assert_eq!(rows[2].definition.as_ref(), Ok(&changed));
}

pub(super) async fn prunes_what_is_not_named(fixture: Fixture) {
    apply(&fixture, &[full("a"), full("b"), full("c")]).await;
    let applied = fixture.store.apply(vec![full("b")], true, false, at(1)).await.unwrap();
    assert_eq!(
        applied,
        Applied { unchanged: vec!["b".into()], removed: vec!["a".into(), "c".into()], ..Applied::default() }
    );
    assert_eq!(fixture.store.load().await.unwrap().rows.len(), 1);
}

pub(super) async fn a_dry_run_writes_nothing(fixture: Fixture) {
    apply(&fixture, &[full("a"), full("b")]).await;
    let before = fixture.store.load().await.unwrap();
    let changed = ObserverDefinition { priority: 8, ..full("a") };
    let applied = fixture.store.apply(vec![changed, full("c")], true, true, at(1)).await.unwrap();
    assert_eq!(
        (applied.created, applied.updated, applied.removed),
        (vec!["c".into()], vec!["a".into()], vec!["b".into()])
    );
    let after = fixture.store.load().await.unwrap();
    assert_eq!((after.revision, after.rows.len()), (before.revision, 2));
}

pub(super) async fn refuses_a_name_that_is_there_twice(fixture: Fixture) {
    let error = fixture.store.apply(vec![full("a"), full("a")], false, false, at(0)).await.unwrap_err();
    assert!(matches!(&error, StoreError::Refused(why) if why.contains("`a`")), "{error}");
    assert!(fixture.store.load().await.unwrap().rows.is_empty());
}

pub(super) async fn sees_changes_by_sql(fixture: Fixture) {
    let revision = async || fixture.store.revision().await.unwrap();
    let start = revision().await;
    fixture.database.sql("INSERT INTO tb_observer (name) VALUES ('by-hand')").await;
    let inserted = revision().await;
    assert!(inserted > start, "insert");
    let rows = fixture.store.load().await.unwrap().rows;
    assert_eq!(rows[0].definition, Ok(ObserverDefinition::new("by-hand")), "the defaults are the same");
    fixture.database.sql("UPDATE tb_observer SET priority = 900").await;
    let updated = revision().await;
    assert!(updated > inserted, "update");
    assert!(fixture.store.load().await.unwrap().rows[0].updated_at >= rows[0].updated_at);
    fixture.database.sql("DELETE FROM tb_observer").await;
    assert!(revision().await > updated, "delete");
}

pub(super) async fn shows_a_row_that_is_no_definition(fixture: Fixture) {
    apply(&fixture, &[full("sound")]).await;
    for (name, column, value) in [
        ("kind", "event_kind", "'exploded'"),
        ("policy", "on_failure", "'shrug'"),
        ("actions", "actions", "'[{\"url\": \"no type\"}]'"),
        ("alert", "alert", "'{\"url\": \"no type\"}'"),
    ] {
        fixture
            .database
            .sql(&format!(
                "INSERT INTO tb_observer (name, enabled, {column}) VALUES ('{name}', FALSE, {value})"
            ))
            .await;
    }
    let rows = fixture.store.load().await.unwrap().rows;
    let broken: Vec<_> = rows.iter().filter(|row| row.definition.is_err()).collect();
    assert_eq!((rows.len(), broken.len()), (5, 4));
    for row in broken {
        let why = row.definition.as_ref().unwrap_err();
        let column = match row.name.as_str() {
            "kind" => "event_kind",
            "policy" => "on_failure",
            column => column,
        };
        assert!(why.contains(column), "{}: {why}", row.name);
        assert!(!row.enabled, "what can be read is read");
    }
}

pub(super) async fn enables_and_disables(fixture: Fixture) {
    apply(&fixture, &[full("a")]).await;
    let before = fixture.store.revision().await.unwrap();
    fixture.store.set_enabled("a", false, at(5)).await.unwrap();
    let row = &fixture.store.load().await.unwrap().rows[0];
    assert_eq!(
        (row.enabled, row.definition.as_ref().unwrap().enabled, row.updated_at),
        (false, false, at(5))
    );
    assert!(fixture.store.revision().await.unwrap() > before);
    fixture.store.set_enabled("a", true, at(6)).await.unwrap();
    assert!(fixture.store.load().await.unwrap().rows[0].enabled);
    let error = fixture.store.set_enabled("b", true, at(6)).await.unwrap_err();
    assert!(matches!(error, StoreError::NotFound { what: "observer", .. }), "{error}");
}

pub(super) async fn removes_by_name(fixture: Fixture) {
    apply(&fixture, &[full("a"), full("b")]).await;
    let before = fixture.store.revision().await.unwrap();
    fixture.store.remove_observer("a").await.unwrap();
    let rows = fixture.store.load().await.unwrap().rows;
    assert_eq!(rows.iter().map(|row| &*row.name).collect::<Vec<_>>(), ["b"]);
    assert!(fixture.store.revision().await.unwrap() > before, "running hosts reload");
    let error = fixture.store.remove_observer("a").await.unwrap_err();
    assert!(matches!(&error, StoreError::NotFound { what: "observer", name } if name == "a"), "{error}");
}

pub(super) async fn shows_load_errors_of_hosts_that_run(fixture: Fixture) {
    apply(&fixture, &[full("a"), full("b")]).await;
    let load_error = async || fixture.store.load().await.unwrap().rows[0].load_error.clone();
    fixture.store.register(fixture.host, "box:1", at(0)).await.unwrap();
    let errors = vec![("a".to_owned(), "no plugin `webhook`".to_owned())];
    fixture.store.report_loaded(fixture.host, 1, errors.clone(), at(1)).await.unwrap();
    assert_eq!(load_error().await.as_deref(), Some("no plugin `webhook`"));
    fixture.store.report_loaded(fixture.host, 2, vec![("b".into(), "x".into())], at(2)).await.unwrap();
    assert_eq!(load_error().await, None, "what a host says is replaced");
    fixture.store.report_loaded(fixture.host, 3, errors, at(3)).await.unwrap();
    fixture.store.retire(fixture.host).await.unwrap();
    assert_eq!(load_error().await, None, "it does not run any more");
}
