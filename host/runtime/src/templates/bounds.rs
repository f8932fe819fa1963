//! Bounds of rendering: size of the text, steps of loops, nesting of the template.

use std::io;

use handlebars::Output;

use super::{RenderProblem, TemplateError};

/// Writes and turns of loops of one rendering.
pub(super) const MAX_STEPS: u32 = 100_000;
/// Blocks within blocks (an `else` counts too), and parentheses within parentheses: the parser recurses over them.
const MAX_DEPTH: usize = 32;

/// Collects text up to a size, and counts the steps.
pub(super) struct BoundedOutput {
    text: String,
    max_bytes: u64,
    steps: u32,
    problem: Option<RenderProblem>,
}

impl BoundedOutput {
    pub(super) fn new(max_bytes: u64) -> Self {
        Self { text: String::new(), max_bytes, steps: 0, problem: None }
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
    let too_deep = |offset: usize, what: &str| {
        let before = &text[..offset];
        let line = before.matches('\n').count() + 1;
        let column = before.len() - before.rfind('\n').map_or(0, |newline| newline + 1) + 1;
        TemplateError {
            at: Some((line, column)),
            message: format!("{what} are nested deeper than {MAX_DEPTH}"),
        }
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
