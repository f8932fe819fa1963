//! Words that no condition has: foreign operators, open quotes, malformed numbers, stray characters. Each is explained
//! where it stands, before the structure is read.

use aftercommit_core::nearest;

use crate::{
    diagnostic::Diagnostic,
    foreign_functions,
    grammar::Rule,
    syntax::{EventField, Span},
    tokens::Token,
};

/// The leftmost word that cannot be right.
pub(crate) fn first(source: &str, tokens: &[Token]) -> Option<Diagnostic> {
    tokens.iter().enumerate().find_map(|(index, token)| {
        let written = &source[token.span.range()];
        match token.rule {
            Rule::foreign_operator => Some(foreign_operator(token.span, written)),
            Rule::event_field => event_field(token.span, written),
            Rule::prefix_alone => Some(prefix_alone(token.span, written)),
            Rule::unclosed_text => Some(unclosed_text(source, tokens, index)),
            Rule::unclosed_quoted => Some(unclosed_quoted(token.span)),
            Rule::empty_quoted => Some(empty_quoted(token.span)),
            Rule::malformed_number => Some(malformed_number(token.span, written)),
            Rule::stray => Some(stray(source, tokens, index)),
            Rule::field => foreign_functions::mistake(source, tokens, index),
            _ => None,
        }
    })
}

fn foreign_operator(span: Span, written: &str) -> Diagnostic {
    let meant = match written {
        "=>" => ">=",
        "=<" => "<=",
        "&&" | "&" => "AND",
        "||" | "|" => "OR",
        "!" => "NOT",
        "!==" => "!=",
        "=~" => "LIKE",
        "!~" => "NOT LIKE",
        _ => "=",
    };
    Diagnostic::error(
        span,
        format!("`{written}` is not an operator of conditions"),
        "an operator of another language",
    )
    .help(format!("use `{meant}` instead of `{written}`"))
}

/// `EVENT.` is followed by exactly one of the names that an event has.
fn event_field(span: Span, written: &str) -> Option<Diagnostic> {
    let point = written.find('.')?;
    let path = &written[point + 1..];
    if EventField::named(path).is_some() {
        return None;
    }
    let name_start = span.start + point + 1;
    let name = path.split(['.', '[']).next().unwrap_or(path);
    if EventField::named(name).is_some() {
        let steps = Span { start: name_start + name.len(), end: span.end };
        let message = format!("EVENT.{name} is text and has no parts");
        return Some(Diagnostic::error(steps, message, "nothing to look into"));
    }
    let names = EventField::ALL.map(EventField::as_str);
    let place = Span { start: name_start, end: span.end };
    let diagnostic =
        Diagnostic::error(place, format!("the event has no field {path}"), "not a field of EVENT");
    Some(match nearest(path.trim_matches('"'), names) {
        Some(meant) => diagnostic.help(format!("did you mean EVENT.{meant}?")),
        None => diagnostic
            .help(format!("EVENT has {}; a field of the row stands without EVENT", names.join(", "))),
    })
}

fn prefix_alone(span: Span, written: &str) -> Diagnostic {
    let prefix = written.to_ascii_uppercase();
    let (what, example) = match prefix.as_str() {
        "EVENT" => ("the event", "EVENT.actor for what the event knows"),
        "OLD" => ("an image of the row", "OLD.name for a field of it"),
        _ => ("an image of the row", "NEW.name for a field of it"),
    };
    Diagnostic::error(span, format!("{prefix} is {what} and no value by itself"), "of which field?")
        .help(format!("write {example}; a field that is itself called {written} is written \"{written}\""))
}

fn unclosed_text(source: &str, tokens: &[Token], index: usize) -> Diagnostic {
    let span = Span { start: tokens[index].span.start, end: tokens[index].span.start + 1 };
    let diagnostic =
        Diagnostic::error(span, "a text is opened here and never closed", "this quote has no partner");
    // 'O'Brien' reads as the text 'O', the word Brien and an open quote.
    let text_before = tokens[..index].iter().rev().find(|token| token.rule == Rule::text);
    let gap = text_before.map(|text| &source[text.span.end..span.start]);
    if gap.is_some_and(|gap| gap.starts_with(|letter: char| letter.is_alphanumeric())) {
        diagnostic.help("a quote inside a text is doubled: 'O''Brien'")
    } else {
        diagnostic
            .help("a text stands between single quotes: 'shipped'; a quote inside it is doubled: 'it''s'")
    }
}

fn unclosed_quoted(span: Span) -> Diagnostic {
    let quote = Span { start: span.start, end: span.start + 1 };
    Diagnostic::error(
        quote,
        "a quoted field name is opened here and never closed",
        "this quote has no partner",
    )
    .help("double quotes hold field names (\"order-id\"), single quotes hold text ('shipped')")
}

fn empty_quoted(span: Span) -> Diagnostic {
    Diagnostic::error(span, "a field needs a name", "an empty name").help("the empty text is written ''")
}

fn malformed_number(span: Span, written: &str) -> Diagnostic {
    let diagnostic = Diagnostic::error(span, format!("`{written}` is not a number"), "not a number");
    let digits = written.trim_start_matches('-');
    if let Some(fraction) = digits.strip_prefix('.') {
        diagnostic.help(format!("a number starts with a digit: 0.{fraction}"))
    } else if digits.ends_with('.') && digits.matches('.').count() == 1 {
        diagnostic.help(format!("a point is followed by a digit: {written}0"))
    } else if digits.contains('_') && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_') {
        diagnostic.help(format!("numbers have no separators: {}", written.replace('_', "")))
    } else if digits.starts_with("0x") {
        diagnostic.help("numbers are decimal")
    } else {
        diagnostic.help(format!(
            "numbers look like 100, -0.5 or 1e6; a text is written '{written}', and a field whose name starts with a \
             digit \"{written}\""
        ))
    }
}

/// Comments of SQL and of shells.
fn comment(first: Span, both: Span, character: &str) -> Diagnostic {
    let span = if character == "#" { first } else { both };
    Diagnostic::error(span, "a condition has no comments", "remove this and what follows")
        .help("write it beside the condition: the file of observers has comments of its own (`#`)")
}

fn is_value(rule: Rule) -> bool {
    matches!(
        rule,
        Rule::field
            | Rule::event_field
            | Rule::number
            | Rule::text
            | Rule::boolean
            | Rule::null
            | Rule::close
    )
}

fn stray(source: &str, tokens: &[Token], index: usize) -> Diagnostic {
    let token = tokens[index];
    let before =
        index.checked_sub(1).map(|index| tokens[index]).filter(|before| before.span.end == token.span.start);
    let after = tokens.get(index + 1).filter(|after| after.span.start == token.span.end);
    let character = &source[token.span.range()];
    let next = after.map_or("", |after| &source[after.span.range()]);
    if character == "#" || matches!((character, next), ("-", "-") | ("/", "*" | "/")) {
        return comment(token.span, after.map_or(token.span, |after| token.span.to(after.span)), character);
    }
    if let ("+", Some(number)) = (character, after.filter(|after| after.rule == Rule::number))
        && !index.checked_sub(1).is_some_and(|before| is_value(tokens[before].rule))
    {
        return Diagnostic::error(token.span, "a number has no plus sign", "remove this")
            .help(format!("write {}", &source[number.span.range()]));
    }
    let error = |message: &str, label: &str| Diagnostic::error(token.span, message, label);
    match character {
        "-" if let (Some(before), Some(after)) = (before, after)
            && before.rule == Rule::field =>
        {
            let name = &source[before.span.start..after.span.end];
            Diagnostic::error(before.span.to(after.span), "a field name has no `-`", "is this one name?")
                .help(format!("write \"{name}\" in double quotes"))
        }
        "+" | "-" | "*" | "/" | "%" | "^" => {
            error("a condition compares values and does not calculate", "no arithmetic here")
                .help("let the database calculate: a generated column is a field like any other")
        }
        "." => match before {
            Some(before) if before.rule == Rule::field => error(
                "a path needs a name after the point",
                "a name is missing after this",
            )
            .help(
                "a path looks like customer.address.city; an odd name in it is quoted: customer.\"zip-code\"",
            ),
            Some(before) => {
                let word = &source[before.span.range()];
                Diagnostic::error(
                    before.span,
                    format!("`{word}` is a word of the language and no field"),
                    "not a field",
                )
                .help(format!("write \"{word}\" in double quotes when it is a field"))
            }
            None => error("a path starts with the name of a field", "no name before this"),
        },
        "[" | "]" if before.is_some_and(|before| before.rule == Rule::field) => {
            error("an index is a whole number between brackets, such as [0]", "not an index of an array")
        }
        "[" | "]" => error("values are listed in parentheses", "no bracket here").help("write IN ('a', 'b')"),
        "{" | "}" => error("a field is written without braces", "no brace here"),
        ";" => error("a condition is a single one, without a semicolon", "remove this"),
        "`" => {
            error("a field name is quoted with double quotes", "not a quote here").help("write \"order-id\"")
        }
        "\u{2018}" | "\u{2019}" | "\u{201a}" | "\u{201c}" | "\u{201d}" | "\u{201e}" | "\u{ab}" | "\u{bb}" => {
            error("this is a typographic quote", "not a quote here")
                .help("a text stands between plain single quotes: 'shipped'")
        }
        _ => {
            let code = character.chars().next().map_or(0, u32::from);
            error(
                &format!("the character {character:?} (U+{code:04X}) means nothing here"),
                "not part of the language",
            )
        }
    }
}
