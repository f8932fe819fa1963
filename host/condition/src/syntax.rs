//! The tree of a condition as it was written, with the place of every part. It knows nothing of what a function means,
//! nor of values.

use std::ops::Range;

/// A place in a condition's text, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Span {
    /// The first byte.
    pub start: usize,
    /// The byte after the last.
    pub end: usize,
}

impl Span {
    /// From the start of one place to the end of another.
    #[must_use]
    pub const fn to(self, last: Self) -> Self {
        Self { start: self.start, end: last.end }
    }

    /// As a range of bytes.
    #[must_use]
    pub const fn range(self) -> Range<usize> {
        self.start..self.end
    }
}

impl From<pest::Span<'_>> for Span {
    fn from(span: pest::Span<'_>) -> Self {
        Self { start: span.start(), end: span.end() }
    }
}

/// A condition, or a part of one that is a condition by itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Expression {
    /// What it says.
    pub kind: ExpressionKind,
    /// Where, parentheses around it included.
    pub span: Span,
}

impl Expression {
    /// All values that it names, in the order of the text.
    #[must_use]
    pub fn operands(&self) -> Vec<&Operand> {
        match &self.kind {
            ExpressionKind::AnyOf(parts) | ExpressionKind::AllOf(parts) => {
                parts.iter().flat_map(Self::operands).collect()
            }
            ExpressionKind::Not(inner) => inner.operands(),
            ExpressionKind::Comparison { left, right, .. } => vec![left, right],
            ExpressionKind::Membership { operand, list, .. } => {
                std::iter::once(operand).chain(list).collect()
            }
            ExpressionKind::Range { operand, low, high, .. } => vec![operand, low, high],
            ExpressionKind::Search { operand, sought, .. } => vec![operand, sought],
            ExpressionKind::NullTest { operand, .. } => vec![operand],
            ExpressionKind::Call { arguments, .. } => arguments.iter().collect(),
        }
    }

    /// Whether it reads this field of the event.
    #[must_use]
    pub fn reads(&self, field: EventField) -> bool {
        self.operands().iter().any(|operand| operand.kind == OperandKind::Event(field))
    }
}

/// What a condition can say.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ExpressionKind {
    /// `a OR b OR ..`: at least two.
    AnyOf(Vec<Expression>),
    /// `a AND b AND ..`: at least two.
    AllOf(Vec<Expression>),
    /// `NOT a`.
    Not(Box<Expression>),
    /// `total > 100`.
    Comparison {
        /// What stands before the operator.
        left: Operand,
        /// The operator.
        comparator: Comparator,
        /// What stands after it.
        right: Operand,
    },
    /// `status IN ('paid', 'sent')`.
    Membership {
        /// What is looked for.
        operand: Operand,
        /// Whether it was `NOT IN`.
        negated: bool,
        /// Where it is looked for: at least one.
        list: Vec<Operand>,
    },
    /// `total BETWEEN 10 AND 20`.
    Range {
        /// What is compared.
        operand: Operand,
        /// Whether it was `NOT BETWEEN`.
        negated: bool,
        /// The lower bound, which belongs to the range.
        low: Operand,
        /// The upper bound, which belongs to the range.
        high: Operand,
    },
    /// `name LIKE 'A%'` and its kin.
    Search {
        /// What is searched.
        operand: Operand,
        /// Whether it was `NOT LIKE` and so on.
        negated: bool,
        /// How it is searched.
        search: Search,
        /// What is looked for.
        sought: Operand,
    },
    /// `email IS NULL`.
    NullTest {
        /// What is tested.
        operand: Operand,
        /// Whether it was `IS NOT NULL`.
        negated: bool,
    },
    /// `CHANGED(total)`.
    Call {
        /// The name as written.
        function: String,
        /// Where the name stands.
        function_span: Span,
        /// What stands between the parentheses.
        arguments: Vec<Operand>,
    },
}

/// The operators that compare two values.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Comparator {
    /// `=`
    Equal,
    /// `!=` or `<>`
    NotEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
}

impl Comparator {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Equal, Self::NotEqual, Self::Greater, Self::GreaterOrEqual, Self::Less, Self::LessOrEqual];

    /// The operator as it is printed.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
        }
    }

    /// Whether it only asks for equality, which every type has.
    #[must_use]
    pub const fn is_equality(self) -> bool {
        matches!(self, Self::Equal | Self::NotEqual)
    }
}

/// The operators that look into a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Search {
    /// `LIKE`: the whole text has the shape of a pattern.
    Like,
    /// `CONTAINS`: a text has a part, or an array an element.
    Contains,
    /// `STARTS_WITH`
    StartsWith,
    /// `ENDS_WITH`
    EndsWith,
}

impl Search {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Like, Self::Contains, Self::StartsWith, Self::EndsWith];

    /// The operator as it is printed.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Like => "LIKE",
            Self::Contains => "CONTAINS",
            Self::StartsWith => "STARTS_WITH",
            Self::EndsWith => "ENDS_WITH",
        }
    }
}

/// A value: written out, or a field's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Operand {
    /// Which value.
    pub kind: OperandKind,
    /// Where it is written.
    pub span: Span,
}

/// Which value an operand is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum OperandKind {
    /// `'text'`, without the quotes and with doubled quotes made single.
    Text(String),
    /// A decimal number, as written.
    Number(String),
    /// `TRUE` or `FALSE`.
    Boolean(bool),
    /// `NULL`.
    Null,
    /// The value of a field.
    Field(Field),
    /// `EVENT.actor`: what the event knows beside the row.
    Event(EventField),
}

/// A field: a name and the way from there into its value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Field {
    /// `OLD.` or `NEW.`, where written.
    pub image: Option<Image>,
    /// The row's own field.
    pub root: Name,
    /// The way into its value.
    pub steps: Vec<Step>,
}

/// What an event knows beside the row: texts, of which some may be absent.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum EventField {
    /// `EVENT.actor`: who made the change.
    Actor,
    /// `EVENT.tenant_id`
    TenantId,
    /// `EVENT.traceparent`: W3C Trace Context.
    Traceparent,
    /// `EVENT.entity_type`
    EntityType,
    /// `EVENT.entity_id`: the key as text.
    EntityId,
    /// `EVENT.event_kind`: `created`, `updated`, `deleted` or `custom`.
    EventKind,
    /// `EVENT.occurred_at`: RFC 3339, in UTC.
    OccurredAt,
}

impl EventField {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Actor,
        Self::TenantId,
        Self::Traceparent,
        Self::EntityType,
        Self::EntityId,
        Self::EventKind,
        Self::OccurredAt,
    ];

    /// The name after `EVENT.`, which is the name in the event's JSON too.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Actor => "actor",
            Self::TenantId => "tenant_id",
            Self::Traceparent => "traceparent",
            Self::EntityType => "entity_type",
            Self::EntityId => "entity_id",
            Self::EventKind => "event_kind",
            Self::OccurredAt => "occurred_at",
        }
    }

    /// Finds a field by its name, which is case-sensitive as all names of fields.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|field| field.as_str() == name)
    }
}

/// The two images of a row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Image {
    /// The row before the change.
    Old,
    /// The row after it.
    New,
}

impl Image {
    /// The word as it is printed.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Old => "OLD",
            Self::New => "NEW",
        }
    }
}

/// A name in a path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Name {
    /// The name, without quotes.
    pub text: String,
    /// Whether it was written in double quotes.
    pub quoted: bool,
}

/// One step into a value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// `.city`: into an object.
    Name(Name),
    /// `[0]`: into an array, counted from 0.
    Index(u32),
}
