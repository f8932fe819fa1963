//! Templates: Handlebars with our own ways of writing a value.
//!
//! A template is compiled once, when its action loads. What differs from plain Handlebars:
//! - `{{x}}` writes the value with the template's [`Escaping`]; `{{{x}}}` and `{{&x}}` write it raw, which in
//!   JSON means as a JSON value with its quotes.
//! - A field that is missing is an error that names it, except in `{{#if}}`, `{{#unless}}` and `{{default x "none"}}`.
//!   A field that is null is written as nothing (raw JSON: `null`).
//! - Numbers keep all their digits. Objects and lists are written as JSON.
//! - What a JSON template makes is parsed: a text that is not JSON is an error with its place.
//! - Numbers are compared by value, and a field may be called as a helper is.
//! - There are no partials and no decorators. Nesting, work and size are bounded.

mod bounds;
mod compile;
mod context;
mod escaping;
mod helpers;
mod json;
mod place;
mod roots;
mod syntax;

use handlebars::{Context, RenderContext, Renderable as _};

pub(crate) use context::context;
pub(crate) use escaping::Escaping;
pub(crate) use place::Place;
pub(crate) use roots::Roots;

use crate::calling::cpu::Until;

/// Longest text of a template.
pub(crate) const MAX_TEMPLATE_BYTES: usize = 256 << 10;

/// A compiled template.
pub(crate) struct Template {
    escaping: Escaping,
    place: Place,
    compiled: handlebars::Template,
    hints: Vec<TemplateError>,
}

/// A text that is no template.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct TemplateError {
    /// Line and column, from 1.
    pub(crate) at: Option<(usize, usize)>,
    pub(crate) message: String,
}

/// A template that does not render over this data.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum RenderProblem {
    /// The data has no such field.
    #[error("the field `{0}` is missing")]
    Missing(String),
    /// The text would be larger than the limit.
    #[error("the rendered text is larger than {0} bytes")]
    TooLarge(u64),
    /// Loops run too often.
    #[error("the template does more than {} steps", bounds::MAX_STEPS)]
    TooLong,
    /// There is no time left.
    #[error("the template is not rendered within the attempt's time")]
    TimedOut,
    /// A JSON template made a text that is not JSON.
    #[error(
        "the rendered text is not JSON at line {line}, column {column}: {why} (a value is `{{{{{{x}}}}}}` outside of a string, where null is \
         `null`, and `{{{{x}}}}` inside)"
    )]
    NotJson {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
        /// The parser's words.
        why: String,
    },
    /// A value is null or empty in a place that needs one.
    #[error("`{0}` is null or empty in an address or a name; `{{{{#if ..}}}}` around it allows for that")]
    Empty(String),
    /// A value, with what stands beside it, is a segment `.` or `..`.
    #[error("a value makes the path segment `{0}`, which leads out of the path")]
    DotSegment(String),
    /// A value holds a segment without text.
    #[error("a value makes an empty path segment")]
    EmptySegment,
    /// A value that is written as it is holds what URLs do not have.
    #[error(
        "a value has a tab or a line break, which a URL does not have: `{{{{x}}}}` encodes it, and `{{{{{{x}}}}}}` does not"
    )]
    DroppedInUrl,
    /// A helper was used wrongly.
    #[error("{0}")]
    Other(String),
}

impl Template {
    /// Whether a text has anything to render.
    pub(crate) fn is_template(text: &str) -> bool {
        text.contains("{{")
    }

    /// What is not wrong but makes no JSON for some rows.
    pub(crate) fn hints(&self) -> &[TemplateError] {
        &self.hints
    }

    /// Refuses a text without anything to render that is not what such templates make.
    pub(crate) fn check_literal(text: &str, escaping: Escaping) -> Result<(), RenderProblem> {
        if escaping.is_json() { json::check(text) } else { Ok(()) }
    }

    /// Renders over a context, no longer than `until`.
    pub(crate) fn render(
        &self,
        until: Until,
        context: &Context,
        max_bytes: u64,
    ) -> Result<String, RenderProblem> {
        let mut out = bounds::BoundedOutput::new(max_bytes, until, self.place);
        let mut state = RenderContext::new(None);
        let rendered = bounds::with_max_result_bytes(max_bytes, || {
            self.compiled.render(helpers::registry(self.escaping), context, &mut state, &mut out)
        });
        if let Err(error) = rendered {
            return Err(out.problem().unwrap_or_else(|| helpers::problem(error.reason())));
        }
        let text = out.finish()?;
        if self.escaping.is_json() {
            json::check(&text)?;
        }
        Ok(text)
    }
}

impl std::fmt::Display for TemplateError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some((line, column)) = self.at {
            write!(f, "line {line}, column {column}: ")?;
        }
        f.write_str(&self.message)
    }
}
