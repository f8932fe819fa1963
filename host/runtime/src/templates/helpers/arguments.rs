//! What a tag gives its helper.

use std::borrow::Cow;

use handlebars::{Helper, JsonRender as _, PathAndJson};
use serde_json::Value;

use crate::templates::RenderProblem;

/// The values of a helper, by position and by name. How many there are was checked when the template was compiled.
pub(super) struct Arguments<'h, 'rc>(pub(super) &'h Helper<'rc>);

impl Arguments<'_, '_> {
    /// A value; a missing field is an error that names it.
    pub(super) fn given(&self, position: usize) -> Result<&Value, RenderProblem> {
        self.found(self.0.param(position))
    }

    /// A value that the tag may leave out.
    pub(super) fn optional(&self, position: usize) -> Result<Option<&Value>, RenderProblem> {
        self.0.param(position).map(|value| self.found(Some(value))).transpose()
    }

    /// A value with a name, which the tag may leave out.
    pub(super) fn named(&self, name: &str) -> Result<Option<&Value>, RenderProblem> {
        self.0.hash_get(name).map(|value| self.found(Some(value))).transpose()
    }

    /// A value that may be missing in the row too.
    pub(super) fn maybe(&self, position: usize) -> Option<&Value> {
        self.0.param(position).filter(|value| !value.is_value_missing()).map(PathAndJson::value)
    }

    /// All values.
    pub(super) fn all(&self) -> Result<Vec<&Value>, RenderProblem> {
        self.0.params().iter().map(|value| self.found(Some(value))).collect()
    }

    /// A count that the template says; none if it leaves it out.
    pub(super) fn count(&self, position: usize) -> Result<Option<usize>, RenderProblem> {
        let Some(value) = self.optional(position)? else { return Ok(None) };
        let count = value.as_u64().and_then(|count| usize::try_from(count).ok());
        count.map(Some).ok_or_else(|| self.wrong("takes a whole number that is not negative for a length"))
    }

    /// An error that names the helper.
    pub(super) fn wrong(&self, why: &str) -> RenderProblem {
        RenderProblem::Other(format!("`{}` {why}", self.0.name()))
    }

    fn found<'v>(&self, value: Option<&'v PathAndJson<'_>>) -> Result<&'v Value, RenderProblem> {
        let value = value.ok_or_else(|| self.wrong("has too few values"))?;
        if value.is_value_missing() {
            let name = value.relative_path().map_or_else(|| self.0.name(), String::as_str);
            return Err(RenderProblem::Missing(name.to_owned()));
        }
        Ok(value.value())
    }
}

/// A value as text: nothing for null, JSON for lists and objects.
pub(super) fn text(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(text) => Cow::Borrowed(text),
        Value::Null => Cow::Borrowed(""),
        Value::Array(_) | Value::Object(_) => Cow::Owned(value.to_string()),
        Value::Bool(_) | Value::Number(_) => Cow::Owned(value.render()),
    }
}

/// A value of a row as an error names it: short, without control characters.
pub(super) fn shown(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).take(60).collect()
}
