//! Bounds of rendering: size of the text, steps of loops and blocks, time, nesting of the template.

use std::{cell::Cell, collections::HashMap, fmt, io, ops::Range};

use handlebars::{
    Output,
    template::{Parameter, TemplateElement},
};

use super::{Place, RenderProblem, TemplateError};
use crate::calling::cpu::Until;

/// Writes and turns of loops of one rendering.
pub(super) const MAX_STEPS: u32 = 100_000;
/// Blocks within blocks (an `else if` counts too), and parentheses within parentheses: rendering recurses over them.
const MAX_DEPTH: usize = 32;
/// Values in parentheses of one block or expression: they are worked out between two steps.
pub(super) const MAX_SUBEXPRESSIONS: usize = 32;
/// Parentheses that a text opens, wherever they stand: what is a tag, the parser knows only when it has recursed over them. The
/// engine takes 7 KiB of stack for a level without optimisation.
const MAX_OPENED: usize = 2048;
/// Tags of a template, times its bytes: 512 tags in the longest text, 4096 in 32 KiB.
const MAX_TAGS_TIMES_BYTES: usize = 128 << 20;

thread_local! {
    /// The longest text that a helper of the rendering on this thread may make.
    static MAX_RESULT_BYTES: Cell<u64> = const { Cell::new(u64::MAX) };
}

/// Renders, with a bound on each text that a helper makes: quotes of quotes of quotes double each time. The engine gives helpers
/// nothing of the rendering that they are part of, and a rendering stays on its thread.
pub(super) fn with_max_result_bytes<T>(max_bytes: u64, render: impl FnOnce() -> T) -> T {
    let outer = MAX_RESULT_BYTES.replace(max_bytes);
    let rendered = render();
    MAX_RESULT_BYTES.set(outer);
    rendered
}

/// Refuses a helper's text that is longer than the rendered text may be.
pub(super) fn check_result_bytes(bytes: usize) -> Result<(), RenderProblem> {
    let most = MAX_RESULT_BYTES.get();
    if bytes as u64 > most { Err(RenderProblem::TooLarge(most)) } else { Ok(()) }
}

/// Collects text up to a size, and counts the steps.
pub(super) struct BoundedOutput {
    text: String,
    max_bytes: u64,
    steps: u32,
    until: Until,
    place: Place,
    /// Where values stand in an address.
    values: Vec<Range<usize>>,
    problem: Option<RenderProblem>,
}

impl BoundedOutput {
    pub(super) fn new(max_bytes: u64, until: Until, place: Place) -> Self {
        Self { text: String::new(), max_bytes, steps: 0, until, place, values: Vec::new(), problem: None }
    }

    /// The text, if its values may stand where they do.
    pub(super) fn finish(self) -> Result<String, RenderProblem> {
        self.place.check(&self.text, &self.values)?;
        Ok(self.text)
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
        } else if self.until.is_over() {
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

    /// Takes a value; the template's own text comes through `write`. The engine's trait has no other way to tell them apart.
    fn write_fmt(&mut self, value: fmt::Arguments<'_>) -> io::Result<()> {
        let start = self.text.len();
        fmt::write(&mut Value(self), value).map_err(io::Error::other)?;
        let end = self.text.len();
        if start == end && !self.place.allows_empty_after(&self.text) {
            return Err(io::Error::other(EmptyValue));
        }
        if self.place == Place::Address {
            self.values.push(start..end);
        }
        Ok(())
    }
}

/// The error of a value that is empty where it may not be.
#[derive(Debug, thiserror::Error)]
#[error("empty")]
pub(super) struct EmptyValue;

struct Value<'o>(&'o mut BoundedOutput);

impl fmt::Write for Value<'_> {
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        self.0.write(piece).map_err(|_| fmt::Error)
    }
}

/// Refuses texts whose parsing would take long or recurse too deep. The engine counts lines from the start of the text at each
/// of its tags, and recurses over parentheses within parentheses, of which there are no more than a text has in all.
pub(super) fn check_text(text: &str) -> Result<(), TemplateError> {
    let most = MAX_TAGS_TIMES_BYTES / text.len().max(1);
    let message = if text.matches("{{").count() > most {
        format!("a template of {} bytes has at most {most} tags (`{{{{`)", text.len())
    } else if text.matches('(').count() > MAX_OPENED {
        format!("a template has at most {MAX_OPENED} opening parentheses, in its text or its tags")
    } else {
        return Ok(());
    };
    Err(TemplateError { at: None, message })
}

/// Refuses what the engine parsed where rewriting, rendering or dropping it would recurse too deep. It looks at the engine's
/// own tree, because text that looks like the end of a block may stand in a comment or a string. It does not recurse.
pub(super) fn check_depth(template: &handlebars::Template) -> Result<(), TemplateError> {
    // With the depth of each, and the place of the block that holds it.
    let mut rest = vec![(template, 0, None)];
    while let Some((template, depth, outer)) = rest.pop() {
        if depth > MAX_DEPTH {
            return Err(too_deep(outer, "blocks"));
        }
        for (position, element) in template.elements.iter().enumerate() {
            let at = template.mapping.get(position).map(|place| (place.0, place.1)).or(outer);
            match element {
                TemplateElement::Expression(helper)
                | TemplateElement::HtmlExpression(helper)
                | TemplateElement::HelperBlock(helper) => {
                    check_parentheses(parameters(&helper.name, &helper.params, &helper.hash), at)?;
                    let inner = [&helper.template, &helper.inverse].into_iter().flatten();
                    rest.extend(inner.map(|inner| (inner, depth + 1, at)));
                }
                TemplateElement::DecoratorExpression(decorator)
                | TemplateElement::DecoratorBlock(decorator)
                | TemplateElement::PartialExpression(decorator)
                | TemplateElement::PartialBlock(decorator) => {
                    check_parentheses(parameters(&decorator.name, &decorator.params, &decorator.hash), at)?;
                    rest.extend(decorator.template.iter().map(|inner| (inner, depth + 1, at)));
                }
                _ => {}
            }
        }
    }
    Ok(())
}

/// The values of a tag: what it names, what it gives that by position and by name.
fn parameters<'t>(
    name: &'t Parameter,
    params: &'t [Parameter],
    hash: &'t HashMap<String, Parameter>,
) -> impl Iterator<Item = &'t Parameter> {
    std::iter::once(name).chain(params).chain(hash.values())
}

fn check_parentheses<'t>(
    parameters_of_tag: impl Iterator<Item = &'t Parameter>,
    at: Option<(usize, usize)>,
) -> Result<(), TemplateError> {
    let mut rest: Vec<_> = parameters_of_tag.map(|parameter| (parameter, 0)).collect();
    while let Some((parameter, depth)) = rest.pop() {
        if depth > MAX_DEPTH {
            return Err(too_deep(at, "parentheses"));
        }
        if let Parameter::Subexpression(inner) = parameter
            && let TemplateElement::Expression(helper) = inner.as_element()
        {
            let inner = parameters(&helper.name, &helper.params, &helper.hash);
            rest.extend(inner.map(|parameter| (parameter, depth + 1)));
        }
    }
    Ok(())
}

fn too_deep(at: Option<(usize, usize)>, what: &str) -> TemplateError {
    TemplateError { at, message: format!("{what} are nested deeper than {MAX_DEPTH}") }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use handlebars::Context;
    use serde_json::json;

    use super::*;
    use crate::templates::{Escaping, MAX_TEMPLATE_BYTES, Template};

    fn compile(text: &str) -> Result<Template, TemplateError> {
        Template::compile(text, Escaping::Text)
    }

    fn render(template: &Template, context: &Context) -> Result<String, RenderProblem> {
        let hour = Duration::from_hours(1);
        template.render(Until::on_this_thread(Instant::now() + hour, hour), context, 100)
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
            let within =
                |wall, processor| template.render(Until::on_this_thread(wall, processor), &context, 100);
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
        assert_eq!(render(&template, &context), Err(RenderProblem::TooLong));
    }

    #[test]
    fn values_in_parentheses_are_bounded() {
        let text = |count: usize| format!("{{{{#if (and{})}}}}x{{{{/if}}}}", " (json a)".repeat(count));
        assert!(compile(&text(MAX_SUBEXPRESSIONS - 1)).is_ok());
        assert!(compile(&text(MAX_SUBEXPRESSIONS)).err().unwrap().message.contains("parentheses"));
    }

    /// Each way to nest a template, with what its refusal has to contain.
    fn nested(levels: usize) -> Vec<(String, &'static str)> {
        let around = |open: &str, close: &str| format!("{}{}", open.repeat(levels), close.repeat(levels));
        let within = |open: &str, close: &str| {
            format!("{{{{#if {}a{}}}}}{{{{/if}}}}", open.repeat(levels), close.repeat(levels))
        };
        let chain = |close: &str| format!("{{{{#if a}}}}{}{close}", "{{else if a}}".repeat(levels));
        vec![
            (around("{{#each @root/c}}{{!-- {{/each}} --}}", "{{/each}}"), "blocks are nested"),
            (around("{{#if a}}{{! {{/if}}", "{{/if}}"), "blocks are nested"),
            (around("{{#if \"{{/if}}\"}}", "{{/if}}"), "blocks are nested"),
            (around("{{#if a}}\\{{/if}}", "{{/if}}"), "blocks are nested"),
            (around("{{#if a}}{{{{x}}}}{{/if}}{{{{/x}}}}", "{{/if}}"), "blocks are nested"),
            (around("{{#if a}}{{else}}", "{{/if}}"), "blocks are nested"),
            (around("{{#if a}}{{else if a}}", "{{/if}}"), "blocks are nested"),
            (around("{{~#each a as |b c|~}}", "{{~/each~}}"), "blocks are nested"),
            (chain("{{/if}}"), "blocks are nested"),
            (chain("{{/each}}"), "ends no block"),
            (around("{{#> a}}", "{{/a}}"), "blocks are nested"),
            (around("{{#*inline \"a\"}}", "{{/inline}}"), "blocks are nested"),
            (around("{{#*inline \"a\"}}{{#> a}}{{#if a}}", "{{/if}}{{/a}}{{/inline}}"), ""),
            (around("{{#if a}}", ""), "is not ended by"),
            (within("(not ", ")"), "parentheses"),
            (within("(not a=", ")"), "parentheses"),
            (format!("{{{{{}a{}}}}}", "(not ".repeat(levels), ")".repeat(levels)), "parentheses"),
            (format!("{{{{{{{}a{}}}}}}}", "(not ".repeat(levels), ")".repeat(levels)), "parentheses"),
            (format!("{{{{#if \"}}}}{}", "{{#if (not \"".repeat(levels)), ""),
            (within("(not ", ""), ""),
            (within("[", ""), ""),
            (format!("{{{{len {}1{}}}}}", "[".repeat(levels), "]".repeat(levels)), ""),
            (format!("{{{{len {}1{}}}}}", "{\"a\":".repeat(levels), "}".repeat(levels)), ""),
        ]
    }

    /// Where anything recursed without a bound, this would end the process.
    #[test]
    fn nesting_is_refused_on_every_stack() {
        for kib in [256, 2048, 8192] {
            let refused = || {
                for (levels, whole) in [(33, true), (130, true), (700, false), (2040, false), (9000, false)] {
                    for (text, expected) in nested(levels) {
                        let error = compile(&text).err();
                        // An even number of negations in brackets may be a template.
                        let error = error.map_or_else(String::new, |error| error.to_string());
                        if whole {
                            assert!(error.contains(expected), "{levels} {error}: {text}");
                        } else {
                            assert!(expected.is_empty() || !error.is_empty(), "{levels}: {text}");
                        }
                    }
                }
            };
            std::thread::Builder::new().stack_size(kib << 10).spawn(refused).unwrap().join().unwrap();
        }
    }

    #[test]
    fn what_nests_as_deep_as_allowed_renders() {
        let context = Context::from(json!({"a": true}));
        let (open, close) = ("{{#if a}}".repeat(MAX_DEPTH), "{{/if}}".repeat(MAX_DEPTH));
        let deep = compile(&format!("{open}x{close}")).unwrap();
        assert_eq!(render(&deep, &context).unwrap(), "x");
        let beside = compile(&"{{#if a}}{{!-- {{#if a}} --}}x{{/if}}".repeat(MAX_DEPTH * 2)).unwrap();
        assert_eq!(render(&beside, &context).unwrap(), "x".repeat(MAX_DEPTH * 2));
    }

    #[test]
    fn parsing_that_would_take_long_is_refused() {
        let fill = |piece: &str| piece.repeat(MAX_TEMPLATE_BYTES / piece.len());
        for piece in
            ["{{", "{{a}}", "{{!--}}", "{{!-- }}", "{{{{", "\\{{", "{{else}}", "{{/if}}", "{{#if a}}"]
        {
            let error = compile(&fill(piece)).err().expect(piece).to_string();
            assert!(error.contains("has at most 512 tags"), "{piece}: {error}");
        }
        // Each of these may be the start of a long comment: the parser looks for its end, through the whole text, each time.
        let unended = format!("{}{}", "{{!-- }}".repeat(500), "x".repeat(MAX_TEMPLATE_BYTES - 4000));
        let error = compile(&unended).err().unwrap().to_string();
        assert!(error.contains("more than"), "{error}");
        assert!(compile(&fill("x\n")).is_ok());
        let page = format!("{}{}", "{{a}}".repeat(500), "é<p>".repeat(50_000));
        assert!(compile(&page).is_ok());
        for tag in ["((((", "[[[[", "(a ", "a=", "../", "\"\\\"", "'", "a.[b]."] {
            let _ = compile(&format!("{{{{x {}}}}}", fill(tag).split_at(MAX_TEMPLATE_BYTES - 16).0));
        }
    }
}
