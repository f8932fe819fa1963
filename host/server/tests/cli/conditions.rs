//! `condition eval`.

use crate::place::{Place, Run};

const EVENT: &str =
    r#"{"entity_type": "Order", "event_kind": "updated", "data": {"total": 150.00}, "old": {"total": 1}}"#;

fn eval(expression: &str, event: &str) -> Run {
    Place::new().run_with_input(&["condition", "eval", expression, "--event", "-"], event)
}

#[test]
fn the_three_values() {
    for (expression, value) in [
        ("total > 100", "true\n"),
        ("OLD.total > 100", "false\n"),
        ("missing = 1", "unknown\n"),
        ("CHANGED(total)", "true\n"),
    ] {
        let run = eval(expression, EVENT);
        assert_eq!((run.code, run.stdout.as_str()), (Some(0), value), "{run}");
    }
}

#[test]
fn a_file_is_read_too() {
    let place = Place::new();
    place.write("event.json", EVENT);
    let run = place.run(&["condition", "eval", "total = 150", "--event", "event.json", "--output", "json"]);
    assert_eq!(run.stdout, "{\"value\":\"true\"}\n", "{run}");
}

#[test]
fn wrong_ones_are_explained() {
    insta::assert_snapshot!("bad_expression", eval("total > AND 1", EVENT));
    insta::assert_snapshot!("evaluation_error", eval("total = 'many'", EVENT));
    insta::assert_snapshot!("bad_json", eval("total > 1", "{\"entity_type\": \"Order\",\n \"data\": }"));
    let twice = eval(
        "total > 1",
        r#"{"entity_type": "Order", "event_kind": "created", "data": {"total": 1, "total": 2}}"#,
    );
    assert!(twice.code == Some(2) && twice.stderr.contains("the key `total` appears twice"), "{twice}");
    insta::assert_snapshot!("no_event", eval("total > 1", "{\"entity_type\": \"Order\"}"));
    let missing = Place::new().run(&["condition", "eval", "total > 1", "--event", "none.json"]);
    insta::assert_snapshot!("no_file", missing);
}
