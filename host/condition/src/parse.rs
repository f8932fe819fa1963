//! From text to tree.

use pest::{Parser as _, iterators::Pair};

use crate::{
    diagnostic::Diagnostic,
    explain,
    grammar::{Grammar, Rule},
    mistakes,
    syntax::{
        Comparator, EventField, Expression, ExpressionKind, Field, Image, Name, Operand, OperandKind, Search,
        Span, Step,
    },
    tokens::{self, Nesting},
};

/// The longest text of a condition. A condition is one thought; data belongs elsewhere.
pub const MAX_BYTES: usize = 8 * 1024;

/// Reads a condition. Refuses a text that is too long or nests too deep before anything recurses over it.
pub fn parse(source: &str) -> Result<Expression, Diagnostic> {
    if source.len() > MAX_BYTES {
        return Err(too_long(source));
    }
    let tokens = tokens::read(source);
    if let Some(diagnostic) = mistakes::first(source, &tokens) {
        return Err(diagnostic);
    }
    let nesting = Nesting::of(&tokens)?;
    match Grammar::parse(Rule::condition, source) {
        Ok(mut pairs) => match pairs.next().and_then(|condition| condition.into_inner().next()) {
            Some(any_of) => Ok(expression(any_of)),
            None => Err(explain::failure(source, &tokens, &nesting, 0, &[])),
        },
        Err(error) => {
            let position = match error.location {
                pest::error::InputLocation::Pos(at) | pest::error::InputLocation::Span((at, _)) => at,
            };
            let expected = match &error.variant {
                pest::error::ErrorVariant::ParsingError { positives, .. } => positives.as_slice(),
                pest::error::ErrorVariant::CustomError { .. } => &[],
            };
            Err(explain::failure(source, &tokens, &nesting, position, expected))
        }
    }
}

fn too_long(source: &str) -> Diagnostic {
    let end = source.floor_char_boundary(MAX_BYTES);
    let span = Span { start: end, end: source.ceil_char_boundary(end + 1) };
    Diagnostic::error(
        span,
        format!("the condition is {} bytes long, and {MAX_BYTES} is the most", source.len()),
        "the limit is here",
    )
    .help("a long list of values is better kept in a table of the application, as a field of the row")
}

/// A pair of one of the rules from `any_of` to `predicate`.
fn expression(pair: Pair<'_, Rule>) -> Expression {
    let span = Span::from(pair.as_span());
    match pair.as_rule() {
        Rule::any_of => chain(pair, Rule::or, ExpressionKind::AnyOf),
        Rule::all_of => chain(pair, Rule::and, ExpressionKind::AllOf),
        Rule::negation => negation(pair),
        Rule::group => {
            let inner = pair.into_inner().find(|inner| inner.as_rule() == Rule::any_of);
            Expression { span, ..inner.map_or_else(|| unreadable(span), expression) }
        }
        Rule::call => call(pair),
        Rule::predicate => Expression { kind: predicate(pair), span },
        _ => unreadable(span),
    }
}

/// Stands where the grammar and this file disagree, which a test of every rule excludes. A condition that is never
/// true is the harmless side to fall on.
fn unreadable(span: Span) -> Expression {
    let kind = ExpressionKind::AnyOf(Vec::new());
    debug_assert!(false, "the grammar has a rule that the tree does not know");
    Expression { kind, span }
}

fn chain(pair: Pair<'_, Rule>, joint: Rule, kind: fn(Vec<Expression>) -> ExpressionKind) -> Expression {
    let mut parts: Vec<_> =
        pair.into_inner().filter(|part| part.as_rule() != joint).map(expression).collect();
    match (parts.len(), parts.pop()) {
        (1, Some(only)) => only,
        (_, Some(last)) => {
            let span = parts.first().map_or(last.span, |first| first.span.to(last.span));
            parts.push(last);
            Expression { kind: kind(parts), span }
        }
        (_, None) => unreadable(Span::default()),
    }
}

fn negation(pair: Pair<'_, Rule>) -> Expression {
    let mut nots = Vec::new();
    let mut inner = None;
    for part in pair.into_inner() {
        match part.as_rule() {
            Rule::not => nots.push(Span::from(part.as_span())),
            _ => inner = Some(expression(part)),
        }
    }
    let inner = inner.unwrap_or_else(|| unreadable(Span::default()));
    nots.into_iter().rev().fold(inner, |inner, not| {
        let span = not.to(inner.span);
        Expression { kind: ExpressionKind::Not(Box::new(inner)), span }
    })
}

fn call(pair: Pair<'_, Rule>) -> Expression {
    let span = Span::from(pair.as_span());
    let (mut function, mut function_span) = (String::new(), span);
    let mut arguments = Vec::new();
    for part in pair.into_inner() {
        match part.as_rule() {
            Rule::function => {
                part.as_str().clone_into(&mut function);
                function_span = part.as_span().into();
            }
            Rule::operand => arguments.push(operand(part)),
            _ => {}
        }
    }
    Expression { kind: ExpressionKind::Call { function, function_span, arguments }, span }
}

/// An operand and what is said of it: `comparison`, `null_test`, `membership`, `range` or `search`.
fn predicate(pair: Pair<'_, Rule>) -> ExpressionKind {
    let mut parts = pair.into_inner();
    let (Some(subject), Some(statement)) = (parts.next(), parts.next()) else {
        return unreadable(Span::default()).kind;
    };
    let rule = statement.as_rule();
    let mut words = Vec::new();
    let mut operands = Vec::new();
    for part in statement.into_inner() {
        match part.as_rule() {
            Rule::operand => operands.push(operand(part)),
            _ => words.push(part),
        }
    }
    let operand = operand(subject);
    let negated = words.iter().any(|word| word.as_rule() == Rule::not);
    let mut values = operands.into_iter();
    match rule {
        Rule::null_test => ExpressionKind::NullTest { operand, negated },
        Rule::membership => ExpressionKind::Membership { operand, negated, list: values.collect() },
        Rule::range => match (values.next(), values.next()) {
            (Some(low), Some(high)) => ExpressionKind::Range { operand, negated, low, high },
            _ => unreadable(operand.span).kind,
        },
        _ => match (values.next(), words.iter().find_map(comparator), words.iter().find_map(search)) {
            (Some(right), Some(comparator), None) => {
                ExpressionKind::Comparison { left: operand, comparator, right }
            }
            (Some(sought), None, Some(search)) => ExpressionKind::Search { operand, negated, search, sought },
            _ => unreadable(operand.span).kind,
        },
    }
}

fn comparator(word: &Pair<'_, Rule>) -> Option<Comparator> {
    match word.as_str() {
        "=" => Some(Comparator::Equal),
        "!=" | "<>" => Some(Comparator::NotEqual),
        ">" => Some(Comparator::Greater),
        ">=" => Some(Comparator::GreaterOrEqual),
        "<" => Some(Comparator::Less),
        "<=" => Some(Comparator::LessOrEqual),
        _ => None,
    }
}

fn search(word: &Pair<'_, Rule>) -> Option<Search> {
    match word.as_rule() {
        Rule::like => Some(Search::Like),
        Rule::contains => Some(Search::Contains),
        Rule::starts_with => Some(Search::StartsWith),
        Rule::ends_with => Some(Search::EndsWith),
        _ => None,
    }
}

fn operand(pair: Pair<'_, Rule>) -> Operand {
    let span = pair.as_span().into();
    let kind = match pair.into_inner().next() {
        Some(value) => match value.as_rule() {
            Rule::text => OperandKind::Text(unquoted(value.as_str(), '\'')),
            Rule::number => OperandKind::Number(value.as_str().to_owned()),
            Rule::boolean => OperandKind::Boolean(value.as_str().eq_ignore_ascii_case("true")),
            Rule::field => OperandKind::Field(field(value)),
            Rule::event_field => event_field(value).map_or(OperandKind::Null, OperandKind::Event),
            _ => OperandKind::Null,
        },
        None => OperandKind::Null,
    };
    Operand { kind, span }
}

/// Always one that exists: `mistakes` refuses all others.
fn event_field(pair: Pair<'_, Rule>) -> Option<EventField> {
    pair.into_inner()
        .find(|part| part.as_rule() == Rule::name)
        .and_then(|name| EventField::named(name.as_str()))
}

fn field(pair: Pair<'_, Rule>) -> Field {
    let mut field =
        Field { image: None, root: Name { text: String::new(), quoted: false }, steps: Vec::new() };
    for part in pair.into_inner() {
        match part.as_rule() {
            Rule::image if part.as_str().eq_ignore_ascii_case("old") => field.image = Some(Image::Old),
            Rule::image => field.image = Some(Image::New),
            Rule::step => field.steps.extend(part.into_inner().map(|step| match step.as_rule() {
                // At most nine digits, says the grammar.
                Rule::index => Step::Index(step.as_str().parse().unwrap_or(u32::MAX)),
                _ => Step::Name(name(&step)),
            })),
            _ => field.root = name(&part),
        }
    }
    field
}

fn name(pair: &Pair<'_, Rule>) -> Name {
    match pair.as_rule() {
        Rule::quoted => Name { text: unquoted(pair.as_str(), '"'), quoted: true },
        _ => Name { text: pair.as_str().to_owned(), quoted: false },
    }
}

/// The text between the quotes, with doubled quotes made single.
fn unquoted(written: &str, quote: char) -> String {
    let inner = written.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote)).unwrap_or(written);
    let mut text = String::with_capacity(inner.len());
    let mut characters = inner.chars();
    while let Some(character) = characters.next() {
        text.push(character);
        if character == quote {
            // The second of a pair.
            characters.next();
        }
    }
    text
}
