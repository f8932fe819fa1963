//! Arguments of `capture`, `quarantine` and `events emit` that are refused before the database is asked.

use serde_json::Value;

use crate::place::{Place, Run};

fn wrong(arguments: &[&str]) -> Run {
    let run = Place::new().run(arguments);
    assert_eq!(run.code, Some(2), "{run}");
    run
}

#[test]
fn help_teaches() {
    let place = Place::new();
    insta::assert_snapshot!("help_capture_add", place.run(&["capture", "add", "--help"]));
    insta::assert_snapshot!("help_capture_refresh", place.run(&["capture", "refresh", "--help"]));
    insta::assert_snapshot!("help_capture_backfill", place.run(&["capture", "backfill", "--help"]));
    insta::assert_snapshot!("help_quarantine_retry", place.run(&["quarantine", "retry", "--help"]));
}

#[test]
fn what_contradicts_itself_is_refused() {
    let both = ["capture", "add", "users", "--entity", "User", "--only", "id,name", "--exclude", "password"];
    insta::assert_snapshot!("only_and_exclude", wrong(&both));
    insta::assert_snapshot!("refresh_nothing", wrong(&["capture", "refresh"]));
    wrong(&["capture", "refresh", "orders", "--all"]);
    wrong(&["quarantine", "retry"]);
    wrong(&["quarantine", "retry", "7", "--all"]);
    wrong(&["quarantine", "discard"]);
    wrong(&["quarantine", "show", "seven"]);
    wrong(&["capture", "backfill", "orders", "--rate", "0"]);
    wrong(&["capture", "backfill", "orders", "--kind", "updated"]);
}

#[test]
fn a_bad_condition_is_shown_at_its_place() {
    let add = ["capture", "add", "orders", "--entity", "Order", "--when", "status == 'paid'"];
    insta::assert_snapshot!("add_bad_condition", wrong(&add));
    let backfill = ["capture", "backfill", "orders", "--when", "status ="];
    insta::assert_snapshot!("backfill_bad_condition", wrong(&backfill));
}

#[test]
fn an_emitted_event_says_who_made_it_in_which_trace() {
    let place = Place::migrated();
    let emit = |traceparent: &str| {
        let arguments = [
            "events",
            "emit",
            "--entity",
            "Order",
            "--kind",
            "custom",
            "--id",
            "7",
            "--data",
            "{}",
            "--actor",
            "ann",
            "--tenant",
            "acme",
            "--traceparent",
            traceparent,
        ];
        place.run(&arguments)
    };
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    assert_eq!(emit(trace).code, Some(0));
    let bad = emit("00-00000000000000000000000000000000-b7ad6b7169203331-01");
    assert_eq!(bad.code, Some(2), "{bad}");
    insta::assert_snapshot!("bad_traceparent", bad);
    let listed = place.run(&["events", "list", "--output", "json"]);
    let events: Value = serde_json::from_str(&listed.stdout).unwrap();
    assert_eq!(events.as_array().unwrap().len(), 1);
    let event = &events[0];
    assert_eq!(
        (&event["traceparent"], &event["actor"], &event["tenant_id"]),
        (&trace.into(), &"ann".into(), &"acme".into())
    );
}
