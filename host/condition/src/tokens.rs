//! The words of a condition, as a flat list: what can be said of a text before its structure is read. It bounds the
//! nesting, because what reads the structure recurses.

use pest::Parser as _;

use crate::{
    diagnostic::Diagnostic,
    grammar::{Grammar, Rule},
    syntax::Span,
};

/// How deep NOTs and parentheses may nest. Far more than a person can follow, and little enough for any thread's stack.
pub const MAX_DEPTH: usize = 64;

/// One word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Token {
    pub(crate) rule: Rule,
    pub(crate) span: Span,
}

/// The words of any text. Mistakes are words too.
pub(crate) fn read(source: &str) -> Vec<Token> {
    let Ok(mut pairs) = Grammar::parse(Rule::tokens, source) else {
        // Cannot be: the last kind of word is any character.
        return Vec::new();
    };
    pairs
        .next()
        .into_iter()
        .flat_map(pest::iterators::Pair::into_inner)
        .filter(|pair| pair.as_rule() != Rule::EOI)
        .map(|pair| Token { rule: pair.as_rule(), span: pair.as_span().into() })
        .collect()
}

/// How the parentheses of a text stand.
#[derive(Debug)]
pub(crate) struct Nesting {
    /// Those that are opened and never closed, from the left.
    pub(crate) unclosed: Vec<Span>,
}

impl Nesting {
    /// Follows the words from left to right; an error when they nest deeper than [`MAX_DEPTH`].
    pub(crate) fn of(tokens: &[Token]) -> Result<Self, Diagnostic> {
        // Every open parenthesis, with the depth outside of it.
        let mut open: Vec<(Span, usize)> = Vec::new();
        // The depth at the innermost open parenthesis, and here.
        let (mut base, mut depth) = (0, 0);
        let mut before = None;
        for token in tokens {
            match token.rule {
                Rule::open => {
                    open.push((token.span, base));
                    // After `IN` and after a function's name it lists values and nests nothing.
                    depth += usize::from(!matches!(before, Some(Rule::r#in | Rule::field)));
                    base = depth;
                }
                Rule::close => {
                    base = open.pop().map_or(0, |(_, outside)| outside);
                    depth = base;
                }
                Rule::not if matches!(before, None | Some(Rule::open | Rule::and | Rule::or | Rule::not)) => {
                    depth += 1;
                }
                // The NOTs before this word ended with their operand.
                Rule::and | Rule::or => depth = base,
                _ => {}
            }
            if depth > MAX_DEPTH {
                return Err(too_deep(token.span));
            }
            before = Some(token.rule);
        }
        Ok(Self { unclosed: open.into_iter().map(|(span, _)| span).collect() })
    }
}

fn too_deep(span: Span) -> Diagnostic {
    Diagnostic::error(
        span,
        format!("the condition nests deeper than {MAX_DEPTH} levels"),
        format!("level {}", MAX_DEPTH + 1),
    )
    .help("every NOT and every pair of parentheses is one level; AND and OR need no parentheses among their own kind")
}
