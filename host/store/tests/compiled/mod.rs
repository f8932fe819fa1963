//! Conditions that are compiled to SQL say what the evaluator says: random conditions for a table whose columns have
//! all types, and the comparison. Shared by the tests of both databases.

use std::fmt::Write as _;

use aftercommit_condition::{
    Condition, EvalError, Row, Truth,
    sql::{Columns, EventSql, Predicates, compile},
};
use aftercommit_core::{EntityEvent, EventKind};
use proptest::{prelude::*, sample::select, strategy::ValueTree as _, test_runner::TestRunner};
use serde_json::Value;

/// The values that literals of one kind have, written as in a condition; and the columns that hold such.
pub(crate) struct Kind {
    pub(crate) columns: &'static [&'static str],
    pub(crate) literals: &'static [&'static str],
    /// Patterns and parts, for texts.
    pub(crate) parts: &'static [&'static str],
}

pub(crate) const TIMES: &[&str] = &[
    "'2026-02-01T00:00:00Z'",
    "'2026-02-01T01:00:00+01:00'",
    "'2026-02-01 00:00:00.000z'",
    "'2026-01-31T23:59:60Z'",
    "'2026-02-01T00:00:00.0000001Z'",
    "'2026-02-01'",
    "'2026-02-01T00:00:00'",
    "'2026-02-29T00:00:00Z'",
    "'0000-01-01T00:00:00+23:59'",
    "'9999-12-31T23:59:59.5-00:01'",
    "'2026'",
];

const EVENT_TEXTS: &[&str] = &["'ada'", "'Order'", "'1'", "'updated'", "'2026-01-31T13:00:00+01:00'", "NULL"];

type Text = BoxedStrategy<String>;

/// A condition on columns of these kinds. A few compare what cannot be compared.
pub(crate) fn condition(kinds: &'static [Kind]) -> Text {
    let row = kinds.iter().map(|kind| predicate(kind, kinds).boxed());
    let event = Kind {
        columns: &[
            "EVENT.actor",
            "EVENT.tenant_id",
            "EVENT.traceparent",
            "EVENT.entity_type",
            "EVENT.entity_id",
            "EVENT.event_kind",
            "EVENT.occurred_at",
        ],
        literals: EVENT_TEXTS,
        parts: &["'a'", "'%1%'", "'_da'", "''"],
    };
    let of_event =
        (select(event.columns), statement(&event)).prop_map(|(field, said)| format!("{field} {said}"));
    let leaf = proptest::strategy::Union::new(row).boxed();
    prop_oneof![8 => leaf, 1 => of_event]
        .prop_recursive(4, 12, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 2..4)
                    .prop_map(|parts| format!("({})", parts.join(" AND "))),
                prop::collection::vec(inner.clone(), 2..4)
                    .prop_map(|parts| format!("({})", parts.join(" OR "))),
                inner.prop_map(|inner| format!("NOT {inner}")),
            ]
        })
        .boxed()
}

fn predicate(kind: &'static Kind, kinds: &'static [Kind]) -> Text {
    let image = || select(&["", "", "OLD.", "NEW."]);
    let field = (image(), select(kind.columns)).prop_map(|(image, name)| format!("{image}{name}")).boxed();
    let said = (field.clone(), statement(kind)).prop_map(|(field, said)| format!("{field} {said}"));
    let sames = (field.clone(), comparator(), field.clone())
        .prop_map(|(a, operator, b)| format!("{a} {operator} {b}"));
    let others: Vec<_> = kinds.iter().flat_map(|kind| kind.columns.iter().copied()).collect();
    let any = (field.clone(), comparator(), select(others))
        .prop_map(|(field, operator, other)| format!("{field} {operator} {other}"));
    let changed_value = (
        select(&["CHANGED_TO", "CHANGED_FROM"]),
        select(kind.columns),
        prop_oneof![4 => value(kind), 1 => field],
    )
        .prop_map(|(function, name, value)| format!("{function}({name}, {value})"));
    let changed = select(kind.columns).prop_map(|name| format!("CHANGED({name})"));
    let has = (image(), select(kind.columns)).prop_map(|(image, name)| format!("HAS_FIELD({image}{name})"));
    prop_oneof![8 => said, 2 => sames, 1 => any, 3 => changed_value, 2 => changed, 1 => has].boxed()
}

fn comparator() -> impl Strategy<Value = &'static str> {
    select(&["=", "!=", "<", "<=", ">", ">="])
}

fn value(kind: &Kind) -> Text {
    prop_oneof![6 => select(kind.literals), 1 => Just("NULL")].prop_map(str::to_owned).boxed()
}

/// What is said of a field.
fn statement(kind: &Kind) -> Text {
    let comparison = (comparator(), value(kind)).prop_map(|(operator, value)| format!("{operator} {value}"));
    let not = || select(&["", "NOT "]);
    let list = (not(), prop::collection::vec(value(kind), 1..4))
        .prop_map(|(not, list)| format!("{not}IN ({})", list.join(", ")));
    let range = (not(), value(kind), value(kind))
        .prop_map(|(not, low, high)| format!("{not}BETWEEN {low} AND {high}"));
    let null = not().prop_map(|not| format!("IS {not}NULL"));
    if kind.parts.is_empty() {
        return prop_oneof![4 => comparison, 2 => list, 1 => range, 1 => null].boxed();
    }
    let search = (not(), select(&["LIKE", "CONTAINS", "STARTS_WITH", "ENDS_WITH"]), select(kind.parts))
        .prop_map(|(not, operator, part)| format!("{not}{operator} {part}"));
    prop_oneof![4 => comparison, 2 => list, 1 => range, 1 => null, 3 => search].boxed()
}

/// What the trigger knows of its events, in SQL; [`event`] knows the same.
pub(crate) const EVENT: EventSql<'static> = EventSql {
    entity_type: "Order",
    new_entity_id: "CAST(NEW.id AS TEXT)",
    old_entity_id: "CAST(OLD.id AS TEXT)",
    occurred_at: "CAST('2026-01-31T12:00:00.000000Z' AS TEXT)",
    actor: "CAST('ada' AS TEXT)",
    tenant_id: "CAST(NULL AS TEXT)",
    traceparent: "CAST('00-a-b-01' AS TEXT)",
};

fn event(kind: EventKind, data: &Value, old: Option<&Value>) -> EntityEvent {
    let mut event = EntityEvent::new(kind, "Order", &data["id"], data.clone());
    if let Some(old) = old {
        event = event.with_old(old.clone());
    }
    event.occurred_at = "2026-01-31T12:00:00Z".parse().unwrap();
    event.actor = Some("ada".to_owned());
    event.traceparent = Some("00-a-b-01".to_owned());
    event
}

/// A condition with its SQL.
pub(crate) struct Compiled {
    pub(crate) condition: Condition,
    pub(crate) predicates: Predicates,
}

/// So many conditions, of which those that a capture refuses are left out; always the same ones for a seed.
pub(crate) fn conditions(
    kinds: &'static [Kind],
    columns: Columns<'_>,
    count: usize,
    seed: u64,
) -> Vec<Compiled> {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let random =
        proptest::test_runner::TestRng::from_seed(proptest::test_runner::RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(ProptestConfig::default(), random);
    let strategy = condition(kinds);
    let mut compiled = Vec::new();
    let mut refused = 0;
    while compiled.len() < count {
        let text = strategy.new_tree(&mut runner).unwrap().current();
        let Ok(condition) = Condition::parse(&text) else {
            refused += 1;
            continue;
        };
        match compile(&condition, columns, &EVENT) {
            Ok(predicates) => compiled.push(Compiled { condition, predicates }),
            Err(_) => refused += 1,
        }
        assert!(refused < 4 * count, "nearly all conditions are refused, {text} among them");
    }
    compiled
}

/// The answers of one condition for one pair of rows, as SQL gives them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Answers {
    pub(crate) created: bool,
    pub(crate) updated: bool,
    pub(crate) deleted: bool,
}

/// What the evaluator says of a pair of images, and whether that is an error.
pub(crate) fn expected(condition: &Condition, old: &Value, new: &Value, seen: &mut Seen) -> Answers {
    let mut passes = |event: EntityEvent| {
        let answer = condition.evaluate(&Row::from(&event));
        seen.count(&answer);
        answer.map_or(true, |truth| truth == Truth::True)
    };
    Answers {
        created: passes(event(EventKind::Created, new, None)),
        updated: passes(event(EventKind::Updated, new, Some(old))),
        deleted: passes(event(EventKind::Deleted, old, None)),
    }
}

/// How often each answer was seen: a test that saw one kind only would prove nothing.
#[derive(Default, Debug)]
pub(crate) struct Seen {
    truths: usize,
    falses: usize,
    unknowns: usize,
    errors: usize,
}

impl Seen {
    fn count(&mut self, answer: &Result<Truth, EvalError>) {
        match answer {
            Ok(Truth::True) => self.truths += 1,
            Ok(Truth::False) => self.falses += 1,
            Ok(Truth::Unknown) => self.unknowns += 1,
            Err(_) => self.errors += 1,
        }
    }

    pub(crate) fn check(&self, at_least: usize) {
        let all = [self.truths, self.falses, self.unknowns, self.errors];
        assert!(
            all.iter().sum::<usize>() >= at_least && all.iter().all(|count| *count > at_least / 200),
            "{self:?}"
        );
    }
}

/// The seed of a run: a fixed one and the one in `COMPILED_SEED`, to search further.
pub(crate) fn seed() -> u64 {
    std::env::var("COMPILED_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1)
}

/// The query that answers a condition for each pair of rows, in the order of the pairs.
pub(crate) fn query(predicates: &Predicates, pairs: &str) -> String {
    let mut query = String::new();
    let Predicates { created, updated, deleted } = predicates;
    write!(query, "SELECT {created} AS created, {updated} AS updated, {deleted} AS deleted FROM {pairs}")
        .unwrap();
    query
}

/// Random indexes of old and new rows, the same row at times.
pub(crate) fn pairs(rows: usize) -> Vec<(usize, usize)> {
    (0..rows).flat_map(|row| [(row, (row + 1) % rows), (row, (row * 7 + 3) % rows), (row, row)]).collect()
}
