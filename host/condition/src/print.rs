//! From tree to text, in one canonical form: keywords in capitals, parentheses and quotes only where they are needed.
//! What is printed reads back as the same tree.

use std::fmt::{self, Write as _};

use crate::{
    keywords::KEYWORDS,
    syntax::{EventField, Expression, ExpressionKind, Field, Name, Operand, OperandKind, Step},
};

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            ExpressionKind::AnyOf(parts) => {
                chain(f, parts, " OR ", |part| matches!(part, ExpressionKind::AnyOf(_)))
            }
            ExpressionKind::AllOf(parts) => chain(f, parts, " AND ", is_chain),
            ExpressionKind::Not(inner) => {
                f.write_str("NOT ")?;
                part(f, inner, is_chain(&inner.kind))
            }
            ExpressionKind::Comparison { left, comparator, right } => {
                write!(f, "{left} {} {right}", comparator.as_str())
            }
            ExpressionKind::Membership { operand, negated, list } => {
                write!(f, "{operand} {}IN (", not(*negated))?;
                separated(f, list)
            }
            ExpressionKind::Range { operand, negated, low, high } => {
                write!(f, "{operand} {}BETWEEN {low} AND {high}", not(*negated))
            }
            ExpressionKind::Search { operand, negated, search, sought } => {
                write!(f, "{operand} {}{} {sought}", not(*negated), search.as_str())
            }
            ExpressionKind::NullTest { operand, negated } => write!(f, "{operand} IS {}NULL", not(*negated)),
            ExpressionKind::Call { function, arguments, .. } => {
                write!(f, "{}(", function.to_ascii_uppercase())?;
                separated(f, arguments)
            }
        }
    }
}

fn chain(
    f: &mut fmt::Formatter<'_>,
    parts: &[Expression],
    word: &str,
    in_parentheses: fn(&ExpressionKind) -> bool,
) -> fmt::Result {
    for (index, inner) in parts.iter().enumerate() {
        if index > 0 {
            f.write_str(word)?;
        }
        part(f, inner, in_parentheses(&inner.kind))?;
    }
    Ok(())
}

fn part(f: &mut fmt::Formatter<'_>, inner: &Expression, in_parentheses: bool) -> fmt::Result {
    if in_parentheses { write!(f, "({inner})") } else { write!(f, "{inner}") }
}

const fn is_chain(kind: &ExpressionKind) -> bool {
    matches!(kind, ExpressionKind::AnyOf(_) | ExpressionKind::AllOf(_))
}

const fn not(negated: bool) -> &'static str {
    if negated { "NOT " } else { "" }
}

/// The values, and the parenthesis that closes them.
fn separated(f: &mut fmt::Formatter<'_>, operands: &[Operand]) -> fmt::Result {
    for (index, operand) in operands.iter().enumerate() {
        if index > 0 {
            f.write_str(", ")?;
        }
        write!(f, "{operand}")?;
    }
    f.write_char(')')
}

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            OperandKind::Text(text) => quoted(f, text, '\''),
            OperandKind::Number(number) => f.write_str(number),
            OperandKind::Boolean(value) => f.write_str(boolean(*value)),
            OperandKind::Null => f.write_str("NULL"),
            OperandKind::Field(field) => write!(f, "{field}"),
            OperandKind::Event(field) => write!(f, "{field}"),
        }
    }
}

impl fmt::Display for EventField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EVENT.{}", self.as_str())
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(image) = self.image {
            write!(f, "{}.", image.as_str())?;
        }
        let reserved = self.image.is_none() && is_reserved(&self.root.text);
        name(f, &self.root, reserved)?;
        for step in &self.steps {
            match step {
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Name(step) => {
                    f.write_char('.')?;
                    name(f, step, false)?;
                }
            }
        }
        Ok(())
    }
}

fn name(f: &mut fmt::Formatter<'_>, name: &Name, reserved: bool) -> fmt::Result {
    if name.quoted || reserved || !is_word(&name.text) {
        return quoted(f, &name.text, '"');
    }
    f.write_str(&name.text)
}

pub(crate) fn quoted(f: &mut fmt::Formatter<'_>, text: &str, quote: char) -> fmt::Result {
    f.write_char(quote)?;
    for character in text.chars() {
        if character == quote {
            f.write_char(quote)?;
        }
        f.write_char(character)?;
    }
    f.write_char(quote)
}

pub(crate) const fn boolean(value: bool) -> &'static str {
    if value { "TRUE" } else { "FALSE" }
}

/// Whether a field of this name must be quoted because the language uses the word itself.
pub(crate) fn is_reserved(name: &str) -> bool {
    KEYWORDS.iter().chain(&["OLD", "NEW", "EVENT"]).any(|keyword| keyword.eq_ignore_ascii_case(name))
}

/// Whether the grammar reads `name` as one word.
pub(crate) fn is_word(name: &str) -> bool {
    use pest::unicode::{XID_CONTINUE, XID_START};
    let mut characters = name.chars();
    characters.next().is_some_and(|first| first == '_' || XID_START(first))
        && characters.all(|character| character == '$' || XID_CONTINUE(character))
}
