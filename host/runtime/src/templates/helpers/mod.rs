//! The helpers of templates and how values are written.

mod arguments;
mod compare;
mod date;
mod number;
mod signature;
mod text;

use std::{borrow::Cow, sync::LazyLock};

use handlebars::{
    Context, Handlebars, Helper, HelperDef, HelperResult, Output, RenderContext, RenderError,
    RenderErrorReason, Renderable as _, ScopedJson,
};
use serde_json::Value;

use super::{
    Escaping, RenderProblem,
    bounds::{EmptyValue, check_result_bytes},
};
use arguments::Arguments;
use signature::Signature;
pub(super) use signature::signature;

/// Internal names: a template can not spell them.
pub(super) const WRITE: &str = "@write";
pub(super) const RAW: &str = "@raw";
pub(super) const STEP: &str = "aftercommit-step";

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
    registry.register_helper("if", Box::new(If { when: true }));
    registry.register_helper("unless", Box::new(If { when: false }));
    // `each` and `with` are the engine's own.
    for Signature { name, make, .. } in signature::ALL {
        if let Some(make) = make {
            registry.register_helper(name, Box::new(Function(*make)));
        }
    }
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

fn nested(problem: RenderProblem) -> RenderError {
    RenderErrorReason::NestedError(Box::new(problem)).into()
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
        let text = if self.raw && self.escaping.is_json() {
            Cow::Owned(value.value().to_string())
        } else {
            arguments::text(value.value())
        };
        // In one piece: each is a step.
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
                nested(RenderProblem::Empty(name.to_owned()))
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

/// `{{#if x}}` and `{{#unless x}}`: a field that is missing counts as false.
struct If {
    when: bool,
}

impl HelperDef for If {
    fn call<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        registry: &'reg Handlebars<'reg>,
        context: &'rc Context,
        state: &mut RenderContext<'reg, 'rc>,
        out: &mut dyn Output,
    ) -> HelperResult {
        let zero_counts = helper.hash_get("includeZero").is_some_and(|it| it.value() == &Value::Bool(true));
        let truth = match Arguments(helper).maybe(0) {
            Some(Value::Number(_)) if zero_counts => true,
            Some(value) => compare::is_truthy(value),
            None => false,
        };
        choose(truth == self.when, helper, registry, context, state, out)
    }
}

/// A helper that makes a value of values. As a block it chooses by it.
struct Function(signature::Make);

impl HelperDef for Function {
    fn call_inner<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
    ) -> Result<ScopedJson<'rc>, RenderError> {
        let value = self.0(&Arguments(helper)).map_err(nested)?;
        if let Value::String(text) = &value {
            check_result_bytes(text.len()).map_err(nested)?;
        }
        Ok(ScopedJson::Derived(value))
    }

    fn call<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        registry: &'reg Handlebars<'reg>,
        context: &'rc Context,
        state: &mut RenderContext<'reg, 'rc>,
        out: &mut dyn Output,
    ) -> HelperResult {
        let value = self.0(&Arguments(helper)).map_err(nested)?;
        choose(compare::is_truthy(&value), helper, registry, context, state, out)
    }
}

/// Renders the first half of a block, or the one after `{{else}}`.
fn choose<'reg: 'rc, 'rc>(
    truth: bool,
    helper: &Helper<'rc>,
    registry: &'reg Handlebars<'reg>,
    context: &'rc Context,
    state: &mut RenderContext<'reg, 'rc>,
    out: &mut dyn Output,
) -> HelperResult {
    let half = if truth { helper.template() } else { helper.inverse() };
    half.map_or(Ok(()), |half| half.render(registry, context, state, out))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use serde_json::json;

    use super::{signature::names, *};
    use crate::{calling::cpu::Until, templates::Template};

    fn render(text: &str, row: Value) -> Result<String, String> {
        let hour = Duration::from_hours(1);
        let until = Until::on_this_thread(Instant::now() + hour, hour);
        let template = Template::compile(text, Escaping::Text).map_err(|error| error.to_string())?;
        template.render(until, &Context::from(row), 1000).map_err(|problem| problem.to_string())
    }

    #[test]
    fn numbers_are_compared_by_value() {
        let row = r#"{"total": 150.00, "big": 9007199254740993, "tiny": 1e-400, "text": "150.0", "list": [1.0, {"a": 2.50}]}"#;
        let row: Value = serde_json::from_str(row).unwrap();
        for (condition, expected) in [
            ("(eq total 150)", true),
            ("(ne total 150)", false),
            ("(eq total 150.01)", false),
            ("(eq big 9007199254740992)", false),
            ("(gt big 9007199254740992)", true),
            ("(gte total 150)", true),
            ("(lte total 15E1)", true),
            ("(lt total 150)", false),
            ("(lt total 150.000000000000000000001)", true),
            ("(eq list [1])", false),
            ("(eq (lookup list 0) 1)", true),
            ("(eq list.[1].a 2.5)", true),
            ("(gt text 100)", true),
            ("(lt 100 text)", true),
            ("(eq text 150)", false),
            ("(lt total \"abc\")", false),
            ("tiny", true),
            ("(not tiny)", false),
            ("(and tiny total)", true),
            ("(or 0 0.00 -0)", false),
        ] {
            let text = format!("{{{{#if {condition}}}}}yes{{{{else}}}}no{{{{/if}}}}");
            assert_eq!(
                render(&text, row.clone()).as_deref(),
                Ok(if expected { "yes" } else { "no" }),
                "{condition}"
            );
        }
        let lists: Value =
            serde_json::from_str(r#"{"a": [1.0, {"b": 2.50}], "b": [1, {"b": 2.5}]}"#).unwrap();
        assert_eq!(render("{{#eq a b}}same{{else}}other{{/eq}} {{ne a b}}", lists).unwrap(), "same false");
    }

    #[test]
    fn fields_may_be_called_as_helpers_are() {
        for name in names() {
            let row = json!({name: "x", "list": [{name: "y"}], "else": 1});
            let text = format!(
                "{{{{{name}}}}} {{{{{{{name}}}}}}} {{{{#if {name}}}}}{{{{len {name}}}}}{{{{/if}}}} {{{{#each list}}}}{{{{{name}}}}}{{{{/each}}}}"
            );
            assert_eq!(render(&text, row).as_deref(), Ok("x x 1 y"), "{name}");
            assert_eq!(
                render(&format!("{{{{{name}}}}}"), json!({})),
                Err(format!("the field `{name}` is missing"))
            );
        }
    }

    #[test]
    fn a_missing_field_is_named_wherever_it_stands() {
        for text in [
            "{{nope}}",
            "{{eq nope 1}}",
            "{{gt 1 nope}}",
            "{{#if (eq a nope)}}x{{/if}}",
            "{{#if (or a nope)}}x{{/if}}",
            "{{#eq nope 1}}x{{/eq}}",
            "{{default nope2 nope}}",
            "{{lookup nope 1}}",
            "{{lookup a nope}}",
            "{{json (upper nope)}}",
            "{{number 1 2 group=nope}}",
            "{{#each nope}}x{{/each}}",
            "{{#with nope}}x{{/with}}",
            "{{lookup o \"nope\"}}",
        ] {
            let told = render(text, json!({"a": 0, "o": {}}));
            assert_eq!(told, Err("the field `nope` is missing".to_owned()), "{text}");
        }
        assert_eq!(render("{{#if nope}}x{{else}}y{{/if}}{{default nope \"z\"}}", json!({})).unwrap(), "yz");
    }

    #[test]
    fn wrong_uses_are_refused_when_the_template_loads() {
        for (text, why) in [
            ("{{eq a}}", "`eq` takes 2 values, not 1"),
            ("{{truncate a}}", "`truncate` takes 2 or 3 values, not 1"),
            ("{{#if (len)}}x{{/if}}", "`len` takes 1 value, not 0"),
            ("{{if a}}", "`if` is a block"),
            ("{{upper (with a)}}", "`with` is a block"),
            ("{{#json a}}x{{/json}}", "`json` is no block"),
            ("{{number a grup=\".\"}}", "`number` takes no `grup=`; did you mean `group`?"),
            ("{{date a \"%Y %\"}}", "`date` has a wrong format"),
            ("{{date a \"%Y\" \"Europe/Pariss\"}}", "`date` knows no time zone `Europe/Pariss`"),
            ("{{tuncate a 1}}", "did you mean `truncate`?"),
        ] {
            let told = render(text, json!({})).expect_err(text);
            assert!(told.starts_with("line 1, column") && told.contains(why), "{text}: {told}");
        }
    }

    #[test]
    fn times_are_read_as_databases_and_programs_write_them() {
        let row = |at: &str| serde_json::from_str(&format!("{{\"at\":{at}}}")).unwrap();
        for (at, expected) in [
            ("1767225600", "2026-01-01 00:00:00.000000"),
            ("1767225600.25", "2026-01-01 00:00:00.250000"),
            ("1767225600.000001", "2026-01-01 00:00:00.000001"),
            ("1.7672256e9", "2026-01-01 00:00:00.000000"),
            ("-0.5", "1969-12-31 23:59:59.500000"),
            ("\"2026-01-01 01:00:00.25+01\"", "2026-01-01 00:00:00.250000"),
        ] {
            assert_eq!(render("{{date at \"%F %T%.6f\"}}", row(at)).as_deref(), Ok(expected), "{at}");
        }
        for at in ["1767225600000", "1e30", "1e400", "true", "\"soon\""] {
            let told = render("{{date at}}", row(at)).expect_err(at);
            assert!(told.contains("takes a date"), "{at}: {told}");
        }
    }

    #[test]
    fn what_helpers_make_is_bounded() {
        let row = json!({"x": "\"", "list": vec![1; 500], "between": "b".repeat(500)});
        let nested = format!("{}x{}", "(json ".repeat(30), ")".repeat(30));
        for text in [format!("{{{{len {nested}}}}}"), "{{len (join list between)}}".to_owned()] {
            assert_eq!(
                render(&text, row.clone()),
                Err("the rendered text is larger than 1000 bytes".to_owned())
            );
        }
        assert!(
            render("{{number x 2}}", json!({"x": "1e999999999"}))
                .is_err_and(|why| why.contains("1000 digits"))
        );
    }

    /// The examples of docs/actions.md: a row, then a table of tags and of what they make.
    #[test]
    fn the_documented_examples_make_what_they_say() {
        let page = include_str!("../../../../../docs/actions.md");
        let (_, section) = page.split_once("### Helpers\n").expect("a section on helpers");
        let section = section.split("\n### ").next().unwrap_or_default();
        let (_, row) = section.split_once("```json\n").expect("a row");
        let row: Value = serde_json::from_str(row.split("```").next().unwrap_or_default()).expect("JSON");
        let code = |cell: &str| cell.trim().trim_matches('`').to_owned();
        let examples: Vec<_> = section
            .lines()
            .filter(|line| line.starts_with("| `") && line.contains("{{"))
            .map(|line| line.split('|').map(code).collect::<Vec<_>>())
            .collect();
        for example in &examples {
            assert_eq!(render(&example[1], row.clone()).as_deref(), Ok(&*example[2]), "{}", example[1]);
        }
        for name in names() {
            let spelled = [format!("{{{{{name} "), format!("{{{{#{name} "), format!("({name} ")];
            let shown = examples.iter().any(|example| spelled.iter().any(|it| example[1].contains(it)));
            assert!(shown, "docs/actions.md has no example of `{name}`");
        }
    }
}
