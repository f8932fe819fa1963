//! Databases that are not there, not ours, locked, or of another version.

use rusqlite::Connection;

use crate::place::{Place, Run};

/// Runs SQL on the database of a place and keeps the connection open.
fn sql(place: &Place, statement: &str) -> Connection {
    let connection = Connection::open(place.path("aftercommit.db")).unwrap();
    connection.execute_batch(statement).unwrap();
    connection
}

/// What a run printed, whatever the number of the last migration is.
fn without_version(run: &Run) -> String {
    let migrated = Place::migrated();
    let last: i64 = sql(&migrated, "")
        .query_row("SELECT max(version) FROM observer_migrations", (), |row| row.get(0))
        .unwrap();
    let known = |verb: &str, number: &str| format!("this program {verb} {number}:");
    ["knows", "needs"].iter().fold(run.to_string(), |text, verb| {
        text.replace(&known(verb, &last.to_string()), &known(verb, "[version]"))
    })
}

#[test]
fn a_missing_file_is_not_made() {
    let place = Place::new();
    insta::assert_snapshot!(place.run(&["events", "list"]));
    assert!(!place.path("aftercommit.db").exists());
}

#[test]
fn a_missing_file_is_named_with_what_names_it_and_what_makes_it() {
    let place = Place::new();
    place.write("my shop.toml", "[database]\nurl = \"sqlite:shop.db\"\n");
    let list = ["events", "list"];
    let run = place.run(&["events", "list", "--config", "my shop.toml"]);
    let told = "shop.db: there is no such file; `url` in [database] of my shop.toml names it; make it with \
                `aftercommit migrate --config 'my shop.toml'`, or name another";
    assert!(run.code == Some(3) && run.stderr.contains(told), "{run}");
    let mut command = place.command(&list);
    command.env("DATABASE_URL", "sqlite:other.db");
    let run = place.finish(command, &list, "");
    let told = "other.db: there is no such file; DATABASE_URL names it; make it with `aftercommit migrate`";
    assert!(run.code == Some(3) && run.stderr.contains(told), "{run}");
    // Nothing makes a folder.
    let migrate = ["migrate"];
    let mut command = place.command(&migrate);
    command.env("DATABASE_URL", "sqlite:nowhere/other.db");
    let run = place.finish(command, &migrate, "");
    assert!(
        run.code == Some(3) && run.stderr.trim_end().ends_with("nowhere; DATABASE_URL names it"),
        "{run}"
    );
    assert!(place.run(&["migrate", "--config", "my shop.toml"]).code == Some(0));
    assert!(place.path("shop.db").exists());
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
    insta::assert_snapshot!(without_version(&place.run(&["dlq", "list"])));
}

#[test]
fn a_locked_database_is_unreachable() {
    let place = Place::migrated();
    let _held = sql(&place, "BEGIN EXCLUSIVE");
    let emit = ["events", "emit", "--entity", "Order", "--kind", "custom", "--id", "1", "--data", "{}"];
    insta::assert_snapshot!(place.run(&emit));
}

#[test]
fn a_newer_schema_is_not_touched() {
    let place = Place::migrated();
    sql(&place, "INSERT INTO observer_migrations (version, name) VALUES (99, 'later')");
    insta::assert_snapshot!(without_version(&place.run(&["events", "list"])));
    insta::assert_snapshot!(without_version(&place.run(&["migrate"])));
}
