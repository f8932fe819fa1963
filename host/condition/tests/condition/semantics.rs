//! Every rule of the language, one table for each.

use aftercommit_condition::{Condition, EventContext, Row};
use aftercommit_core::{EntityEvent, EventKind};
use serde_json::{Value, json};

fn event(json: Value) -> EntityEvent {
    let mut json = json;
    json["entity_type"] = "Order".into();
    serde_json::from_value(json).unwrap()
}

/// `true`, `false`, `unknown`, or the message of an error.
fn answer(condition: &str, event: &EntityEvent) -> String {
    let condition = Condition::parse(condition)
        .unwrap_or_else(|diagnostic| panic!("{}", diagnostic.render(condition, "test", false)));
    match condition.evaluate(&Row::from(event)) {
        Ok(truth) => truth.to_string(),
        Err(error) => format!("error: {error}"),
    }
}

fn check(event: &EntityEvent, table: &[(&str, &str)]) {
    for (condition, expected) in table {
        let answer = answer(condition, event);
        assert!(answer.starts_with(expected), "{condition}: {answer}, not {expected}");
    }
}

fn created(data: Value) -> EntityEvent {
    EntityEvent::new(EventKind::Created, "Order", 1, data)
}

fn updated(old: Value, data: Value) -> EntityEvent {
    EntityEvent::new(EventKind::Updated, "Order", 1, data).with_old(old)
}

#[test]
fn comparisons() {
    let event = created(json!({"n": 100, "t": "b", "yes": true}));
    check(
        &event,
        &[
            ("n = 100", "true"),
            ("n != 100", "false"),
            ("n <> 99", "true"),
            ("n > 99", "true"),
            ("n >= 100", "true"),
            ("n < 100", "false"),
            ("n <= 100", "true"),
            ("100 = n", "true"),
            ("n > -5", "true"),
            ("t = 'b'", "true"),
            ("t > 'a'", "true"),
            ("t < 'ba'", "true"),
            ("t < 'B'", "false"),
            ("yes = TRUE", "true"),
            ("yes != false", "true"),
            ("1 = 1", "true"),
        ],
    );
}

#[test]
fn texts_order_by_code_point() {
    let event = created(json!({"day": "2026-01-31", "t": "ä"}));
    check(
        &event,
        &[
            ("day > '2026-01-30' AND day < '2026-02'", "true"),
            ("t > 'z'", "true"),
            ("t < '\u{10348}'", "true"),
        ],
    );
}

#[test]
fn date_times_compare_as_instants() {
    let data = json!({
        "at": "2026-02-01T00:00:00Z", "local": "2026-02-01T01:00:00.000+01:00", "day": "2026-02-01",
        "times": ["2026-02-01T00:00:00Z"], "missing": null,
    });
    let old = json!({"at": "2026-02-01t01:00:00+01:00", "local": "2026-01-01T00:00:00Z"});
    check(
        &updated(old, data),
        &[
            ("at = local", "true"),
            ("at != '2026-02-01 00:00:00.0Z'", "false"),
            ("at < '2026-01-31T23:00:00-02:00'", "true"),
            ("at >= '2026-02-01T00:59:59.999999999999+01:00'", "true"),
            ("at IN ('2026-01-31T23:00:00-01:00')", "true"),
            ("at NOT BETWEEN '2026-01-31T23:59:60Z' AND '2026-02-01T05:00:00+05:00'", "false"),
            ("at > '2016-12-31T23:59:60Z'", "true"),
            // One of them is none: texts.
            ("at > day AND at < '2026-02-01T01'", "true"),
            ("at > '2026-02-01T00:00:00'", "true"),
            ("at = missing", "unknown"),
            // Text operators see letters, and so does a change.
            ("local CONTAINS '00:00:00Z'", "false"),
            ("local LIKE at", "false"),
            ("times CONTAINS '2026-02-01T00:00:00Z'", "true"),
            ("times CONTAINS local", "false"),
            ("CHANGED(at)", "true"),
            ("CHANGED_TO(local, at)", "true"),
            ("CHANGED_FROM(at, '2026-02-01T00:00:00Z')", "true"),
        ],
    );
}

#[test]
fn numbers_compare_by_value_and_exactly() {
    let data: Value = serde_json::from_str(
        r#"{"n": 100.00, "tiny": 0.10000000000000000001, "big": 9007199254740993, "huge": 1e999999999}"#,
    )
    .unwrap();
    check(
        &created(data),
        &[
            ("n = 100", "true"),
            ("n = 1e2", "true"),
            ("n IN (99, 100.0)", "true"),
            ("tiny = 0.1", "false"),
            ("tiny > 0.1", "true"),
            ("big = 9007199254740992", "false"),
            ("big > 9007199254740992", "true"),
            ("huge > 99999999999999999999", "true"),
            ("huge = 10E999999998", "true"),
        ],
    );
}

#[test]
fn precedence_is_not_then_and_then_or() {
    let event = created(json!({"t": 1, "f": 0}));
    check(
        &event,
        &[
            ("t = 1 OR t = 1 AND f = 1", "true"),
            ("(t = 1 OR t = 1) AND f = 1", "false"),
            ("NOT f = 1 AND f = 1", "false"),
            ("NOT (f = 1 AND f = 1)", "true"),
            ("NOT t = 1 OR t = 1", "true"),
            ("NOT NOT t = 1", "true"),
            ("not t = 1 or T = 5 and t = 1", "unknown"),
        ],
    );
}

#[test]
fn three_valued_logic() {
    let event = created(json!({"one": 1, "null": null}));
    let truths = [("one = 1", "true"), ("one = 2", "false"), ("missing = 1", "unknown")];
    for (left, left_truth) in truths {
        for (right, right_truth) in truths {
            let and = match (left_truth, right_truth) {
                ("false", _) | (_, "false") => "false",
                ("true", "true") => "true",
                _ => "unknown",
            };
            let or = match (left_truth, right_truth) {
                ("true", _) | (_, "true") => "true",
                ("false", "false") => "false",
                _ => "unknown",
            };
            check(&event, &[(&format!("{left} AND {right}"), and), (&format!("{left} OR {right}"), or)]);
        }
    }
    check(&event, &[("NOT one = 1", "false"), ("NOT one = 2", "true"), ("NOT missing = 1", "unknown")]);
}

#[test]
fn null_and_missing() {
    let event = created(json!({"null": null, "one": 1, "t": "x"}));
    check(
        &event,
        &[
            ("\"null\" = 1", "unknown"),
            ("\"null\" != 1", "unknown"),
            ("\"null\" = \"null\"", "unknown"),
            ("missing = 1", "unknown"),
            ("missing = missing", "unknown"),
            ("one = NULL", "unknown"),
            ("NULL = NULL", "unknown"),
            ("one > missing", "unknown"),
            ("\"null\" LIKE 'x'", "unknown"),
            ("t LIKE missing", "unknown"),
            ("missing CONTAINS 'x'", "unknown"),
            ("missing STARTS_WITH 'x'", "unknown"),
            ("missing IN (1, 2)", "unknown"),
            ("missing NOT IN (1, 2)", "unknown"),
            ("one IN (1, NULL)", "true"),
            ("one IN (2, NULL)", "unknown"),
            ("one NOT IN (2, NULL)", "unknown"),
            ("one NOT IN (1, NULL)", "false"),
            ("one BETWEEN 2 AND missing", "false"),
            ("one BETWEEN 1 AND missing", "unknown"),
            ("missing BETWEEN 1 AND 2", "unknown"),
            ("\"null\" IS NULL", "true"),
            ("missing IS NULL", "true"),
            ("one IS NULL", "false"),
            ("\"null\" IS NOT NULL", "false"),
            ("missing IS NOT NULL", "false"),
            ("one is not null", "true"),
            ("HAS_FIELD(\"null\")", "true"),
            ("HAS_FIELD(one)", "true"),
            ("HAS_FIELD(missing)", "false"),
            ("NOT has_field(missing)", "true"),
        ],
    );
}

#[test]
fn in_and_between() {
    let event = created(json!({"n": 5, "low": 4, "t": "b"}));
    check(
        &event,
        &[
            ("n IN (4, 5)", "true"),
            ("n IN (4, 6)", "false"),
            ("n NOT IN (4, 6)", "true"),
            ("t IN ('a', 'b')", "true"),
            ("n IN (low, 5)", "true"),
            ("n BETWEEN 5 AND 6", "true"),
            ("n BETWEEN 4 AND 5", "true"),
            ("n BETWEEN 6 AND 4", "false"),
            ("n NOT BETWEEN 6 AND 7", "true"),
            ("n BETWEEN low AND 9 AND t = 'b'", "true"),
            ("t BETWEEN 'a' AND 'c'", "true"),
        ],
    );
}

#[test]
fn looking_into_texts_and_arrays() {
    let event = created(json!({
        "t": "it's 100%", "path": "a\\b", "tags": ["new", 5, null, {"a": 1.0}], "one": {"a": 1}, "pattern": "it%",
    }));
    check(
        &event,
        &[
            ("t LIKE 'it%'", "true"),
            ("t LIKE 'it_s%'", "true"),
            ("t LIKE 'it'", "false"),
            ("t LIKE 'IT%'", "false"),
            ("t LIKE '%100\\%'", "true"),
            ("t LIKE '%10\\%'", "false"),
            ("path LIKE 'a\\\\b'", "true"),
            ("t LIKE pattern", "true"),
            ("t NOT LIKE 'x%'", "true"),
            ("t CONTAINS 's 1'", "true"),
            ("t CONTAINS ''", "true"),
            ("t CONTAINS '%'", "true"),
            ("t NOT CONTAINS 'x'", "true"),
            ("t STARTS_WITH 'it''s'", "true"),
            ("t STARTS_WITH '100'", "false"),
            ("t NOT STARTS_WITH '100'", "true"),
            ("t ENDS_WITH '%'", "true"),
            ("t NOT ENDS_WITH '%'", "false"),
            ("tags CONTAINS 'new'", "true"),
            ("tags CONTAINS 'ne'", "false"),
            ("tags CONTAINS 5.0", "true"),
            ("tags CONTAINS TRUE", "false"),
            ("tags CONTAINS NULL", "unknown"),
            ("tags CONTAINS one", "true"),
            ("tags[0] CONTAINS 'e'", "true"),
        ],
    );
}

#[test]
fn paths_and_names() {
    let event = created(json!({
        "customer": {"address": {"city": "Lyon"}, "in": 1, "first name": "Ada"},
        "items": [{"sku": "a"}, {"sku": "b"}],
        "order-id": 7,
        "a\"b": 8,
        "and": 9,
        "größe": 10,
        "$x": 11,
        "Total": 12,
        "_a1$": 13,
    }));
    check(
        &event,
        &[
            ("customer.address.city = 'Lyon'", "true"),
            ("customer.in = 1", "true"),
            ("customer.\"first name\" = 'Ada'", "true"),
            ("items[1].sku = 'b'", "true"),
            ("items[2].sku = 'b'", "unknown"),
            ("items.sku = 'b'", "unknown"),
            ("customer[0] = 'b'", "unknown"),
            ("customer.address.city.name IS NULL", "true"),
            ("HAS_FIELD(items[1].sku)", "true"),
            ("HAS_FIELD(items[2])", "false"),
            ("HAS_FIELD(customer.address.zip)", "false"),
            ("\"order-id\" = 7", "true"),
            ("\"a\"\"b\" = 8", "true"),
            ("\"and\" = 9", "true"),
            ("größe = 10", "true"),
            ("\"$x\" = 11", "true"),
            ("total = 12", "unknown"),
            ("Total = 12", "true"),
            ("_a1$ = 13", "true"),
        ],
    );
}

#[test]
fn keywords_and_functions_in_any_case() {
    let event = updated(json!({"a": 1}), json!({"a": 2}));
    check(
        &event,
        &[
            ("Changed(a) And Not a In (1) aNd a Is Not Null", "true"),
            ("old.a < new.a", "true"),
            ("changed_to (a, 2) or FALSE = true", "true"),
        ],
    );
}

#[test]
fn the_two_images() {
    let event = updated(json!({"total": 1, "gone": 5}), json!({"total": 2}));
    check(
        &event,
        &[
            ("OLD.total < NEW.total", "true"),
            ("OLD.total < total", "true"),
            ("NEW.total = total", "true"),
            ("OLD.gone = 5", "true"),
            ("gone IS NULL", "true"),
            ("HAS_FIELD(OLD.gone) AND NOT HAS_FIELD(gone)", "true"),
        ],
    );
    let created = created(json!({"total": 2}));
    check(
        &created,
        &[("OLD.total IS NULL", "true"), ("OLD.total = 2", "unknown"), ("NEW.total = 2", "true")],
    );
    check(&created, &[("HAS_FIELD(OLD.total)", "false")]);
    let deleted = self::event(json!({"event_kind": "deleted", "data": {"total": 2}}));
    check(&deleted, &[("total = 2", "true"), ("OLD.total = 2", "true"), ("NEW.total = 2", "unknown")]);
    check(&deleted, &[("NEW.total IS NULL", "true"), ("HAS_FIELD(NEW.total)", "false")]);
}

#[test]
fn an_image_that_cannot_be_is_ignored() {
    let created = event(json!({"event_kind": "created", "data": {"a": 1}, "old": {"a": 2}}));
    check(&created, &[("OLD.a IS NULL", "true"), ("CHANGED(a)", "false"), ("CHANGED_TO(a, 1)", "true")]);
}

#[test]
fn changes_of_an_update() {
    let event = updated(
        json!({"status": "paid", "same": 100, "was": null, "now": 1, "customer": {"city": "A", "zip": 1}}),
        json!({"status": "shipped", "same": 100.0, "was": 1, "now": null, "customer": {"city": "B", "zip": 1.0}}),
    );
    check(
        &event,
        &[
            ("CHANGED(status)", "true"),
            ("CHANGED(same)", "false"),
            ("CHANGED(missing)", "false"),
            ("CHANGED(customer)", "true"),
            ("CHANGED(customer.city)", "true"),
            ("CHANGED(customer.zip)", "false"),
            ("CHANGED(customer.missing)", "false"),
            ("CHANGED_TO(status, 'shipped')", "true"),
            ("CHANGED_TO(status, 'paid')", "false"),
            ("CHANGED_FROM(status, 'paid')", "true"),
            ("CHANGED_FROM(status, 'shipped')", "false"),
            ("CHANGED_TO(same, 100)", "false"),
            ("CHANGED_TO(same, 'text')", "false"),
            ("CHANGED_TO(now, NULL)", "true"),
            ("CHANGED_TO(was, NULL)", "false"),
            ("CHANGED_FROM(was, NULL)", "true"),
            ("CHANGED_FROM(now, NULL)", "false"),
            ("CHANGED_TO(now, 1)", "false"),
            ("NOT CHANGED_TO(now, 1)", "true"),
            ("CHANGED_TO(was, now)", "false"),
            ("CHANGED_TO(customer.city, 'B')", "true"),
            ("CHANGED_FROM(customer.city, 'A')", "true"),
            ("CHANGED_TO(status, 5)", "error: `status` is text and `5` is a number: `CHANGED_TO`"),
        ],
    );
}

#[test]
fn changes_of_created_and_deleted() {
    let created = created(json!({"status": "new", "null": null}));
    check(
        &created,
        &[
            ("CHANGED(status)", "false"),
            ("CHANGED_TO(status, 'new')", "true"),
            ("CHANGED_TO(status, 'old')", "false"),
            ("CHANGED_TO(\"null\", NULL)", "true"),
            ("CHANGED_TO(missing, 'new')", "false"),
            ("CHANGED_FROM(status, 'new')", "false"),
            ("CHANGED_TO(status, 1)", "error"),
        ],
    );
    let deleted = event(json!({"event_kind": "deleted", "data": {"status": "old"}}));
    check(
        &deleted,
        &[
            ("CHANGED(status)", "false"),
            ("CHANGED_TO(status, 'old')", "false"),
            ("CHANGED_FROM(status, 'old')", "true"),
            ("CHANGED_FROM(status, 'new')", "false"),
        ],
    );
}

#[test]
fn changes_without_the_old_image() {
    for kind in ["updated", "custom"] {
        let event = event(
            json!({"event_kind": kind, "data": {"status": "b", "o": {"a": 1}}, "changed": ["status", "o"]}),
        );
        check(
            &event,
            &[
                ("CHANGED(status)", "true"),
                ("CHANGED(other)", "false"),
                ("CHANGED(o.a)", "true"),
                ("CHANGED_TO(status, 'b')", "true"),
                ("CHANGED_FROM(status, 'a')", "unknown"),
                ("CHANGED_FROM(other, 'a')", "false"),
                ("OLD.status = 'a'", "unknown"),
            ],
        );
    }
}

#[test]
fn an_event_emitted_by_hand() {
    let event = event(json!({"event_kind": "custom", "data": {"a": 1}}));
    check(
        &event,
        &[
            ("a = 1", "true"),
            ("CHANGED(a)", "false"),
            ("CHANGED_TO(a, 1)", "false"),
            ("OLD.a IS NULL", "true"),
        ],
    );
}

#[test]
fn different_types_are_errors() {
    let event = created(json!({
        "n": 1, "t": "x", "b": true, "a": [1, 2.0], "a2": [1.0, 2], "o": {"k": 1}, "o2": {"k": 1.0},
    }));
    check(
        &event,
        &[
            ("n = 'x'", "error: `n` is a number and `'x'` is text"),
            ("t > 5", "error: `t` is text and `5` is a number"),
            ("b = 1", "error: `b` is a boolean and `1` is a number"),
            ("a = 1", "error: `a` is an array"),
            ("o = 'k'", "error: `o` is an object"),
            ("a = a2", "true"),
            ("o = o2", "true"),
            ("a != a2", "false"),
            ("o = a", "error"),
            ("a < a2", "error: `a` and `a2` are each an array: `<` orders"),
            ("o > o2", "error: `o` and `o2` are each an object"),
            ("b > b", "error: `b` and `b` are each a boolean"),
            ("n LIKE '1'", "error: `n` is a number and `'1'` is text: `LIKE` needs two texts"),
            ("n CONTAINS 1", "error: `n` is a number: `CONTAINS` looks into"),
            ("t CONTAINS n", "error"),
            ("n IN ('a')", "error: `n` is a number and `'a'` is text: `IN`"),
            ("n BETWEEN 'a' AND 'b'", "error: `n` is a number and `'a'` is text: `BETWEEN`"),
            ("NOT n = 'x'", "error"),
        ],
    );
}

#[test]
fn an_error_counts_when_it_is_reached() {
    let event = created(json!({"n": 1, "t": "x"}));
    check(
        &event,
        &[
            ("n = 2 AND t > 5", "false"),
            ("t > 5 AND n = 2", "error"),
            ("n = 1 OR t > 5", "true"),
            ("t > 5 OR n = 1", "error"),
            ("missing = 1 AND t > 5", "error"),
            ("missing = 1 OR t > 5", "error"),
            ("n IN (1, t)", "true"),
            ("n IN (t, 1)", "error"),
            ("n BETWEEN 2 AND t", "false"),
        ],
    );
}

#[test]
fn a_row_that_is_no_object_has_no_fields() {
    let data = json!([1]);
    let event = created(json!({}));
    let context = EventContext::from(&event);
    let row = Row { kind: EventKind::Created, data: &data, old: None, changed: &[], event: context };
    assert_eq!(Condition::parse("a IS NULL").unwrap().evaluate(&row).unwrap().as_str(), "true");
}

#[test]
fn a_wide_row_is_a_row() {
    let mut data: Value = (0..100).map(|number| (format!("f{number}"), Value::from(number))).collect();
    data["inner"] = data.clone();
    check(&created(data), &[("f0 = 0 AND f99 = 99 AND inner.f50 = 50", "true"), ("f100 IS NULL", "true")]);
}

#[test]
fn the_event_is_seen_beside_the_row() {
    let event = event(json!({
        "event_kind": "updated", "entity_id": 7, "occurred_at": "2026-01-31T12:00:00.5Z", "actor": "ada",
        "traceparent": "00-ab-cd-01", "data": {"actor": "row", "event": {"actor": 5}}, "old": {"event": 1},
    }));
    check(
        &event,
        &[
            ("EVENT.actor = 'ada'", "true"),
            ("event.actor = 'row'", "false"),
            ("Event.actor != actor", "true"),
            ("EVENT.tenant_id IS NULL", "true"),
            ("EVENT.tenant_id = 'a'", "unknown"),
            ("EVENT.actor IS NOT NULL", "true"),
            ("EVENT.traceparent STARTS_WITH '00-'", "true"),
            ("EVENT.entity_type = 'Order' AND EVENT.entity_id = '7'", "true"),
            ("EVENT.event_kind IN ('created', 'updated')", "true"),
            ("EVENT.occurred_at = '2026-01-31T12:00:00.500000Z'", "true"),
            ("EVENT.occurred_at LIKE '2026-01-31T%'", "true"),
            ("EVENT.occurred_at BETWEEN '2026-01-31' AND '2026-02'", "true"),
            ("'created' = EVENT.event_kind OR EVENT.occurred_at IS NULL", "false"),
            ("CHANGED_TO(actor, EVENT.actor)", "false"),
            ("\"EVENT\".actor IS NULL AND \"event\".actor = 5", "true"),
            ("CHANGED(\"event\") AND OLD.event = 1", "true"),
            ("\"event\".actor = EVENT.actor", "error: `\"event\".actor` is a number"),
        ],
    );
}
