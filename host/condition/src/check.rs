//! What can be said of a condition before any row is seen: functions and arguments that do not fit, values that can
//! never be compared, and sentences that hardly say what was meant.

use crate::{
    calls::Call,
    diagnostic::Diagnostic,
    like::Pattern,
    print,
    syntax::{Expression, ExpressionKind, Operand, OperandKind, Search},
    value::Type,
};

/// Refuses what would be wrong for every row; returns warnings for what is merely unlikely to be meant.
pub fn check(expression: &Expression) -> Result<Vec<Diagnostic>, Diagnostic> {
    let mut warnings = Vec::new();
    visit(expression, &mut warnings)?;
    Ok(warnings)
}

fn visit(expression: &Expression, warnings: &mut Vec<Diagnostic>) -> Result<(), Diagnostic> {
    match &expression.kind {
        ExpressionKind::AnyOf(parts) | ExpressionKind::AllOf(parts) => {
            parts.iter().try_for_each(|part| visit(part, warnings))
        }
        ExpressionKind::Not(inner) => visit(inner, warnings),
        ExpressionKind::Comparison { left, comparator, right } => {
            double_quotes(left, right, warnings)?;
            comparable(left, right, comparator.as_str())?;
            if !comparator.is_equality() {
                orderable(left, comparator.as_str())?;
                orderable(right, comparator.as_str())?;
            }
            if let Some(null) = [right, left].into_iter().find(|operand| operand.kind == OperandKind::Null) {
                let other = if std::ptr::eq(null, right) { left } else { right };
                let not = if comparator.as_str() == "=" { "" } else { "NOT " };
                warnings.push(compared_with_null(null, &format!("write {other} IS {not}NULL")));
            }
            Ok(())
        }
        ExpressionKind::Membership { operand, negated, list } => {
            membership(operand, *negated, list, warnings)
        }
        ExpressionKind::Range { operand, low, high, .. } => {
            for bound in [low, high] {
                double_quotes(operand, bound, warnings)?;
                comparable(operand, bound, "BETWEEN")?;
                orderable(bound, "BETWEEN")?;
                if bound.kind == OperandKind::Null {
                    warnings.push(compared_with_null(bound, "leave this bound out: write one comparison"));
                }
            }
            orderable(operand, "BETWEEN")?;
            comparable(low, high, "BETWEEN")
        }
        ExpressionKind::Search { operand, search, sought, .. } => {
            double_quotes(operand, sought, warnings)?;
            searchable(operand, *search, sought)?;
            if sought.kind == OperandKind::Null {
                warnings.push(compared_with_null(sought, &format!("write {operand} IS NULL")));
            }
            Ok(())
        }
        ExpressionKind::NullTest { .. } => Ok(()),
        ExpressionKind::Call { function, function_span, arguments } => {
            match Call::resolve(function, *function_span, arguments, expression.span)? {
                Call::ChangedTo(_, _, value) | Call::ChangedFrom(_, _, value) => {
                    double_quotes(&arguments[0], value, warnings)
                }
                Call::Changed(_) | Call::HasField(_) => Ok(()),
            }
        }
    }
}

fn membership(
    operand: &Operand,
    negated: bool,
    list: &[Operand],
    warnings: &mut Vec<Diagnostic>,
) -> Result<(), Diagnostic> {
    let typed = list.iter().find(|value| literal_type(value).is_some_and(|kind| kind != Type::Null));
    for value in list {
        double_quotes(operand, value, warnings)?;
        comparable(operand, value, "IN")?;
        if let Some(typed) = typed {
            comparable(typed, value, "IN")?;
        }
        if value.kind == OperandKind::Null {
            let help = if negated {
                format!("write {operand} IS NOT NULL AND {operand} NOT IN (..)")
            } else {
                format!("write {operand} IS NULL OR {operand} IN (..)")
            };
            warnings.push(compared_with_null(value, &help));
        }
    }
    Ok(())
}

fn searchable(operand: &Operand, search: Search, sought: &Operand) -> Result<(), Diagnostic> {
    let word = search.as_str();
    let not_text = |kind: &Type| !matches!(kind, Type::Text | Type::Null);
    if let Some(kind) = literal_type(operand).filter(not_text) {
        return Err(Diagnostic::error(
            operand.span,
            format!("`{word}` cannot look into {kind}"),
            format!("this is {kind}"),
        ));
    }
    // An array may contain a number, a text does not.
    let in_text = search != Search::Contains || literal_type(operand).is_some();
    if let Some(kind) = literal_type(sought).filter(not_text)
        && in_text
    {
        return Err(Diagnostic::error(
            sought.span,
            format!("`{word}` looks for text"),
            format!("this is {kind}"),
        )
        .help(format!("write it between single quotes: '{sought}'")));
    }
    match &sought.kind {
        OperandKind::Text(pattern) if search == Search::Like && Pattern::read(pattern).is_err() => {
            Err(Diagnostic::error(
                sought.span,
                "the pattern ends in a backslash that escapes nothing",
                "ends in a backslash",
            )
            .help("a backslash itself is written \\\\"))
        }
        _ => Ok(()),
    }
}

/// The type of a value that has one whatever the row is.
const fn literal_type(operand: &Operand) -> Option<Type> {
    match &operand.kind {
        OperandKind::Text(_) | OperandKind::Event(_) => Some(Type::Text),
        OperandKind::Number(_) => Some(Type::Number),
        OperandKind::Boolean(_) => Some(Type::Boolean),
        OperandKind::Null => Some(Type::Null),
        OperandKind::Field(_) => None,
    }
}

/// Two values of different known types fail for every row; null compares with everything.
fn comparable(left: &Operand, right: &Operand, operator: &str) -> Result<(), Diagnostic> {
    match (literal_type(left), literal_type(right)) {
        (Some(left_type), Some(right_type))
            if left_type != right_type && left_type != Type::Null && right_type != Type::Null =>
        {
            Err(Diagnostic::error(
                right.span,
                format!(
                    "`{operator}` cannot compare {left} and {right}: one is {left_type}, the other {right_type}"
                ),
                format!("this is {right_type}"),
            )
            .help("all values of one comparison have the same type"))
        }
        _ => Ok(()),
    }
}

fn orderable(operand: &Operand, operator: &str) -> Result<(), Diagnostic> {
    match literal_type(operand) {
        Some(Type::Boolean) => Err(Diagnostic::error(
            operand.span,
            format!("`{operator}` orders only numbers and texts"),
            "a boolean has no order",
        )
        .help("compare booleans with = or !=")),
        _ => Ok(()),
    }
}

fn compared_with_null(null: &Operand, help: &str) -> Diagnostic {
    Diagnostic::warning(null.span, "comparing with NULL is never true", "always unknown").help(help)
}

/// `status = "paid"` compares with a field called paid, which is hardly what a writer of JSON or JavaScript means.
/// Refused when the name needs no quotes, unless the writer quotes fields as a habit; else a warning.
fn double_quotes(left: &Operand, right: &Operand, warnings: &mut Vec<Diagnostic>) -> Result<(), Diagnostic> {
    let OperandKind::Field(field) = &right.kind else { return Ok(()) };
    if !field.root.quoted || field.image.is_some() || !field.steps.is_empty() {
        return Ok(());
    }
    if matches!(&left.kind, OperandKind::Field(left) if left.root.quoted) {
        return Ok(());
    }
    let name = &field.root.text;
    let message = format!("\"{name}\" in double quotes is a field, not a text");
    let text = name.replace('\'', "''");
    if print::is_word(name) && !print::is_reserved(name) {
        let help = format!("write '{text}' for the text; the field {name} needs no quotes");
        return Err(Diagnostic::error(right.span, message, "a field's name").help(help));
    }
    let help = format!("if the text is meant, write '{text}'");
    warnings.push(Diagnostic::warning(right.span, message, "a field's name").help(help));
    Ok(())
}
