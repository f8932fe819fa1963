//! The helpers of templates and how values are written.

use std::sync::LazyLock;

use handlebars::{
    Context, Handlebars, Helper, HelperDef, HelperResult, JsonRender as _, Output, RenderContext,
    RenderError, RenderErrorReason, ScopedJson,
};
use serde_json::Value;

use super::{Escaping, RenderProblem, bounds::EmptyValue};

/// Internal names: a template can not spell them.
pub(super) const WRITE: &str = "@write";
pub(super) const RAW: &str = "@raw";
pub(super) const STEP: &str = "aftercommit-step";

/// What a template may call.
pub(super) const HELPERS: [&str; 17] = [
    "if", "unless", "each", "with", "lookup", "eq", "ne", "gt", "gte", "lt", "lte", "and", "or", "not",
    "len", "default", "json",
];

/// The engine for an escaping. Templates are not kept in it.
pub(super) fn registry(escaping: Escaping) -> &'static Handlebars<'static> {
    const COUNT: usize = Escaping::ALL.len();
    static REGISTRIES: LazyLock<[Handlebars<'static>; COUNT]> = LazyLock::new(|| Escaping::ALL.map(build));
    &REGISTRIES[Escaping::ALL.iter().position(|known| *known == escaping).unwrap_or_default()]
}

fn build(escaping: Escaping) -> Handlebars<'static> {
    let mut registry = Handlebars::new();
    registry.set_strict_mode(true);
    registry.register_escape_fn(handlebars::no_escape);
    registry.register_helper(WRITE, Box::new(Write { escaping, raw: false }));
    registry.register_helper(RAW, Box::new(Write { escaping, raw: true }));
    registry.register_helper(STEP, Box::new(Step));
    registry.register_helper("default", Box::new(DefaultTo));
    registry.register_helper("json", Box::new(Json));
    registry
}

/// What went wrong in the engine, or in a helper.
pub(super) fn problem(reason: &RenderErrorReason) -> RenderProblem {
    match reason {
        RenderErrorReason::MissingVariable(name) => RenderProblem::Missing(name.clone().unwrap_or_default()),
        RenderErrorReason::NestedError(error) => error
            .downcast_ref::<RenderProblem>()
            .cloned()
            .unwrap_or_else(|| RenderProblem::Other(error.to_string())),
        other => RenderProblem::Other(other.to_string()),
    }
}

/// Writes its parameter.
struct Write {
    escaping: Escaping,
    raw: bool,
}

impl HelperDef for Write {
    fn call<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
        out: &mut dyn Output,
    ) -> HelperResult {
        let value = helper.param(0).ok_or(RenderErrorReason::ParamNotFoundForIndex("value", 0))?;
        if value.is_value_missing() {
            return Err(RenderError::strict_error(value.relative_path()));
        }
        let text = match value.value() {
            value if self.raw && self.escaping.is_json() => value.to_string(),
            Value::Null => String::new(),
            list_or_object @ (Value::Array(_) | Value::Object(_)) => list_or_object.to_string(),
            scalar => scalar.render(),
        };
        let written = if self.raw {
            out.write_fmt(format_args!("{text}"))
        } else {
            let mut escaped = String::with_capacity(text.len());
            self.escaping.escape_into(&text, &mut escaped);
            out.write_fmt(format_args!("{escaped}"))
        };
        written.map_err(|error| match error.get_ref() {
            Some(inner) if inner.is::<EmptyValue>() => {
                let name = value.relative_path().map_or("a helper's value", String::as_str);
                RenderErrorReason::NestedError(Box::new(RenderProblem::Empty(name.to_owned()))).into()
            }
            _ => error.into(),
        })
    }
}

/// Counts a turn of a loop, or a block, by writing nothing.
struct Step;

impl HelperDef for Step {
    fn call<'reg: 'rc, 'rc>(
        &self,
        _: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
        out: &mut dyn Output,
    ) -> HelperResult {
        out.write("").map_err(Into::into)
    }
}

/// `{{default x "none"}}`: the value, or the other when it is missing or null.
struct DefaultTo;

impl HelperDef for DefaultTo {
    fn call_inner<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
    ) -> Result<ScopedJson<'rc>, RenderError> {
        let param = |position| {
            helper.param(position).ok_or(RenderErrorReason::ParamNotFoundForIndex("default", position))
        };
        let (value, other) = (param(0)?, param(1)?);
        let chosen = if value.is_value_missing() || value.value().is_null() { other } else { value };
        Ok(ScopedJson::Derived(chosen.value().clone()))
    }
}

/// `{{json x}}`: the value as JSON text, which is then escaped as all text is.
struct Json;

impl HelperDef for Json {
    fn call_inner<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
    ) -> Result<ScopedJson<'rc>, RenderError> {
        let value = helper.param(0).ok_or(RenderErrorReason::ParamNotFoundForIndex("json", 0))?;
        if value.is_value_missing() {
            return Err(RenderError::strict_error(value.relative_path()));
        }
        Ok(ScopedJson::Derived(value.value().to_string().into()))
    }
}
