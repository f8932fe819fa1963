//! What is wrong with a condition, and where: the one form in which mistakes leave this crate.

use std::fmt;

use aftercommit_core::plain::{plain, plain_bytes};
use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet, renderer::DecorStyle};

use crate::syntax::Span;

/// How much is wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Severity {
    /// The condition is refused, or could not be evaluated.
    Error,
    /// The condition is accepted, but hardly says what was meant.
    Warning,
}

/// One mistake in a condition's text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Diagnostic {
    /// How much is wrong.
    pub severity: Severity,
    /// What is wrong, in one sentence that also stands alone.
    pub message: String,
    /// Where.
    pub span: Span,
    /// A few words at that place.
    pub label: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl Diagnostic {
    pub(crate) fn error(span: Span, message: impl Into<String>, label: impl Into<String>) -> Self {
        Self { severity: Severity::Error, message: message.into(), span, label: label.into(), help: None }
    }

    pub(crate) fn warning(span: Span, message: impl Into<String>, label: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(span, message, label) }
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The diagnostic with the text it is about, for a terminal. `origin_name` says where that text comes from, for
    /// example a file and the name of an observer.
    #[must_use]
    pub fn render(&self, source: &str, origin_name: &str, color: bool) -> String {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let span = inside(self.span, source);
        let snippet = Snippet::source(plain_bytes(source))
            .path(plain(origin_name))
            .annotation(AnnotationKind::Primary.span(span.range()).label(plain(&self.label)));
        let mut group = Group::with_title(level.primary_title(plain(&self.message))).element(snippet);
        if let Some(help) = &self.help {
            group = group.element(Level::HELP.message(plain(help)));
        }
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        renderer.decor_style(DecorStyle::Ascii).render(&[group])
    }
}

/// A diagnostic may be rendered with another text than its own; that must not panic.
fn inside(span: Span, source: &str) -> Span {
    let start = source.floor_char_boundary(span.start);
    Span { start, end: source.ceil_char_boundary(span.end).max(start) }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Diagnostic {}
