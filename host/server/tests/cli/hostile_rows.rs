//! Rows, names and files of others in every output: nothing that a terminal or a reader of lines would obey comes out as it is.

use aftercommit_core::plain::is_obeyed;
use serde_json::{Value, json};

use crate::place::{Place, Run};

/// Sets a terminal's title, moves its cursor, turns a line around, forges a line of a log, and ends a line for some readers.
const HOSTILE: &str = "\u{1b}]0;pwned\u{7}\u{1b}[2J\u{9b}31m\u{202e}txt.exe\u{2066}\u{200b}\r\n2026-01-01T00:00:00Z ERROR forged\u{2028}\u{85}\u{feff}x";

fn check(run: &Run) {
    for output in [&run.stdout, &run.stderr] {
        let obeyed: Vec<char> = output.chars().filter(|letter| is_obeyed(*letter)).collect();
        assert!(obeyed.is_empty(), "{obeyed:?} in {run:?}");
    }
}

fn execute(place: &Place, sql: &str, values: &[&str]) {
    let database = rusqlite::Connection::open(place.path("aftercommit.db")).unwrap();
    database.execute(sql, rusqlite::params_from_iter(values)).unwrap();
}

/// A place whose tables are full of it.
fn hostile_place() -> Place {
    let place = Place::migrated();
    let data = json!({"note": HOSTILE, (HOSTILE): HOSTILE}).to_string();
    let emit = |kind: &str| {
        let arguments =
            ["events", "emit", "--entity", HOSTILE, "--kind", kind, "--id", HOSTILE, "--data", &data];
        let run = place.run(&[&arguments[..], &["--actor", HOSTILE, "--tenant", HOSTILE]].concat());
        assert_eq!(run.code, Some(0), "{run}");
    };
    emit("created");
    emit("custom");
    execute(
        &place,
        "INSERT INTO tb_observer (name, entity_type, condition, actions) VALUES (?1, ?1, ?1, '[{\"type\": \"log\", \"message\": \"' || 'x' || '\"}]')",
        &[HOSTILE],
    );
    execute(&place, "INSERT INTO tb_observer (name, actions) VALUES ('broken' || ?1, ?1)", &[HOSTILE]);
    execute(
        &place,
        "INSERT INTO observer_dlq_items (id, event_seq, event_id, entity_type, entity_id, event_kind, occurred_at, data, position, observer,
             action, action_type, action_config, priority, attempts, attempts_before, max_attempts, class, code, last_error, died_at)
         VALUES ('5f0d7f0e-2f8f-5b0a-8d3f-6f3f1c2b4a59', 1, '0198f0a2-7b1c-7d30-9f4e-3c5b7a9d1e2f', ?1, ?1, 'created',
             '2026-01-01T00:00:00.000000Z', ?2, 1, ?1, ?1, ?1, '{}', 1, 1, 0, 1, 'permanent', ?1, ?1, '2026-01-01T00:00:00.000000Z')",
        &[HOSTILE, &data],
    );
    execute(
        &place,
        "INSERT INTO tb_observer_log (event_id, observer, action, action_type, delivery_id, attempt, max_attempts, status, code, message, started_at,
             duration_us)
         SELECT id, ?1, ?1, ?1, '5f0d7f0e-2f8f-5b0a-8d3f-6f3f1c2b4a59', 1, 1, 'dead', 'x', ?1, '2026-01-01T00:00:00.000000Z', 1 FROM observer_inbox",
        &[HOSTILE],
    );
    place
}

#[test]
fn no_output_has_what_a_terminal_obeys() {
    let place = hostile_place();
    let events = place.run(&["events", "list", "--output", "json"]);
    let events: Value = serde_json::from_str(&events.stdout).unwrap();
    assert_eq!(events[0]["entity_id"], HOSTILE, "JSON loses nothing");
    let database = rusqlite::Connection::open(place.path("aftercommit.db")).unwrap();
    let id: String =
        database.query_row("SELECT id FROM observer_inbox LIMIT 1", [], |row| row.get(0)).unwrap();
    let letter = "5f0d7f0e-2f8f-5b0a-8d3f-6f3f1c2b4a59";
    let commands: [&[&str]; 25] = [
        &["events", "list"],
        &["events", "show", &id],
        &["deliveries", "list"],
        &["deliveries", "list", "--state", "dead"],
        &["deliveries", "list", "--code", "x"],
        &["dlq", "list"],
        &["dlq", "show", letter],
        &["observers", "list"],
        &["observers", "show", HOSTILE],
        &["observers", "show", "nobody"],
        &["observers", "disable", HOSTILE],
        &["observers", "remove", &format!("broken{HOSTILE}")],
        &["quarantine", "list"],
        &["capture", "add", HOSTILE, "--entity", HOSTILE],
        &["capture", "backfill", HOSTILE],
        &["capture", "refresh", HOSTILE],
        &["destinations", "resume", HOSTILE],
        &["condition", "eval", HOSTILE, "--event", "-"],
        &["condition", "eval", &format!("a = '{HOSTILE}' AN"), "--event", "-"],
        &["observers", "validate", HOSTILE],
        &["plugin", "check", HOSTILE],
        &["migrate", "--config", HOSTILE],
        &["events", "emit", "--entity", "a", "--kind", HOSTILE, "--id", "1", "--data", "{}"],
        &["events", "emit", "--entity", "a", "--kind", "custom", "--id", "1", "--data", HOSTILE],
        &[HOSTILE],
    ];
    for command in commands {
        for format in ["table", "json"] {
            let run = place.run(&[command, &["--output", format]].concat());
            check(&run);
            assert!(matches!(run.code, Some(0..=3)), "{run:?}");
        }
    }
}

#[test]
fn files_with_it_are_reported_without_it() {
    let place = Place::new();
    place.write(
        "aftercommit.toml",
        format!("[intake]\nbatch_size = \"{}\"\n\"{HOSTILE}\" = 1\n", "\u{202e}x\u{200b}"),
    );
    check(&place.run(&["migrate"]));
    place.write("aftercommit.toml", "");
    for (file, text) in [
        ("a.toml", format!("[[observers]]\nname = '''{HOSTILE}'''\ncondition = '''{HOSTILE}'''")),
        ("a.yaml", format!("- name: {}\n  {}: 1\n", json!(HOSTILE), json!(HOSTILE))),
        (
            "a.json",
            json!([{"name": HOSTILE, "condition": HOSTILE, (HOSTILE): 1, "actions": [{"type": HOSTILE}]}])
                .to_string(),
        ),
    ] {
        place.write(file, text);
        for format in ["table", "json"] {
            let run = place.run(&["observers", "validate", file, "--output", format]);
            assert_eq!(run.code, Some(2), "{run:?}");
            check(&run);
        }
    }
}
