//! Every message a person can get, as it looks.

use aftercommit_condition::{Condition, Diagnostic, MAX_BYTES, MAX_DEPTH, Row};
use aftercommit_core::EntityEvent;
use serde_json::json;

/// Each text with what is said about it.
fn report(texts: &[&str], diagnose: impl Fn(&str) -> Diagnostic) -> String {
    let reports: Vec<_> = texts
        .iter()
        .map(|text| diagnose(text).render(text, "observers.toml, order-shipped", false))
        .collect();
    reports.join("\n\n")
}

fn refused(text: &str) -> Diagnostic {
    Condition::parse(text).expect_err(text)
}

fn warned(text: &str) -> Diagnostic {
    let condition = Condition::parse(text).expect(text);
    condition.warnings().first().expect(text).clone()
}

#[test]
fn words_that_no_condition_has() {
    let texts = [
        "stauts == 'x'",
        "total => 100",
        "a = 1 && b = 2",
        "a = 1 || b = 2",
        "!(a = 1)",
        "name =~ 'x'",
        "status = 'paid",
        "name = 'O'Brien'",
        "\"order-id = 5",
        "status = \"\"",
        "status = “paid”",
        "`order` = 5",
        "order-id = 5",
        "total * 2 > 5",
        "total > .5",
        "total > 5.",
        "total > 1_000",
        "total > 100px",
        "total > 0xFF",
        "customer. = 5",
        "in.total = 5",
        "items[x] = 5",
        "items[-1].sku = 'a'",
        "status IN ['a', 'b']",
        "{{status}} = 'a'",
        "total > 5;",
        "OLD = 5",
        "event = 5",
        "EVENT.acter = 'ada'",
        "status = 'a' AND event.user = 'ada'",
        "EVENT.\"actor\" = 'ada'",
        "EVENT.actor.name = 'ada'",
        "EVENT.actor[0] = 'ada'",
        "EVENT.[0] = 'ada'",
        "total > $1",
        "total > 5 \u{7}",
    ];
    insta::assert_snapshot!(report(&texts, refused));
}

#[test]
fn good_words_in_a_wrong_order() {
    let texts = [
        "",
        "  \n ",
        "total",
        "TRUE",
        "EVENT.actor",
        "EVENT.actor 5",
        "CHANGED",
        "total >",
        "total > AND a = 1",
        "total > = 5",
        "total = = 5",
        "total = (5)",
        "(total) > 5",
        "total = NOT 5",
        "a = 1 AND",
        "a = 1 AND AND b = 2",
        "AND a = 1",
        "(a = 1 OR )",
        "= 5",
        "NOT",
        "()",
        "(a = 1 OR (b = 2 AND c = 3)",
        "a = 1)",
        "a = 1 b = 2",
        "a = 1, b = 2",
        "a = 1 ADN b = 2",
        "a = 1 (b = 2)",
        "name = John Smith",
        "1 < total < 10",
        "CHANGED(a) = TRUE",
        "a = LOWER(b)",
        "status 'paid'",
        "status NULL",
        "total -5",
        "status LKE 'x'",
        "status ILIKE 'x'",
        "NTO status = 'x'",
        "status equals 'x'",
        "status NOT = 'x'",
        "status NOT NULL",
        "status NOT LKE 'x'",
        "status IS 'x'",
        "status IS NOT TRUE",
        "status IS",
        "status IN",
        "status IN 'a'",
        "'a' IN tags",
        "status IN ()",
        "status IN ('a' 'b')",
        "status IN ('a',)",
        "status IN ('a', 'b'",
        "status IN ('a' AND total > 5",
        "total BETWEEN 1",
        "total BETWEEN 1, 2",
        "total BETWEEN",
        "CHANGED(a",
        "CHANGED(a = 1)",
    ];
    insta::assert_snapshot!(report(&texts, refused));
}

#[test]
fn functions_and_their_arguments() {
    let texts = [
        "CHANGD(status)",
        "changed_two(status, 'a')",
        "LOWER(status)",
        "STARTSWITH(name, 'a')",
        "CHANGED()",
        "CHANGED(a, b)",
        "CHANGED_TO(status)",
        "HAS_FIELD('email')",
        "CHANGED(5)",
        "CHANGED(OLD.status)",
        "CHANGED(EVENT.actor)",
        "HAS_FIELD(event.actor)",
        "CHANGED_TO(status, \"shipped\")",
    ];
    insta::assert_snapshot!(report(&texts, refused));
}

#[test]
fn values_that_never_compare() {
    let texts = [
        "5 = 'a'",
        "active > TRUE",
        "total BETWEEN 1 AND 'b'",
        "total BETWEEN FALSE AND TRUE",
        "status IN ('a', 5)",
        "status LIKE 5",
        "5 LIKE 'a'",
        "'abc' CONTAINS 5",
        "status LIKE 'a\\'",
        "status = \"paid\"",
        "status IN ('a', \"b\")",
        "EVENT.actor = 5",
        "EVENT.entity_id IN ('1', 2)",
    ];
    insta::assert_snapshot!(report(&texts, refused));
}

#[test]
fn sentences_that_are_hardly_meant() {
    let texts = [
        "status = NULL",
        "status <> NULL",
        "status IN ('a', NULL)",
        "status NOT IN ('a', NULL)",
        "total BETWEEN 1 AND NULL",
        "status LIKE NULL",
        "status = \"in progress\"",
        "status = \"it's\"",
    ];
    insta::assert_snapshot!(report(&texts, warned));
}

#[test]
fn limits() {
    let deep = format!("{}a = 1{}", "(".repeat(MAX_DEPTH + 1), ")".repeat(MAX_DEPTH + 1));
    let nots = format!("{}a = 1", "NOT ".repeat(MAX_DEPTH + 1));
    let long = format!("a = '{}'", "x".repeat(MAX_BYTES));
    insta::assert_snapshot!(report(&[&deep, &nots, &long], refused));
}

#[test]
fn values_that_do_not_compare_in_this_row() {
    let event: EntityEvent = serde_json::from_value(json!({
        "entity_type": "Order",
        "event_kind": "updated",
        "data": {
            "total": "100", "count": 5, "active": true, "customer": {"name": "Ada"}, "tags": ["a"], "shape": "a\\",
            "order-id": 7,
        },
        "old": {"total": "90"},
    }))
    .unwrap();
    let texts = [
        "total > 100",
        "a IS NULL AND customer.name = 5",
        "count = '5'",
        "count = TRUE",
        "count IN (1, total)",
        "count BETWEEN 1 AND total",
        "active > active",
        "customer < customer",
        "customer = 'Ada'",
        "tags = 'a'",
        "count LIKE '5'",
        "total CONTAINS count",
        "customer CONTAINS 'name'",
        "total LIKE shape",
        "CHANGED_TO(total, 100)",
        "CHANGED_FROM(total, 90)",
        "'7' =\n  \"order-id\"",
    ];
    let failed = |text: &str| {
        let condition = Condition::parse(text).expect(text);
        condition.evaluate(&Row::from(&event)).expect_err(text).diagnostic()
    };
    insta::assert_snapshot!(report(&texts, failed));
}

#[test]
fn color_is_only_decoration() {
    let text = "total >";
    let diagnostic = refused(text);
    let (plain, colored) = (diagnostic.render(text, "a", false), diagnostic.render(text, "a", true));
    assert!(!plain.contains('\u{1b}'));
    assert!(colored.contains('\u{1b}'));
    assert_eq!(diagnostic.to_string(), "the condition ends after `>`");
}

#[test]
fn rendering_with_another_text_does_not_panic() {
    for text in ["", "ä", "ä\nä"] {
        assert!(!refused("total > 'äää").render(text, "a", false).is_empty());
    }
}

#[test]
fn what_other_languages_have_is_named() {
    for (text, message, help) in [
        ("total > +100", "a number has no plus sign", "write 100"),
        ("total > 100 -- large", "a condition has no comments", "of its own (`#`)"),
        ("total > 100 /* large */", "a condition has no comments", "of its own (`#`)"),
        ("total > 100 // large", "a condition has no comments", "of its own (`#`)"),
        ("total > 100 # large", "a condition has no comments", "of its own (`#`)"),
        ("lower(status) = 'paid'", "conditions have no function `lower`", "status IN ('paid', 'PAID')"),
        ("status = UPPER ( name )", "conditions have no function `upper`", "generated column"),
        ("length(name) > 3", "conditions have no function `length`", "generated column"),
        ("coalesce(total, 0) < 5", "conditions have no function `coalesce`", "total IS NULL OR total < 5"),
        ("now() > due_at", "conditions have no function `now`", "EVENT.occurred_at"),
        ("count(id) > 3", "conditions have no function `count`", "no others"),
    ] {
        let diagnostic = refused(text);
        assert_eq!(diagnostic.message, message, "{text}");
        assert!(diagnostic.help.as_deref().unwrap().contains(help), "{text}: {diagnostic:?}");
    }
    for text in ["total +100 > 5", "total + 100 > 5", "a - -1 = 2", "a / 2 > 1"] {
        assert_eq!(refused(text).message, "a condition compares values and does not calculate", "{text}");
    }
    assert!(
        Condition::parse("lower = 'a' AND NOT (count > 5) AND date IN ('a')").is_ok(),
        "they may be fields"
    );
}
