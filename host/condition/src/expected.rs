//! What would have been right where the parser got stuck, from the rules that it tried there. `explain` says it to people.

use crate::grammar::Rule;

/// What would have been right at the place of the failure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Expected {
    /// A condition, or the value or field it starts with.
    Condition,
    /// A value or a field.
    Value,
    /// What is said of the value before.
    Operator,
    /// `AND`, `OR`, a closing parenthesis or the end.
    Connective,
    /// A comma or a closing parenthesis.
    List,
    /// The parenthesis after IN.
    Open,
    /// The AND of a BETWEEN.
    BetweenAnd,
    /// NULL or NOT NULL.
    Null,
    /// IN, BETWEEN or a search, after NOT.
    Negatable,
}

impl Expected {
    /// From the rules that the parser tried in vain at the place where it got stuck.
    pub(crate) fn from_rules(rules: &[Rule]) -> Self {
        let tried = |rule| rules.contains(&rule);
        if tried(Rule::negation) || tried(Rule::function) {
            Self::Condition
        } else if tried(Rule::comparator) {
            Self::Operator
        } else if tried(Rule::operand) {
            Self::Value
        } else if tried(Rule::comma) {
            Self::List
        } else if tried(Rule::or) || tried(Rule::EOI) {
            Self::Connective
        } else if tried(Rule::null) {
            Self::Null
        } else if tried(Rule::r#in) {
            Self::Negatable
        } else if tried(Rule::and) {
            Self::BetweenAnd
        } else if tried(Rule::open) {
            Self::Open
        } else {
            Self::Connective
        }
    }
}
