//! Bounds of rendering: size of the text, steps of loops and blocks, time, nesting of the template.

use std::io;

use handlebars::Output;

use super::{RenderProblem, TemplateError, syntax::place};
use crate::cpu::Until;

/// Writes and turns of loops of one rendering.
pub(super) const MAX_STEPS: u32 = 100_000;
/// Blocks within blocks (an `else` counts too), and parentheses within parentheses: the parser recurses over them.
const MAX_DEPTH: usize = 32;
/// Values in parentheses of one block or expression: they are worked out between two steps.
pub(super) const MAX_SUBEXPRESSIONS: usize = 32;

/// Collects text up to a size, and counts the steps.
pub(super) struct BoundedOutput {
    text: String,
    max_bytes: u64,
    steps: u32,
    until: Option<Until>,
    problem: Option<RenderProblem>,
}

impl BoundedOutput {
    pub(super) fn new(max_bytes: u64, until: Option<Until>) -> Self {
        Self { text: String::new(), max_bytes, steps: 0, until, problem: None }
    }

    pub(super) fn into_text(self) -> String {
        self.text
    }

    pub(super) fn problem(&mut self) -> Option<RenderProblem> {
        self.problem.take()
    }
}

impl Output for BoundedOutput {
    fn write(&mut self, piece: &str) -> io::Result<()> {
        self.steps += 1;
        let problem = if self.steps > MAX_STEPS {
            RenderProblem::TooLong
        } else if self.until.is_some_and(|until| until.is_over()) {
            RenderProblem::TimedOut
        } else if (self.text.len() + piece.len()) as u64 > self.max_bytes {
            RenderProblem::TooLarge(self.max_bytes)
        } else {
            self.text.push_str(piece);
            return Ok(());
        };
        self.problem = Some(problem);
        Err(io::Error::other("bound"))
    }
}

/// Refuses texts on which the parser or the renderer would recurse too deep.
pub(super) fn check_depth(text: &str) -> Result<(), TemplateError> {
    let too_deep = |offset: usize, what: &str| TemplateError {
        at: Some(place(text, offset)),
        message: format!("{what} are nested deeper than {MAX_DEPTH}"),
    };
    // For each open block how many levels it adds: itself and its `else`s.
    let mut blocks: Vec<usize> = Vec::new();
    let mut from = 0;
    while let Some(found) = text[from..].find("{{") {
        let start = from + found;
        let inside = text[start + 2..].trim_start_matches(['{', '~']).trim_start();
        from = start + 2;
        let mut parentheses = 0_usize;
        for byte in inside.bytes().take(inside.find("}}").unwrap_or(inside.len())) {
            match byte {
                b'(' | b'[' => parentheses += 1,
                b')' | b']' => parentheses = parentheses.saturating_sub(1),
                _ => {}
            }
            if parentheses > MAX_DEPTH {
                return Err(too_deep(start, "parentheses"));
            }
        }
        if inside.starts_with(['#', '^']) {
            blocks.push(1);
        } else if inside.starts_with('/') {
            blocks.pop();
        } else if inside.starts_with("else")
            && let Some(block) = blocks.last_mut()
        {
            *block += 1;
        }
        if blocks.iter().sum::<usize>() > MAX_DEPTH {
            return Err(too_deep(start, "blocks"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use handlebars::Context;
    use serde_json::json;

    use super::*;
    use crate::templates::{Escaping, Template};

    fn compile(text: &str) -> Result<Template, TemplateError> {
        Template::compile(text, Escaping::Text)
    }

    #[test]
    fn a_template_that_writes_nothing_ends_at_its_deadline() {
        let context = Context::from(json!({"a": [1, 2, 3]}));
        for text in [
            "{{#each a}}{{/each}}",
            "{{#if (eq a 1)}}x{{/if}}",
            "{{#unless a}}x{{/unless}}",
            "{{#if a}}{{/if}}",
        ] {
            let template = compile(text).unwrap();
            let (now, later) = (Instant::now(), Instant::now() + Duration::from_hours(1));
            let within = |wall, processor| {
                template.render_until(Some(Until::on_this_thread(wall, processor)), &context, 100)
            };
            assert!(within(later, Duration::from_hours(1)).is_ok(), "{text}");
            assert_eq!(within(now, Duration::from_hours(1)), Err(RenderProblem::TimedOut), "{text}");
            assert_eq!(within(later, Duration::ZERO), Err(RenderProblem::TimedOut), "{text}");
        }
    }

    #[test]
    fn blocks_in_loops_are_steps() {
        let many: Vec<u32> = (0..1000).collect();
        let template =
            compile(&format!("{{{{#each a}}}}{}{{{{/each}}}}", "{{#if ../b}}x{{/if}}".repeat(100))).unwrap();
        let context = Context::from(json!({"a": many, "b": false}));
        assert_eq!(template.render(&context, 100), Err(RenderProblem::TooLong));
    }

    #[test]
    fn values_in_parentheses_are_bounded() {
        let text = |count: usize| format!("{{{{#if (and{})}}}}x{{{{/if}}}}", " (json a)".repeat(count));
        assert!(compile(&text(MAX_SUBEXPRESSIONS - 1)).is_ok());
        assert!(compile(&text(MAX_SUBEXPRESSIONS)).err().unwrap().message.contains("parentheses"));
    }
}
