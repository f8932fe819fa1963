//! Events, deliveries, dead letters and observers in the database.

use rusqlite::Connection;
use serde_json::Value;

use crate::place::Place;

const ID: &str = "0198f0a2-7b1c-7d30-9f4e-3c5b7a9d1e2f";

#[test]
fn an_emitted_event_keeps_every_digit() {
    let place = Place::migrated();
    let data = r#"{"n": 0.10000000000000000001, "z": 1, "a": 2}"#;
    let emit = [
        "events", "emit", "--entity", "Order", "--kind", "UPDATE", "--id", "7", "--data", data, "--old", "{}",
    ];
    let run = place.run(&emit);
    assert_eq!((run.code, run.stdout.as_str()), (Some(0), "[id]\n"), "{run}");
    let listed = place.run(&["events", "list", "--output", "json"]);
    let events: Value = serde_json::from_str(&listed.stdout).unwrap();
    assert_eq!(events[0]["data"].to_string(), r#"{"n":0.10000000000000000001,"z":1,"a":2}"#);
    assert_eq!(events[0]["changed"], serde_json::json!(["a", "n", "z"]));
    assert_eq!(events[0]["event_kind"], "updated");
}

#[test]
fn bad_rows_are_refused() {
    let place = Place::migrated();
    let emit = |data: &str| {
        place.run(&["events", "emit", "--entity", "Order", "--kind", "custom", "--id", "7", "--data", data])
    };
    insta::assert_snapshot!("data_is_not_json", emit("{\"total\": 150,}"));
    insta::assert_snapshot!("data_is_no_object", emit("[1]"));
    assert_eq!(place.run(&["events", "list", "--output", "json"]).stdout, "[]\n");
}

#[test]
fn unknown_ids_are_named() {
    let place = Place::migrated();
    insta::assert_snapshot!("unknown_event", place.run(&["events", "show", ID]));
    insta::assert_snapshot!("unknown_dead_letter", place.run(&["dlq", "retry", ID]));
    insta::assert_snapshot!("bad_id", place.run(&["events", "show", "7"]));
}

#[test]
fn observers_are_applied_by_name() {
    let place = Place::migrated();
    let file = |name: &str| {
        format!("[[observers]]\nname = \"{name}\"\n[[observers.actions]]\ntype = \"log\"\nmessage = \"x\"\n")
    };
    place.write("one.toml", file("order-shipped")).write("two.toml", file("order-paid"));
    insta::assert_snapshot!("first", place.run(&["observers", "apply", "one.toml"]));
    insta::assert_snapshot!(
        "dry_run",
        place.run(&["observers", "apply", "two.toml", "--prune", "--dry-run"])
    );
    insta::assert_snapshot!("after_dry_run", place.run(&["observers", "list"]));
    insta::assert_snapshot!(
        "prune",
        place.run(&["observers", "apply", "two.toml", "--prune", "--output", "json"])
    );
    insta::assert_snapshot!("unknown_observer", place.run(&["observers", "disable", "order-payed"]));
    assert_eq!(place.run(&["observers", "disable", "order-paid"]).code, Some(0));
    let shown = place.run(&["observers", "show", "order-paid", "--output", "json"]);
    let shown: Value = serde_json::from_str(&shown.stdout).unwrap();
    assert_eq!(shown["enabled"], false);
    assert_eq!(shown["actions"][0]["type"], "log");
    let removed = place.run(&["observers", "remove", "order-paid"]);
    assert_eq!((removed.code, removed.stdout.trim()), (Some(0), "order-paid is removed"));
    let removed = place.run(&["observers", "remove", "order-paid"]);
    assert_eq!(removed.code, Some(1), "{}", removed.stderr);
    assert!(removed.stderr.contains("there is no observer `order-paid`"), "{}", removed.stderr);
}

#[test]
fn an_observer_shows_what_its_actions_may_do() {
    let place = Place::new();
    std::fs::create_dir(place.path("secrets")).unwrap();
    place.write("secrets/TOKEN", "t").write("secrets/KEY", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").write(
        "aftercommit.toml",
        "[secrets]\ndir = \"secrets\"\n[smtp]\nhost = \"mail.example.com\"\nfrom = \"b@example.com\"\n[redis.default]\nurl = \"redis://127.0.0.1\"\n\
         [plugins.webhook.grants]\nhttp = [\"https://mirror.example.com\"]\n",
    );
    place.write(
        "observers.toml",
        r#"[[observers]]
name = "order-paid"
on_failure = "alert"
alert = { type = "email", to = "a@example.com", subject = "{{observer}}", body_template = "{{message}}" }
[[observers.actions]]
type = "webhook"
url = "https://example.com/hook"
headers = { Authorization = "Bearer ${secret:TOKEN}" }
signing_secret_env = "KEY"
grants = { private_network = ["10.1.0.0/16"], mail = true }
[[observers.actions]]
type = "cache"
action = "invalidate"
key_pattern = "order:{{id}}"
[[observers.actions]]
type = "log"
message = "x"
grants = { http = ["https://example.com"], secrets = ["TOKEN"] }
"#,
    );
    assert_eq!(place.run(&["migrate"]).code, Some(0));
    let applied = place.run(&["observers", "apply", "observers.toml"]);
    assert_eq!(applied.code, Some(0), "{applied}");
    let shown = place.run(&["observers", "show", "order-paid", "--output", "json"]);
    let shown: Value = serde_json::from_str(&shown.stdout).unwrap();
    insta::assert_snapshot!(serde_json::to_string_pretty(&shown["effective_grants"]).unwrap());
    std::fs::remove_file(place.path("secrets/KEY")).unwrap();
    let shown = place.run(&["observers", "show", "order-paid", "--output", "json"]);
    let shown: Value = serde_json::from_str(&shown.stdout).unwrap();
    let error = shown["effective_grants"][0]["error"].as_str().unwrap();
    assert!(error.contains("KEY") && shown["effective_grants"][0].get("http").is_none(), "{error}");
}

#[test]
fn a_dry_run_tells_what_the_last_day_would_have_been() {
    let place = Place::migrated();
    let file = |condition: &str| {
        format!(
            "[[observers]]\nname = \"big\"\ncondition = \"{condition}\"\n[[observers.actions]]\ntype = \"log\"\nmessage = \"x\"\n"
        )
    };
    place.write("strict.toml", file("total > 100")).write("loose.toml", file("total > 10"));
    assert_eq!(place.run(&["observers", "apply", "strict.toml"]).code, Some(0));
    for total in ["5", "50", "500"] {
        let data = format!("{{\"total\": {total}}}");
        let emit =
            ["events", "emit", "--entity", "Order", "--kind", "created", "--id", total, "--data", &data];
        assert_eq!(place.run(&emit).code, Some(0));
    }
    let dry_run = ["observers", "apply", "loose.toml", "--dry-run"];
    insta::assert_snapshot!("dry_run_with_events", place.run(&dry_run));
    let shown = place.run(&[&dry_run[..], &["--output", "json"]].concat());
    let shown: Value = serde_json::from_str(&shown.stdout).unwrap();
    assert_eq!(
        shown["last_24_h"],
        serde_json::json!({"events": 3, "observers": {"big": {"before": 1, "after": 2}}})
    );
}

#[test]
fn lists_are_arrays_even_when_empty() {
    let place = Place::migrated();
    for list in ["events", "deliveries", "destinations", "dlq", "quarantine", "observers", "capture"] {
        let run = place.run(&[list, "list", "--output", "json"]);
        assert_eq!((run.code, run.stdout.as_str()), (Some(0), "[]\n"), "{run}");
    }
}

#[test]
fn a_waiting_delivery_is_shown_with_since_when_and_why() {
    let place = Place::migrated();
    let rows = format!(
        "INSERT INTO observer_events (seq, id, entity_type, entity_id, event_kind, data, occurred_at)
         VALUES (1, '{ID}', 'Order', '1', 'created', '{{}}', '2026-01-01T00:00:00.000000Z');
         INSERT INTO observer_deliveries
             (id, event_seq, position, observer, action, action_type, state, priority, attempts, max_attempts,
              next_attempt_at, last_error, created_at)
         VALUES ('{ID}', 1, 0, 'orders', 'webhook', 'webhook', 'waiting', 100, 7, 16, '2026-01-01T01:00:00.000000Z',
                 'the destination answered 503', '2026-01-01T00:00:00.000000Z');"
    );
    Connection::open(place.path("aftercommit.db")).unwrap().execute_batch(&rows).unwrap();
    insta::assert_snapshot!("waiting", place.run(&["deliveries", "list", "--state", "waiting"]));
}
