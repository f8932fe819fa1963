//! Why a text that consists of good words is no condition: from the place where the parser got stuck to a sentence for
//! people.

use std::borrow::Cow;

use aftercommit_core::nearest;

use crate::{
    calls::Function,
    diagnostic::Diagnostic,
    expected::Expected,
    grammar::Rule,
    syntax::Span,
    tokens::{Nesting, Token},
};

/// Where the parser stopped, and what stands around.
struct Place<'a> {
    source: &'a str,
    before: Option<Token>,
    /// `None` at the end of the text.
    found: Option<Token>,
    after: Option<Token>,
}

/// The reason why `source` could not be read beyond `position`, where one of `rules` was expected.
pub(crate) fn failure(
    source: &str,
    tokens: &[Token],
    nesting: &Nesting,
    position: usize,
    rules: &[Rule],
) -> Diagnostic {
    let index = tokens.iter().position(|token| token.span.start >= position).unwrap_or(tokens.len());
    let place = Place {
        source,
        before: index.checked_sub(1).map(|index| tokens[index]),
        found: tokens.get(index).copied(),
        after: tokens.get(index + 1).copied(),
    };
    if tokens.is_empty() {
        return empty();
    }
    match (Expected::from_rules(rules), place.found, nesting.unclosed.last()) {
        (Expected::Connective | Expected::List, None, Some(open)) => unclosed(*open),
        (Expected::Condition, ..) => place.condition(),
        (Expected::Value, ..) => place.value(),
        (Expected::Operator, ..) => place.operator(),
        (Expected::Connective, ..) => place.connective(),
        (Expected::List, ..) => place.list(),
        (Expected::Open, ..) => place.open(),
        (Expected::BetweenAnd, ..) => place.between_and(),
        (Expected::Null, ..) => place.null(),
        (Expected::Negatable, ..) => place.negatable(),
    }
}

fn empty() -> Diagnostic {
    Diagnostic::error(Span::default(), "the condition is empty", "nothing is written here")
        .help("leave the condition out to run the actions for every event")
}

fn unclosed(open: Span) -> Diagnostic {
    Diagnostic::error(open, "a parenthesis is opened here and never closed", "this one has no partner")
        .help("add `)` where the group or the list ends")
}

impl<'a> Place<'a> {
    /// A word as it was written, cut when it is long.
    fn word(&self, token: Token) -> Cow<'a, str> {
        const SHOWN_BYTES: usize = 40;
        let word = &self.source[token.span.range()];
        if word.len() <= SHOWN_BYTES {
            return Cow::Borrowed(word);
        }
        Cow::Owned(format!("{}..", &word[..word.floor_char_boundary(SHOWN_BYTES)]))
    }

    /// A diagnostic at the found word; at the end of the text, at the word before, because the end shows nothing.
    fn error(&self, message: impl Into<String>, label: &str, label_at_end: &str) -> Diagnostic {
        match (self.found, self.before) {
            (Some(found), _) => Diagnostic::error(found.span, message, label),
            (None, Some(before)) => Diagnostic::error(before.span, message, label_at_end),
            (None, None) => empty(),
        }
    }

    /// Something is missing after the word before.
    fn missing(&self, what: &str) -> Diagnostic {
        let Some(before) = self.before else { return empty() };
        let word = self.word(before);
        let message = match self.found {
            None => format!("the condition ends after `{word}`"),
            Some(found) => format!("{what} is missing between `{word}` and `{}`", self.word(found)),
        };
        Diagnostic::error(before.span, message, format!("{what} is missing after this"))
    }

    fn condition(&self) -> Diagnostic {
        let Some(found) = self.found else { return self.missing("a condition") };
        let word = self.word(found);
        match (found.rule, self.before.map(|before| before.rule)) {
            (Rule::close, Some(Rule::open)) => {
                self.error("these parentheses hold no condition", "nothing stands before this", "")
            }
            (Rule::and | Rule::or, None | Some(Rule::open)) => {
                self.error(format!("{word} stands between two conditions"), "no condition before this", "")
            }
            (Rule::close | Rule::and | Rule::or, Some(_)) => self.missing("a condition"),
            (rule, _) if is_operator(rule) => self.error(
                format!("`{word}` needs a field or a value before it"),
                "nothing to compare before this",
                "",
            ),
            _ => self.error(
                format!("a condition cannot start with `{word}`"),
                "a condition was expected here",
                "",
            ),
        }
    }

    fn value(&self) -> Diagnostic {
        let (Some(found), Some(before)) = (self.found, self.before) else {
            return self.missing("a field or a value");
        };
        let word = self.word(found);
        match (before.rule, found.rule) {
            (Rule::comparator, Rule::comparator) => {
                let both = format!("{}{word}", self.word(before));
                let diagnostic =
                    self.error(format!("`{word}` follows another operator"), "one operator too many", "");
                let known = matches!(both.as_str(), ">=" | "<=" | "<>" | "!=");
                if known { diagnostic.help(format!("write `{both}` without a space")) } else { diagnostic }
            }
            (Rule::comparator, Rule::open) => self
                .error("a value stands without parentheses", "no parenthesis here", "")
                .help("to compare with several values write IN ('a', 'b')"),
            (Rule::open, Rule::close) => {
                self.error("this list is empty", "at least one value is missing before this", "")
            }
            (_, Rule::close | Rule::comma | Rule::comparator | Rule::open) => {
                self.missing("a field or a value")
            }
            (_, Rule::and | Rule::or) => self.missing("a field or a value"),
            _ => self
                .error(
                    format!("{word} is a word of the language and no value"),
                    "a field or a value was expected here",
                    "",
                )
                .help(format!("a field of this name is written \"{word}\", a text '{word}'")),
        }
    }

    fn operator(&self) -> Diagnostic {
        let Some(before) = self.before else { return empty() };
        let subject = self.word(before);
        let Some(found) =
            self.found.filter(|found| !matches!(found.rule, Rule::and | Rule::or | Rule::close))
        else {
            return self.alone(before);
        };
        let word = self.word(found);
        let no_operator = |help: String| {
            Diagnostic::error(
                found.span,
                format!("`{word}` is not an operator"),
                "an operator was expected here",
            )
            .help(help)
        };
        match found.rule {
            Rule::field if word.eq_ignore_ascii_case("ilike") => {
                no_operator("LIKE is the only pattern operator, and letters' case counts".to_owned())
            }
            Rule::field if let Some(meant) = nearest(&word, OPERATORS) => {
                no_operator(format!("did you mean {meant}?"))
            }
            Rule::field if nearest(&subject, ["NOT"]).is_some() => Diagnostic::error(
                before.span,
                format!("`{subject}` is followed by no operator"),
                "read as the name of a field",
            )
            .help("did you mean NOT?"),
            Rule::field if self.after.is_some_and(|after| is_value(after.rule)) => {
                no_operator(format!("the operators are = != > >= < <= {}", OPERATORS.join(" ")))
            }
            Rule::number if word.starts_with('-') => Diagnostic::error(
                found.span,
                "a condition compares values and does not calculate",
                "an operator was expected here",
            )
            .help(format!("a field whose name has a `-` is written \"{subject}{word}\"")),
            Rule::text | Rule::number | Rule::boolean | Rule::field | Rule::event_field => Diagnostic::error(
                before.span.to(found.span),
                format!("an operator is missing between `{subject}` and `{word}`"),
                "how do they compare?",
            )
            .help(format!("for example {subject} = {word}")),
            Rule::null => {
                Diagnostic::error(found.span, "NULL is tested with IS", "IS is missing before this")
                    .help(format!("write {subject} IS NULL"))
            }
            _ => Diagnostic::error(
                found.span,
                format!("`{word}` cannot follow `{subject}`"),
                "an operator was expected here",
            ),
        }
    }

    /// A field or a value of which nothing is said.
    fn alone(&self, operand: Token) -> Diagnostic {
        let word = self.word(operand);
        let diagnostic = Diagnostic::error(
            operand.span,
            format!("`{word}` alone is not a condition"),
            "nothing is said of it",
        );
        let closed = self.found.is_some_and(|found| found.rule == Rule::close);
        if closed && self.after.is_some_and(|after| is_operator(after.rule)) {
            return diagnostic.help("parentheses group conditions; a field or a value stands without them");
        }
        if let Some(function) = Function::named(&word) {
            return diagnostic.help(format!("the function is written {}", function.shape()));
        }
        match operand.rule {
            Rule::field => diagnostic.help(format!("compare it: {word} = TRUE when it is a boolean")),
            Rule::event_field => diagnostic.help(format!("compare it: {word} = 'a text'")),
            _ => diagnostic.help("compare it with a field"),
        }
    }

    fn connective(&self) -> Diagnostic {
        let (Some(found), Some(before)) = (self.found, self.before) else {
            return self.missing("a condition");
        };
        let word = self.word(found);
        let joined = |help: &str| {
            Diagnostic::error(
                found.span,
                format!("AND or OR is missing before `{word}`"),
                "a new condition starts here",
            )
            .help(help)
        };
        match found.rule {
            Rule::close => self.error("this parenthesis closes nothing", "no `(` before this", ""),
            Rule::comma => self
                .error("conditions are joined with AND or OR", "no comma here", "")
                .help("write AND instead of the comma"),
            Rule::field if let Some(meant) = nearest(&word, ["AND", "OR"]) => Diagnostic::error(
                found.span,
                format!("`{word}` does not join conditions"),
                "AND or OR was expected here",
            )
            .help(format!("did you mean {meant}?")),
            Rule::field if before.rule == Rule::field => {
                joined("a text stands between single quotes: 'two words'")
            }
            Rule::comparator if before.rule == Rule::close => self
                .error(
                    "this condition is compared, and a condition is no value",
                    "no operator can follow a condition",
                    "",
                )
                .help("write the condition by itself, or NOT before it"),
            rule if is_operator(rule) => self
                .error(format!("`{word}` follows a complete condition"), "comparisons do not chain", "")
                .help("write one condition for each, joined with AND: 1 < total AND total < 10"),
            Rule::open if before.rule == Rule::field => Diagnostic::error(
                before.span.to(found.span),
                "a function is a condition by itself and no value",
                "no function here",
            )
            .help("compare with a field or a value"),
            _ => joined("join two conditions with AND or OR"),
        }
    }

    fn list(&self) -> Diagnostic {
        let Some(found) = self.found else { return self.missing("`)`") };
        let word = self.word(found);
        match found.rule {
            Rule::and | Rule::or => self.missing("`)`"),
            rule if is_operator(rule) => {
                self.error("only fields and values stand between these parentheses", "no condition here", "")
            }
            _ => self.error(format!("a comma is missing before `{word}`"), "a new value starts here", ""),
        }
    }

    fn open(&self) -> Diagnostic {
        let diagnostic = self.error(
            "IN needs a list of values in parentheses",
            "`(` was expected here",
            "a list is missing after this",
        );
        match self.found {
            Some(found) if found.rule == Rule::field => {
                diagnostic.help("to look into an array that is a field, write tags CONTAINS 'new'")
            }
            _ => diagnostic.help("for example status IN ('paid', 'sent')"),
        }
    }

    fn between_and(&self) -> Diagnostic {
        self.error(
            "BETWEEN needs two bounds joined by AND",
            "AND was expected here",
            "AND and the upper bound are missing",
        )
        .help("for example total BETWEEN 10 AND 20; both bounds belong to the range")
    }

    fn null(&self) -> Diagnostic {
        let diagnostic = self.error(
            "IS is followed by NULL or NOT NULL",
            "NULL was expected here",
            "NULL is missing after this",
        );
        match (self.found, self.before.map(|before| before.rule)) {
            (Some(found), Some(Rule::not)) if is_value(found.rule) => {
                diagnostic.help(format!("to compare, write != {}", self.word(found)))
            }
            (Some(found), _) if is_value(found.rule) => {
                diagnostic.help(format!("to compare, write = {}", self.word(found)))
            }
            _ => diagnostic,
        }
    }

    fn negatable(&self) -> Diagnostic {
        let diagnostic = self.error(
            "NOT before an operator goes with IN, BETWEEN, LIKE, CONTAINS, STARTS_WITH and ENDS_WITH only",
            "one of these was expected here",
            "an operator is missing after this",
        );
        match self.found.map(|found| (found.rule, self.word(found))) {
            Some((Rule::null, _)) => diagnostic.help("write IS NOT NULL"),
            Some((Rule::comparator, word)) if word == "=" => diagnostic.help("write != instead of NOT ="),
            Some((Rule::field, word)) if let Some(meant) = nearest(&word, OPERATORS) => {
                diagnostic.help(format!("did you mean {meant}?"))
            }
            _ => diagnostic,
        }
    }
}

/// The words that can follow a field.
const OPERATORS: [&str; 7] = ["IN", "BETWEEN", "LIKE", "CONTAINS", "STARTS_WITH", "ENDS_WITH", "IS"];

const fn is_operator(rule: Rule) -> bool {
    matches!(
        rule,
        Rule::comparator
            | Rule::r#in
            | Rule::between
            | Rule::like
            | Rule::contains
            | Rule::starts_with
            | Rule::ends_with
            | Rule::is
    )
}

const fn is_value(rule: Rule) -> bool {
    matches!(rule, Rule::text | Rule::number | Rule::boolean | Rule::field | Rule::event_field)
}
