//! The condition of an observer: a language of its own inside a file's text.

use std::ops::Range;

use aftercommit_condition::{Condition, Diagnostic};

use super::Reader;
use crate::document::{Node, Place, Problem, Section};

impl Reader<'_> {
    pub(super) fn condition(&mut self, section: &mut Section<'_>) -> Option<String> {
        let text = section.text("condition")?;
        let node = section.node("condition")?;
        let path = section.path_of("condition");
        match Condition::parse(&text) {
            Ok(condition) => {
                let origin = format!("{}: {path}", self.document.origin);
                let warnings = condition.warnings().iter();
                self.warnings.extend(warnings.map(|warning| warning.render(&text, &origin, false)));
            }
            Err(diagnostic) => self.findings.add(self.problem(&path, node, &text, &diagnostic)),
        }
        Some(text)
    }

    /// Points into the file where the condition stands in it letter by letter, else shows the condition by itself.
    fn problem(&self, path: &str, node: &Node, condition: &str, diagnostic: &Diagnostic) -> Problem {
        let problem = Problem::new(path, diagnostic.message.clone());
        if let Some(start) = self.verbatim(&node.place, condition) {
            let span = diagnostic.span.range();
            let place = Place::Span(start + span.start..start + span.end);
            return problem.at(place).hint(diagnostic.label.clone()).help(diagnostic.help.clone());
        }
        let origin = format!("{}: {path}", self.document.origin);
        problem.at(node.place.clone()).picture(diagnostic.render(condition, &origin, false))
    }

    /// Where in the file's text the condition begins, if it stands there without escapes.
    fn verbatim(&self, place: &Place, condition: &str) -> Option<usize> {
        let Place::Span(Range { start, end }) = place else { return None };
        let written = self.document.text.get(*start..*end)?;
        written.find(condition).map(|offset| start + offset)
    }
}
