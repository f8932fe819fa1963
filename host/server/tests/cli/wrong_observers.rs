//! Files of observers that are wrong: every problem at its place, exit code 2, nothing applied.

use crate::place::{Place, Run};

const GOOD: &str =
    "[[observers]]\nname = \"good\"\n[[observers.actions]]\ntype = \"log\"\nmessage = \"x\"\n\n";

/// Applies a file whose first observer is good, and makes sure that nothing of it was applied.
fn apply(rest: &str) -> Run {
    let place = Place::migrated();
    place.write("observers.toml", format!("{GOOD}{rest}"));
    let run = place.run(&["observers", "apply", "observers.toml"]);
    assert_eq!(run.code, Some(2), "{run}");
    assert_eq!(place.run(&["observers", "list", "--output", "json"]).stdout, "[]\n");
    run
}

fn webhook(keys: &str) -> String {
    format!("[[observers]]\nname = \"bad\"\n[[observers.actions]]\ntype = \"webhook\"\n{keys}\n")
}

#[test]
fn a_bad_condition_is_pointed_at() {
    let condition = "condition = \"total > 100 AN status = 'pending'\"";
    insta::assert_snapshot!(apply(&format!(
        "[[observers]]\nname = \"bad\"\n{condition}\n[[observers.actions]]\ntype = \"log\"\n"
    )));
}

#[test]
fn unknown_keys_and_wrong_types_are_all_named() {
    insta::assert_snapshot!(apply("[[observers]]\nnam = \"bad\"\npriority = \"high\"\nactions = []\n"));
}

#[test]
fn an_unknown_plugin_is_named_with_the_nearest() {
    insta::assert_snapshot!(apply(
        "[[observers]]\nname = \"bad\"\n[[observers.actions]]\ntype = \"webhok\"\n"
    ));
}

#[test]
fn a_schema_violation_is_pointed_at() {
    insta::assert_snapshot!(apply(&webhook("url = 7\nmethodd = \"PUT\"")));
}

#[test]
fn a_bad_template_is_pointed_at() {
    insta::assert_snapshot!(apply(&webhook(
        "url = \"https://example.com\"\nbody_template = '{\"id\": {{#if}'"
    )));
}

#[test]
fn a_body_that_is_no_json_is_refused() {
    let run = apply(&webhook("url = \"https://example.com\"\nbody_template = '{\"id\": 7,}'"));
    assert!(run.stderr.contains("not JSON at line 1, column 10"), "{run}");
}

/// For most rows it is JSON, so it is no error.
#[test]
fn a_value_outside_of_a_string_is_warned_of() {
    let place = Place::new();
    let keys = "url = \"https://example.com\"\nbody_template = '{\"total\": {{total}}}'";
    place.write("observers.toml", webhook(keys));
    let run = place.run(&["observers", "validate", "observers.toml"]);
    assert_eq!(run.code, Some(0), "{run}");
    let warned = run.stderr.contains(
        "warning: observers[0].actions[0].body_template: line 1, column 11: `{{total}}` stands outside",
    );
    assert!(warned, "{run}");
}

#[test]
fn a_missing_secret_is_named() {
    let keys =
        "url = \"https://example.com\"\nheaders = { Authorization = \"Bearer ${secret:NOT_SET_ANYWHERE}\" }";
    insta::assert_snapshot!(apply(&webhook(keys)));
}

#[test]
fn six_mistakes_of_one_observer_are_in_one_answer() {
    insta::assert_snapshot!(apply(&webhook(
        "url = \"http://127.0.0.1:8080/hook\"\nheaders = { Authorization = \"Bearer ${secret:NOT_SET_ANYWHERE}\" }\n\
         body_template = '{\"id\": {{#if}'\nmethodd = \"PUT\"\nfollow_redirects = \"many\"\nlimits = { memory_mb = 0 }"
    )));
}

/// A missing secret is no wrong URL too, and what is wrong with the grants is not one of each URL.
#[test]
fn a_mistake_is_reported_once_and_beside_those_of_the_observer() {
    let action = webhook(
        "url_env = \"NOT_SET_ANYWHERE\"\ntimeout_ms = \"soon\"\ngrants = { http = [\"nonsense\"] }\n\
         oauth2 = { token_url = \"https://{{host}}/token\", client_id = \"c\", client_secret = \"hunter2\" }\n",
    );
    let observer = action.replace("[[observers.actions]]", "priority = \"high\"\n[[observers.actions]]");
    let run = apply(&observer);
    assert!(!run.stderr.contains("hunter2"), "{run}");
    insta::assert_snapshot!(run);
}

#[test]
fn validate_needs_no_database() {
    let place = Place::new();
    place.write("good.toml", GOOD).write("bad.yaml", "observers:\n- name: a\n  actions: {}\n");
    insta::assert_snapshot!(place.run(&["observers", "validate", "good.toml"]));
    insta::assert_snapshot!(place.run(&["observers", "validate", "bad.yaml"]));
    assert!(!place.path("aftercommit.db").exists());
}

#[test]
fn an_alert_is_checked_as_other_actions_are() {
    insta::assert_snapshot!(apply(
        "[[observers]]\nname = \"bad\"\nalert_interval_secs = 0\n[observers.alert]\ntype = \"log\"\nname = \"mine\"\n\
         [[observers.actions]]\ntype = \"log\"\nmessage = \"x\"\n"
    ));
    insta::assert_snapshot!(
        "an_action_with_the_alerts_name",
        apply(
            "[[observers]]\nname = \"bad\"\non_failure = \"alert\"\nalert = { type = \"log\", message = \"x\" }\n\
             [[observers.actions]]\ntype = \"log\"\nmessage = \"x\"\nname = \"alert\"\n"
        )
    );
    insta::assert_snapshot!(
        "an_alert_with_a_wrong_template",
        apply(
            "[[observers]]\nname = \"bad\"\non_failure = \"alert\"\n[observers.alert]\ntype = \"log\"\nmessage = \"{{#if}\"\n\
             [[observers.actions]]\ntype = \"log\"\nmessage = \"x\"\n"
        )
    );
}
