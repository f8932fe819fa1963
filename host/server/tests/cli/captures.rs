//! What can not be captured: said before anything is done, with what to do.

use rusqlite::Connection;

use crate::place::{Place, Run};

fn refused(place: &Place, arguments: &[&str]) -> Run {
    let run = place.run(&[&["capture"], arguments].concat());
    assert_eq!(run.code, Some(2), "{run}");
    assert_eq!(
        place.run(&["capture", "list", "--output", "json"]).stdout.trim(),
        "[]",
        "nothing is half done"
    );
    run
}

#[test]
fn what_can_not_be_captured_is_named() {
    let place = Place::migrated();
    Connection::open(place.path("aftercommit.db"))
        .unwrap()
        .execute_batch("CREATE TABLE keyless (a TEXT, b TEXT); CREATE VIEW glance AS SELECT * FROM keyless")
        .unwrap();
    insta::assert_snapshot!("no_table", refused(&place, &["add", "nowhere", "--entity", "Order"]));
    insta::assert_snapshot!("no_key", refused(&place, &["add", "keyless", "--entity", "Order"]));
    insta::assert_snapshot!("view", refused(&place, &["add", "glance", "--entity", "Order", "--key", "a"]));
    insta::assert_snapshot!("change_log_on_sqlite", refused(&place, &["add-changelog", "keyless"]));
    let unknown = ["add-changelog", "keyless", "--column", "key=a"];
    insta::assert_snapshot!("unknown_field", refused(&place, &unknown));
    let without = ["add-changelog", "keyless", "--column", "object_id="];
    insta::assert_snapshot!("required_field", refused(&place, &without));
    insta::assert_snapshot!(
        "no_column",
        refused(&place, &["add-changelog", "keyless", "--column", "object_id"])
    );
}

#[test]
fn an_entity_type_that_is_taken_is_refused() {
    let place = Place::migrated();
    Connection::open(place.path("aftercommit.db"))
        .unwrap()
        .execute_batch(
            "CREATE TABLE orders (id INTEGER PRIMARY KEY); CREATE TABLE carts (id INTEGER PRIMARY KEY)",
        )
        .unwrap();
    assert_eq!(place.run(&["capture", "add", "orders", "--entity", "Order"]).code, Some(0));
    insta::assert_snapshot!("listed", place.run(&["capture", "list"]));
    insta::assert_snapshot!("taken", place.run(&["capture", "add", "carts", "--entity", "Order"]));
}
