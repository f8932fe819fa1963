//! Random conditions and rows.

use aftercommit_condition::syntax::{
    Comparator, EventField, Expression, ExpressionKind, Field, Image, Name, Operand, OperandKind, Search,
    Span, Step,
};
use aftercommit_core::{EntityEvent, EventKind};
use proptest::{prelude::*, sample::select};
use serde_json::{Map, Value};

fn expression(kind: ExpressionKind) -> Expression {
    Expression { kind, span: Span::default() }
}

fn operand(kind: OperandKind) -> Operand {
    Operand { kind, span: Span::default() }
}

/// How the leaves of a condition are made.
#[derive(Clone)]
struct Leaves {
    field: BoxedStrategy<Field>,
    value: BoxedStrategy<Operand>,
    /// Values that may stand together in one list.
    values: BoxedStrategy<Vec<Operand>>,
    pattern: BoxedStrategy<Operand>,
}

impl Leaves {
    fn predicate(&self) -> BoxedStrategy<Expression> {
        let subject = || self.field.clone().prop_map(|field| operand(OperandKind::Field(field)));
        let comparison = (subject(), select(&Comparator::ALL), self.value.clone())
            .prop_map(|(left, comparator, right)| ExpressionKind::Comparison { left, comparator, right });
        let membership = (subject(), any::<bool>(), self.values.clone())
            .prop_map(|(operand, negated, list)| ExpressionKind::Membership { operand, negated, list });
        let range =
            (subject(), any::<bool>(), self.values.clone()).prop_map(|(operand, negated, mut list)| {
                let low = list.swap_remove(0);
                let high = list.pop().unwrap_or_else(|| low.clone());
                ExpressionKind::Range { operand, negated, low, high }
            });
        let search = (subject(), any::<bool>(), select(&Search::ALL), self.pattern.clone()).prop_map(
            |(operand, negated, search, sought)| ExpressionKind::Search { operand, negated, search, sought },
        );
        let null_test = (subject(), any::<bool>())
            .prop_map(|(operand, negated)| ExpressionKind::NullTest { operand, negated });
        prop_oneof![3 => comparison, 1 => membership, 1 => range, 2 => search, 1 => null_test, 2 => self.call()]
            .prop_map(expression)
            .boxed()
    }

    fn call(&self) -> BoxedStrategy<ExpressionKind> {
        let field = |image: bool| {
            self.field.clone().prop_map(move |mut field| {
                field.image = field.image.filter(|_| image);
                operand(OperandKind::Field(field))
            })
        };
        let one = prop_oneof![
            field(false).prop_map(|field| ("CHANGED", vec![field])),
            field(true).prop_map(|field| ("HAS_FIELD", vec![field])),
        ];
        let two = (select(&["CHANGED_TO", "CHANGED_FROM"]), field(false), self.value.clone())
            .prop_map(|(function, field, value)| (function, vec![field, value]));
        prop_oneof![one, two]
            .prop_map(|(function, arguments)| ExpressionKind::Call {
                function: function.to_owned(),
                function_span: Span::default(),
                arguments,
            })
            .boxed()
    }

    fn tree(&self) -> BoxedStrategy<Expression> {
        self.predicate()
            .prop_recursive(5, 24, 3, |inner| {
                let parts = || prop::collection::vec(inner.clone(), 2..4);
                prop_oneof![
                    parts().prop_map(ExpressionKind::AnyOf),
                    parts().prop_map(ExpressionKind::AllOf),
                    inner.clone().prop_map(|inner| ExpressionKind::Not(Box::new(inner))),
                ]
                .prop_map(expression)
            })
            .boxed()
    }
}

fn image() -> impl Strategy<Value = Option<Image>> {
    select(&[None, None, Some(Image::Old), Some(Image::New)])
}

fn text_operand(text: impl Strategy<Value = String> + 'static) -> BoxedStrategy<Operand> {
    text.prop_map(|text| operand(OperandKind::Text(text))).boxed()
}

fn number_operand(number: impl Strategy<Value = String> + 'static) -> BoxedStrategy<Operand> {
    number.prop_map(|number| operand(OperandKind::Number(number))).boxed()
}

/// Any tree that can be written down, sensible or not.
pub(crate) fn any_tree() -> BoxedStrategy<Expression> {
    // The first letter keeps plain names apart from the language's own words.
    let name = || {
        prop_oneof![
            ("f[a-zä0-9_$]{0,5}", any::<bool>()).prop_map(|(text, quoted)| Name { text, quoted }),
            ".{1,6}".prop_map(|text| Name { text, quoted: true }),
            select(&["in", "OLD", "Null", "event"])
                .prop_map(|text| Name { text: text.to_owned(), quoted: true }),
        ]
    };
    let step = prop_oneof![
        name().prop_map(Step::Name),
        select(&["in", "old", "and"])
            .prop_map(|text| Step::Name(Name { text: text.to_owned(), quoted: false })),
        (0..1_000_000_000_u32).prop_map(Step::Index),
    ];
    let field = (image(), name(), prop::collection::vec(step, 0..3))
        .prop_map(|(image, root, steps)| Field { image, root, steps })
        .boxed();
    let value = prop_oneof![
        text_operand(".{0,8}"),
        number_operand("-?(0|[1-9][0-9]{0,5})(\\.[0-9]{1,3})?([eE][+-]?[0-9]{1,2})?"),
        any::<bool>().prop_map(|boolean| operand(OperandKind::Boolean(boolean))),
        Just(operand(OperandKind::Null)),
        field.clone().prop_map(|field| operand(OperandKind::Field(field))),
        select(&EventField::ALL).prop_map(|field| operand(OperandKind::Event(field))),
    ]
    .boxed();
    let values = prop::collection::vec(value.clone(), 1..4).boxed();
    Leaves { field, values, pattern: value.clone(), value }.tree()
}

const NUMBERS: [&str; 6] = ["0", "1", "1.0", "2.5", "-1", "10"];

/// A tree that the checks accept, on the fields of [`event`].
pub(crate) fn sound_tree() -> BoxedStrategy<Expression> {
    let root = select(&["n", "m", "t", "u", "l", "o", "x", "gone"])
        .prop_map(|text| Name { text: text.to_owned(), quoted: false });
    let step = prop_oneof![
        select(&["n", "t"]).prop_map(|text| Step::Name(Name { text: text.to_owned(), quoted: false })),
        (0..2_u32).prop_map(Step::Index),
    ];
    let steps = prop_oneof![2 => Just(Vec::new()), 1 => prop::collection::vec(step, 1..3)];
    let field = (image(), root, steps).prop_map(|(image, root, steps)| Field { image, root, steps }).boxed();
    let field_operand = field.clone().prop_map(|field| operand(OperandKind::Field(field))).boxed();
    let number = number_operand(select(&NUMBERS).prop_map(str::to_owned));
    let text = prop_oneof![4 => text_operand("[ab%_]{0,3}"), 1 => text_operand(time())].boxed();
    let event = select(&EventField::ALL).prop_map(|field| operand(OperandKind::Event(field))).boxed();
    let null = Just(operand(OperandKind::Null)).boxed();
    let list = |literal: &BoxedStrategy<Operand>| {
        prop::collection::vec(
            prop_oneof![4 => literal.clone(), 1 => field_operand.clone(), 1 => null.clone()],
            1..4,
        )
    };
    let values = prop_oneof![list(&number), list(&text), list(&event)].boxed();
    let value =
        prop_oneof![3 => number, 3 => text.clone(), 1 => null, 3 => field_operand.clone(), 1 => event]
            .boxed();
    let pattern = prop_oneof![3 => text, 1 => field_operand].boxed();
    Leaves { field, value, values, pattern }.tree()
}

/// Few enough to meet each other, in forms of their own.
fn time() -> impl Strategy<Value = String> {
    "2026-02-01T0[1-3]:00:00(Z|\\+00:00|\\+01:00|-01:00)"
}

fn number() -> impl Strategy<Value = Value> {
    select(&NUMBERS).prop_map(|number| serde_json::from_str(number).unwrap())
}

fn text() -> impl Strategy<Value = Value> {
    prop_oneof![4 => "[ab%_\\\\]{0,4}", 1 => time()].prop_map(Value::String)
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![3 => number(), 3 => text(), 1 => any::<bool>().prop_map(Value::Bool), 1 => Just(Value::Null)]
}

fn object(value: impl Strategy<Value = Value> + 'static) -> impl Strategy<Value = Value> {
    prop::collection::btree_map(select(&["n", "t"]).prop_map(str::to_owned), value, 0..3)
        .prop_map(|fields| Value::Object(fields.into_iter().collect()))
}

/// Rows whose `n` and `m` are mostly numbers, `t` and `u` texts, `l` lists, `o` objects, and `x` anything.
fn image_of_row() -> impl Strategy<Value = Value> {
    let list = || prop::collection::vec(prop_oneof![scalar().boxed(), object(scalar()).boxed()], 0..3);
    let mostly =
        |usual: BoxedStrategy<Value>| prop::option::weighted(0.9, prop_oneof![6 => usual, 1 => scalar()]);
    let anything =
        prop_oneof![scalar().boxed(), list().prop_map(Value::Array).boxed(), object(scalar()).boxed()];
    (
        [mostly(number().boxed()), mostly(number().boxed())],
        [mostly(text().boxed()), mostly(text().boxed())],
        mostly(list().prop_map(Value::Array).boxed()),
        mostly(object(scalar()).boxed()),
        prop::option::of(anything),
    )
        .prop_map(|([n, m], [t, u], l, o, x)| {
            let fields = [("n", n), ("m", m), ("t", t), ("u", u), ("l", l), ("o", o), ("x", x)];
            let fields: Map<_, _> =
                fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
            Value::Object(fields)
        })
}

/// An event of any kind; an update keeps its old image, or only the names of what changed.
pub(crate) fn event() -> impl Strategy<Value = EntityEvent> {
    let who = || prop::option::of(prop_oneof![Just("created".to_owned()), "[ab%_\\\\]{0,4}"]);
    let images = (select(&EventKind::ALL), image_of_row(), image_of_row(), any::<[bool; 7]>(), any::<bool>());
    (images, [who(), who(), who()]).prop_map(
        |((kind, mut data, old, kept, keeps_old), [actor, tenant_id, traceparent])| {
            // Some fields stay what they were.
            for (name, kept) in ["n", "m", "t", "u", "l", "o", "x"].into_iter().zip(kept) {
                if let (true, Some(value), Some(row)) = (kept, old.get(name), data.as_object_mut()) {
                    row.insert(name.to_owned(), value.clone());
                }
            }
            let mut event = EntityEvent::new(kind, "Thing", 1, data);
            (event.actor, event.tenant_id, event.traceparent) = (actor, tenant_id, traceparent);
            if matches!(kind, EventKind::Updated | EventKind::Custom) {
                event = event.with_old(old);
                if !keeps_old {
                    event.old = None;
                }
            }
            event
        },
    )
}
