//! Databases that are not there, not ours, locked, or of another version.

use sqlx::{Connection as _, Executor as _, SqliteConnection};

use crate::place::Place;

/// Runs SQL on the database of a place and keeps the connection open.
async fn sql(place: &Place, statement: &'static str) -> SqliteConnection {
    let url = format!("sqlite:{}", place.path("aftercommit.db").display());
    let mut connection = SqliteConnection::connect(&url).await.unwrap();
    connection.execute(statement).await.unwrap();
    connection
}

#[test]
fn a_missing_file_is_not_made() {
    let place = Place::new();
    insta::assert_snapshot!(place.run(&["events", "list"]));
    assert!(!place.path("aftercommit.db").exists());
}

#[test]
fn a_file_that_is_no_database_is_left_alone() {
    let place = Place::new();
    place.write("aftercommit.db", "certainly no database, whatever its name says");
    insta::assert_snapshot!(place.run(&["migrate"]));
}

#[test]
fn an_empty_database_is_not_migrated_yet() {
    let place = Place::new();
    place.write("aftercommit.db", "");
    insta::assert_snapshot!(place.run(&["dlq", "list"]));
}

#[tokio::test]
async fn a_locked_database_is_unreachable() {
    let place = Place::migrated();
    let _held = sql(&place, "BEGIN EXCLUSIVE").await;
    let emit = ["events", "emit", "--entity", "Order", "--kind", "custom", "--id", "1", "--data", "{}"];
    insta::assert_snapshot!(place.run(&emit));
}

#[tokio::test]
async fn a_newer_schema_is_not_touched() {
    let place = Place::migrated();
    sql(&place, "INSERT INTO observer_migrations (version, name) VALUES (99, 'later')").await;
    insta::assert_snapshot!(place.run(&["events", "list"]));
    insta::assert_snapshot!(place.run(&["migrate"]));
}
