//! `dlq`: which dead letters a command is about, and what it asks before it discards them.

use rusqlite::Connection;
use serde_json::Value;

use crate::place::Place;

/// Four dead letters of two observers, one a day.
fn place() -> Place {
    let place = Place::migrated();
    let rows = "INSERT INTO observer_dlq_items (id, event_seq, event_id, entity_type, entity_id, event_kind, occurred_at, data, position,
             observer, action, action_type, action_config, priority, attempts, attempts_before, max_attempts, class, code, last_error, died_at)
         WITH n (n) AS (VALUES (1), (2), (3), (4))
         SELECT '5f0d7f0e-2f8f-5b0a-8d3f-6f3f1c2b4a5' || n, n, '0198f0a2-7b1c-7d30-9f4e-3c5b7a9d1e2' || n, 'Order', n, 'created',
                '2026-01-01T00:00:00.000000Z', '{}', 0, iif(n < 4, 'order, shipped', 'other'), 'hook', 'webhook', '{}', 100, 3, 0, 3,
                'permanent', 'http_410', 'gone', '2026-01-0' || n || 'T00:00:00.000000Z'
         FROM n";
    Connection::open(place.path("aftercommit.db")).unwrap().execute_batch(rows).unwrap();
    place
}

fn listed(place: &Place, arguments: &[&str]) -> Vec<String> {
    let run = place.run(&[&["dlq", "list", "--output", "json"], arguments].concat());
    let rows: Vec<Value> = serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}: {run}"));
    rows.iter().map(|row| row["event"]["entity_id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_filter_chooses() {
    let place = place();
    assert_eq!(listed(&place, &[]), ["4", "3", "2", "1"]);
    assert_eq!(listed(&place, &["--limit", "1"]), ["4"]);
    assert_eq!(
        listed(&place, &["--where", "observer = 'order, shipped', since = 2026-01-02T00:00:00Z"]),
        ["3", "2"]
    );
    let both = ["--where", "observer = other, until = 2026-01-03T00:00:00Z"];
    assert_eq!(listed(&place, &both), Vec::<String>::new());
    let preview = place.run(&["dlq", "retry", "--where", "observer = other", "--preview"]);
    assert_eq!((preview.code, preview.stdout.as_str()), (Some(0), "1 dead letter; nothing was done\n"));
    let preview = place.run(&["dlq", "discard", "--all", "--preview", "--output", "json"]);
    assert_eq!(preview.stdout, "{\"preview\":true,\"dead_letters\":4}\n");
    assert_eq!(listed(&place, &[]).len(), 4);
}

#[test]
fn a_wrong_filter_does_nothing() {
    let place = place();
    for (filter, named) in [
        ("obsrever = other", "did you mean `observer`?"),
        ("", "is not KEY = VALUE"),
        ("observer =", "`observer` has no value"),
        ("since = soon", "`since` is a time such as"),
    ] {
        for command in ["retry", "discard"] {
            let run = place.run(&["dlq", command, "--where", filter]);
            assert_eq!(run.code, Some(2), "{run}");
            assert!(run.stderr.contains(named), "{run}");
        }
    }
    for arguments in
        [&["retry"][..], &["discard"], &["discard", "--yes"], &["retry", "--all", "--where", "code = x"]]
    {
        let run = place.run(&[&["dlq"], arguments].concat());
        assert_eq!(run.code, Some(2), "{run}");
    }
    assert_eq!(listed(&place, &[]).len(), 4);
}

#[test]
fn discarding_many_is_confirmed() {
    let place = place();
    let run = place.run(&["dlq", "discard", "--where", "code = http_410"]);
    assert_eq!(run.code, Some(2), "nobody can answer: {run}");
    assert!(
        run.stderr.contains("4 dead letters would be discarded for good") && run.stderr.contains("--yes"),
        "{run}"
    );
    assert_eq!(listed(&place, &[]).len(), 4);
    let run = place.run(&["dlq", "discard", "--where", "observer = other", "--yes"]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(0), "discarded 1\n"), "{run}");
    assert_eq!(listed(&place, &[]), ["3", "2", "1"]);
    let run = place.run(&["dlq", "discard", "--all", "--yes", "--output", "json"]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(0), "{\"discarded\":3}\n"), "{run}");
    let run = place.run(&["dlq", "discard", "--all"]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(0), "discarded 0\n"), "there is nothing to ask: {run}");
}

#[test]
fn ids_are_all_or_none_and_many_are_printed_as_they_are_made() {
    let place = place();
    let (first, unknown) = ("5f0d7f0e-2f8f-5b0a-8d3f-6f3f1c2b4a51", "5f0d7f0e-2f8f-5b0a-8d3f-6f3f1c2b4a59");
    for command in ["retry", "discard"] {
        let run = place.run(&["dlq", command, first, unknown]);
        assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""), "{run}");
        assert!(run.stderr.contains("there is no dead letter") || run.stderr.contains("[id]"), "{run}");
    }
    assert_eq!(listed(&place, &[]).len(), 4);
    let run = place.run(&["dlq", "discard", first]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(0), "discarded 1\n"), "{run}");
    let run = place.run(&["dlq", "retry", "--where", "observer = other"]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(0), "[id]\n"), "{run}");
    let run = place.run(&["dlq", "retry", "--all", "--output", "json"]);
    let made: Vec<Value> = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!((made.len(), &made[0]["status"]), (2, &Value::from("ready")), "{run}");
    let run = place.run(&["dlq", "retry", "--all", "--output", "json"]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(0), "[]\n"), "{run}");
}
