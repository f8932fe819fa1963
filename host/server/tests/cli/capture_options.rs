//! What is captured of a table, renewing triggers, events of rows that were there before, and rows that could not become
//! events: on SQLite, through the program.

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
};

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::place::{Place, Run};

/// A place with tables of so many orders and no carts.
fn shop(orders: u32) -> Place {
    let place = Place::migrated();
    execute(
        &place,
        "CREATE TABLE orders (id INTEGER PRIMARY KEY, status TEXT, secret TEXT);
        CREATE TABLE carts (id INTEGER PRIMARY KEY);",
    );
    execute(
        &place,
        &format!(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {orders})
         INSERT INTO orders SELECT i, CASE i % 2 WHEN 0 THEN 'paid' ELSE 'draft' END, 's' FROM n"
        ),
    );
    place
}

fn execute(place: &Place, statements: &str) {
    Connection::open(place.path("aftercommit.db")).unwrap().execute_batch(statements).unwrap();
}

fn done(place: &Place, arguments: &[&str]) -> Run {
    let run = place.run(arguments);
    assert_eq!(run.code, Some(0), "{run}");
    run
}

fn json(place: &Place, arguments: &[&str]) -> Value {
    let run = done(place, &[arguments, &["--output", "json"]].concat());
    serde_json::from_str(&run.stdout).unwrap()
}

#[test]
fn columns_and_changes_are_chosen_and_said() {
    let place = shop(0);
    let add = ["capture", "add", "orders", "--entity", "Order"];
    let when = ["--exclude", "secret", "--when", "status <> 'draft'"];
    let said = done(&place, &[&add[..], &when].concat());
    assert_eq!(
        said.stdout,
        "captured orders as Order, key id, 2 columns, without secret, when status <> 'draft'\n"
    );
    execute(&place, "INSERT INTO orders VALUES (11, 'draft', 'x'), (12, 'paid', 'x')");
    let events = json(&place, &["events", "list"]);
    assert_eq!(events.as_array().unwrap().len(), 1);
    assert_eq!(events[0]["data"], json!({"id": 12, "status": "paid"}));
    let listed = json(&place, &["capture", "list"]);
    assert_eq!((&listed[0]["exclude"], &listed[0]["drift"]), (&json!(["secret"]), &Value::Null));
    assert_eq!(listed[0]["condition"], "status <> 'draft'");

    done(&place, &[&add[..], &["--only", "status"]].concat());
    let listed = json(&place, &["capture", "list"]);
    assert_eq!(listed[0]["only"], json!(["status"]));
    assert_eq!(listed[0]["columns"], json!(["id", "status"]), "the key always is captured");
}

#[test]
fn another_entity_type_has_to_be_meant() {
    let place = shop(0);
    done(&place, &["capture", "add", "orders", "--entity", "Order"]);
    let other = ["capture", "add", "orders", "--entity", "Purchase"];
    assert_eq!(place.run(&other).code, Some(2));
    done(&place, &[&other[..], &["--rename"]].concat());
    assert_eq!(json(&place, &["capture", "list"])[0]["entity_type"], "Purchase");
}

#[test]
fn one_that_can_not_be_renewed_holds_up_no_other() {
    let place = shop(0);
    done(&place, &["capture", "add", "orders", "--entity", "Order"]);
    done(&place, &["capture", "add", "carts", "--entity", "Cart"]);
    execute(&place, "DROP TABLE carts; ALTER TABLE orders ADD COLUMN note TEXT");
    assert!(json(&place, &["capture", "list"]).as_array().unwrap().iter().all(|it| it["drift"].is_string()));
    let run = place.run(&["capture", "refresh", "--all", "--output", "json"]);
    assert_eq!(run.code, Some(1), "{run}");
    let rows: Value = serde_json::from_str(&run.stdout).unwrap();
    let row =
        |table: &str| rows.as_array().unwrap().iter().find(|row| row["table"] == table).unwrap().clone();
    assert_eq!((&row("orders")["refreshed"], &row("carts")["refreshed"]), (&json!(true), &json!(false)));
    assert_eq!(row("orders")["columns"], json!(["id", "status", "secret", "note"]));
    assert!(
        run.stderr.contains("1 of 2 captures could not be renewed") && run.stderr.contains("carts: "),
        "{run}"
    );
    let listed = json(&place, &["capture", "list"]);
    let orders = listed.as_array().unwrap().iter().find(|it| it["table"] == "orders").unwrap();
    assert_eq!(orders["drift"], Value::Null);
}

#[test]
fn rows_that_were_there_become_events() {
    let place = shop(1200);
    done(&place, &["capture", "add", "orders", "--entity", "Order"]);
    let backfill = ["capture", "backfill", "orders", "--when", "status = 'paid'", "--kind", "custom"];
    let said = done(&place, &backfill);
    assert_eq!(said.stdout, "made 600 events of 1200 rows of orders\n");
    let events = json(&place, &["events", "list", "--kind", "custom", "--limit", "5000"]);
    assert_eq!(events.as_array().unwrap().len(), 600);
    let all = json(&place, &["capture", "backfill", "orders"]);
    assert_eq!((&all["rows"], &all["events"], &all["kind"]), (&json!(1200), &json!(1200), &json!("created")));
    assert!(all["finished_at"].is_string());
}

#[test]
fn an_interrupted_backfill_goes_on_where_it_was() {
    let place = shop(40);
    done(&place, &["capture", "add", "orders", "--entity", "Order"]);
    let slow = ["capture", "backfill", "orders", "--rate", "10"];
    let mut child = place.command(&slow).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    // The log may have a line before it: a slow machine holds locks for long.
    let progress = lines.by_ref().map(Result::unwrap).find(|line| line.starts_with("orders: ")).unwrap();
    assert!(progress.contains(" events, "), "{progress}");
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let rest: Vec<String> = lines.map(Result::unwrap).collect();
    assert_eq!(child.wait().unwrap().code(), Some(1), "{rest:?}");
    let hint = "go on with: aftercommit capture backfill orders --rate 10";
    assert!(rest.iter().any(|line| line.contains(hint)), "{rest:?}");

    let made = json(&place, &["events", "list"]).as_array().unwrap().len();
    assert!((1..40).contains(&made), "{made}");
    let other = place.run(&["capture", "backfill", "orders", "--kind", "custom"]);
    assert_eq!(other.code, Some(2), "an unfinished one of another kind is there: {other}");
    let run = done(&place, &["capture", "backfill", "orders"]);
    assert!(run.stderr.contains("goes on behind "), "{run}");
    assert_eq!(run.stdout, "made 40 events of 40 rows of orders\n");
    assert_eq!(json(&place, &["events", "list"]).as_array().unwrap().len(), 40, "none twice");
}

#[test]
fn only_what_is_captured_can_be_backfilled() {
    let place = shop(1);
    let run = place.run(&["capture", "backfill", "orders"]);
    assert!(matches!(run.code, Some(1 | 2)), "{run}");
    assert!(run.stderr.contains("orders"), "{run}");
}

#[test]
fn quarantined_rows_are_listed_put_back_and_discarded() {
    let place = shop(0);
    let file = "[[observers]]\nname = \"all\"\n[[observers.actions]]\ntype = \"log\"\nmessage = \"x\"\n";
    place.write("observers.toml", file);
    assert_eq!(json(&place, &["quarantine", "list"]), json!([]));
    // Images that someone destroyed before they were taken.
    let emit = ["events", "emit", "--entity", "Order", "--kind", "custom", "--id", "7", "--data", "{}"];
    done(&place, &emit);
    done(&place, &emit);
    execute(&place, "UPDATE observer_inbox SET data = '{'");
    run_until_quarantined(&place, 2);
    let rows = json(&place, &["quarantine", "list"]);
    let ids: Vec<String> = rows.as_array().unwrap().iter().map(|row| row["id"].to_string()).collect();
    assert_eq!(
        (ids.len(), &rows[0]["entity_type"], &rows[0]["entity_id"]),
        (2, &json!("Order"), &json!("7"))
    );
    let shown = json(&place, &["quarantine", "show", &ids[0]]);
    assert_eq!((&shown["data"], &shown["event_kind"]), (&json!("{"), &json!("custom")));
    assert_eq!(place.run(&["quarantine", "retry", &ids[0], "999"]).code, Some(1), "all or none");
    assert_eq!(done(&place, &["quarantine", "retry", &ids[0]]).stdout, format!("{}\n", ids[0]));
    assert_eq!(json(&place, &["quarantine", "list"]).as_array().unwrap().len(), 1);
    assert_eq!(done(&place, &["quarantine", "discard", &ids[1]]).stdout, "discarded 1\n");
    assert_eq!(json(&place, &["quarantine", "list"]), json!([]));
}

/// Runs a host until it has said so often that a row is in quarantine.
fn run_until_quarantined(place: &Place, rows: usize) {
    let mut host = place.command(&["run"]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(host.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert_eq!(lines.filter(|line| line.contains("it is in quarantine")).take(rows).count(), rows);
    host.kill().unwrap();
    host.wait().unwrap();
}
