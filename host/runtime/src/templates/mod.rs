//! Templates: Handlebars with our own ways of writing a value.
//!
//! A template is compiled once, when its action loads. What differs from plain Handlebars:
//! - `{{x}}` writes the value with the template's [`Escaping`]; `{{{x}}}` and `{{&x}}` write it raw, which in
//!   JSON means as a JSON value with its quotes.
//! - A field that is missing is an error that names it, except in `{{#if}}`, `{{#unless}}` and `{{default x "none"}}`.
//!   A field that is null is written as nothing (raw JSON: `null`).
//! - Numbers keep all their digits. Objects and lists are written as JSON.
//! - There are no partials and no decorators. Nesting, work and size are bounded.

mod bounds;
mod compile;
mod context;
mod escaping;
mod helpers;
mod roots;
mod syntax;

use handlebars::{Context, RenderContext, RenderErrorReason, Renderable as _};

pub(crate) use context::context;
pub(crate) use escaping::Escaping;
pub(crate) use roots::Roots;

use crate::cpu::Until;

/// Longest text of a template.
pub(crate) const MAX_TEMPLATE_BYTES: usize = 256 << 10;

/// A compiled template.
pub(crate) struct Template {
    escaping: Escaping,
    compiled: handlebars::Template,
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
    /// A helper was used wrongly.
    #[error("{0}")]
    Other(String),
}

impl Template {
    /// Whether a text has anything to render.
    pub(crate) fn is_template(text: &str) -> bool {
        text.contains("{{")
    }

    /// Renders over a context, no longer than `until`.
    pub(crate) fn render(
        &self,
        until: Until,
        context: &Context,
        max_bytes: u64,
    ) -> Result<String, RenderProblem> {
        let mut out = bounds::BoundedOutput::new(max_bytes, until);
        let mut state = RenderContext::new(None);
        match self.compiled.render(helpers::registry(self.escaping), context, &mut state, &mut out) {
            Ok(()) => Ok(out.into_text()),
            Err(error) => Err(out.problem().unwrap_or_else(|| match error.reason() {
                RenderErrorReason::MissingVariable(name) => {
                    RenderProblem::Missing(name.clone().unwrap_or_default())
                }
                other => RenderProblem::Other(other.to_string()),
            })),
        }
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
