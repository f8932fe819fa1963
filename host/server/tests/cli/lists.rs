//! Lists that are longer than a page.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    process::Stdio,
};

use rusqlite::Connection;
use serde_json::Value;

use crate::place::Place;

/// More than two pages.
const ROWS: usize = 1200;

/// A place with so many live deliveries, of which one is changed.
fn place(odd: usize, change: &str) -> Place {
    let place = Place::migrated();
    let rows = format!(
        "INSERT INTO observer_deliveries
             (id, event_seq, position, observer, action, action_type, state, priority, attempts, max_attempts, last_error, created_at)
         WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {ROWS})
         SELECT '5f0d7f0e-2f8f-5b0a-8d3f-' || printf('%012d', n), n, 0, 'orders', 'hook', 'webhook', 'ready', 100,
                0, 3, iif(n = {ROWS}, 'a last one that is wide', NULL), '2026-01-01T00:00:00.000000Z'
         FROM n;
         UPDATE observer_deliveries SET {change} WHERE event_seq = {odd}"
    );
    Connection::open(place.path("aftercommit.db")).unwrap().execute_batch(&rows).unwrap();
    place
}

fn list(limit: &str, format: &str) -> Vec<String> {
    ["deliveries", "list", "--limit", limit, "--output", format].map(str::to_owned).to_vec()
}

fn run(place: &Place, arguments: &[String]) -> crate::place::Run {
    place.run(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn a_list_is_whole_however_many_pages_it_has() {
    let place = place(1, "attempts = 7");
    for limit in [1, 499, 500, 501, 1000, ROWS, 2 * ROWS] {
        let printed = run(&place, &list(&limit.to_string(), "json"));
        let rows: Vec<Value> = serde_json::from_str(&printed.stdout).unwrap();
        assert_eq!(rows.len(), limit.min(ROWS));
        assert_eq!(rows[0]["attempts"], 7, "the oldest first");
        let table = run(&place, &list(&limit.to_string(), "table"));
        let lines: Vec<&str> = table.stdout.lines().collect();
        assert_eq!(lines.len(), limit.min(ROWS) + 1, "{table}");
        assert!(
            lines[0].starts_with("ID ") && lines[1..].iter().all(|line| line.starts_with("[id]")),
            "{table}"
        );
    }
    let whole = run(&place, &list("2000", "table"));
    assert!(whole.stdout.ends_with("a last one that is wide\n"), "nothing is cut");
}

#[test]
fn an_error_in_the_middle_ends_it_as_an_error() {
    // The last one of the second page, whose key can not be read.
    let place = place(1000, "position = 'x'");
    for format in ["json", "table"] {
        let printed = run(&place, &list("2000", format));
        assert_eq!(printed.code, Some(1), "{printed}");
        assert!(
            printed.stderr.contains("live_deliveries") && printed.stderr.contains("position"),
            "{printed}"
        );
        assert!(
            serde_json::from_str::<Value>(&printed.stdout).is_err(),
            "it can not be taken for a whole one"
        );
    }
    let printed = run(&place, &list("400", "json"));
    assert_eq!(printed.code, Some(0), "a page before it is whole: {printed}");
}

#[test]
fn a_row_that_can_not_be_read_is_passed_over() {
    let place = place(700, "attempts = -1");
    let printed = run(&place, &list("2000", "json"));
    let rows: Vec<Value> = serde_json::from_str(&printed.stdout).unwrap();
    assert_eq!((printed.code, rows.len()), (Some(0), ROWS - 1));
    assert!(
        printed.stderr.contains("a row cannot be read") && printed.stderr.contains("attempts"),
        "{}",
        printed.stderr
    );
}

#[test]
fn a_reader_that_goes_away_ends_it_quietly() {
    let place = place(1, "attempts = 1");
    for format in ["json", "table"] {
        let arguments = list("2000", format);
        let mut command = place.command(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut first = BufReader::with_capacity(64, child.stdout.take().unwrap());
        assert!(!first.fill_buf().unwrap().is_empty());
        drop(first);
        let mut errors = String::new();
        child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
        assert_eq!((child.wait().unwrap().code(), errors.as_str()), (Some(0), ""), "{format}");
    }
}
