//! From text to a template: parsed, then every plain value is rewritten to our own way of writing it.

use std::{collections::HashMap, num::NonZeroUsize, sync::LazyLock};

use handlebars::template::{HelperTemplate, Parameter, TemplateElement};
use serde_json::Value;

use super::{
    Escaping, MAX_TEMPLATE_BYTES, Place, Template, TemplateError,
    bounds::{MAX_SUBEXPRESSIONS, check_depth, check_text},
    helpers::{RAW, STEP, WRITE, signature},
    json,
    syntax::explained,
};
use crate::secrets::{Handles, names_secret};

/// Stack for parsing, enough for as many parentheses within parentheses as [`check_text`] lets through. The parser ends before its
/// stack does; for a block within a block it needs more of it than dropping what it parsed does. A chain of `{{else if}}` has
/// fewer links than would fill a quarter of it when they are dropped.
const STACK_BYTES: usize = 16 << 20;

/// Calls of the parser's rules for one text, a few for each byte of plain text. The setting is the whole process's, so that it
/// holds for conditions too, which are far shorter.
const MAX_PARSER_CALLS: NonZeroUsize = NonZeroUsize::new(16_000_000).unwrap();

/// Counts a turn of a loop, or a block: stands at the start of the body of every `each`, and before every block.
static STEP_ELEMENT: LazyLock<TemplateElement> = LazyLock::new(|| {
    let mut template =
        handlebars::Template::compile(&format!("{{{{{STEP} 0}}}}")).expect("this is a template");
    template.elements.remove(0)
});

impl Template {
    /// Compiles a text.
    pub(crate) fn compile(text: &str, escaping: Escaping) -> Result<Self, TemplateError> {
        if text.len() > MAX_TEMPLATE_BYTES {
            let message = format!("a template has at most {MAX_TEMPLATE_BYTES} bytes");
            return Err(TemplateError { at: None, message });
        }
        check_text(text)?;
        // A refused template is dropped on this stack too, because it may be deep.
        stacker::grow(STACK_BYTES, || {
            let mut compiled = parse(text)?;
            check_depth(&compiled)?;
            let hints = if escaping.is_json() { json::hints(&compiled) } else { Vec::new() };
            rewrite(&mut compiled, escaping)?;
            Ok(Self { escaping, place: Place::of(escaping), compiled, hints })
        })
    }

    /// The same template of a name, in which no value may be empty.
    pub(crate) fn of_name(self) -> Self {
        Self { place: Place::Name, ..self }
    }
}

/// Parses a text in bounded time and depth.
fn parse(text: &str) -> Result<handlebars::Template, TemplateError> {
    pest::set_call_limit(Some(MAX_PARSER_CALLS));
    handlebars::Template::compile(text).map_err(|error| {
        let (at, reason) = (error.pos(), error.reason().to_string());
        if reason.contains("call limit reached") {
            let message = format!("parsing it takes more than {MAX_PARSER_CALLS} steps");
            return TemplateError { at, message };
        }
        if reason.contains("stack limit reached") {
            return TemplateError { at, message: "blocks or parentheses are nested too deep".to_owned() };
        }
        explained(text, TemplateError { at, message: first_line(&reason) })
    })
}

/// The parser's messages draw the text over several lines; position and first cause are enough here.
fn first_line(message: &str) -> String {
    let said = message
        .lines()
        .map(str::trim)
        .rfind(|line| line.starts_with('='))
        .map(|line| line.trim_start_matches(['=', ' ']));
    said.unwrap_or_else(|| message.lines().next().unwrap_or(message)).to_owned()
}

fn rewrite(template: &mut handlebars::Template, escaping: Escaping) -> Result<(), TemplateError> {
    rewrite_elements(template, escaping)?;
    let mut position = 0;
    while position < template.elements.len() {
        if matches!(template.elements[position], TemplateElement::HelperBlock(_)) {
            insert_step(template, position);
            position += 1;
        }
        position += 1;
    }
    Ok(())
}

fn insert_step(template: &mut handlebars::Template, position: usize) {
    template.elements.insert(position, STEP_ELEMENT.clone());
    if let Some(place) = template.mapping.get(position).cloned() {
        template.mapping.insert(position, place);
    }
}

fn rewrite_elements(template: &mut handlebars::Template, escaping: Escaping) -> Result<(), TemplateError> {
    for position in 0..template.elements.len() {
        let at = template.mapping.get(position).map(|place| (place.0, place.1));
        let wrong = |message: String| TemplateError { at, message };
        let element = &mut template.elements[position];
        let raw = matches!(element, TemplateElement::HtmlExpression(_));
        match element {
            TemplateElement::Expression(helper) | TemplateElement::HtmlExpression(helper) => {
                expression(helper, raw, escaping).map_err(wrong)?;
            }
            TemplateElement::HelperBlock(helper) => block(helper, escaping).map_err(wrong)??,
            TemplateElement::PartialExpression(_) | TemplateElement::PartialBlock(_) => {
                return Err(wrong("partials (`{{> name}}`) are not available".to_owned()));
            }
            TemplateElement::DecoratorExpression(_) | TemplateElement::DecoratorBlock(_) => {
                return Err(wrong("decorators (`{{* name}}`) are not available".to_owned()));
            }
            _ => {}
        }
    }
    Ok(())
}

/// What a tag writes becomes the one value of our own helper that writes it.
fn expression(helper: &mut HelperTemplate, raw: bool, escaping: Escaping) -> Result<(), String> {
    let plain = helper.params.is_empty() && helper.hash.is_empty();
    let name = helper.name.as_name().unwrap_or_default().to_owned();
    let writer = Parameter::Name(if raw { RAW } else { WRITE }.to_owned());
    // A name alone is a field, whatever helpers are called.
    if plain {
        let value = std::mem::replace(&mut helper.name, writer);
        subexpressions(std::slice::from_ref(&value), &HashMap::new())?;
        helper.params = vec![value];
        return Ok(());
    }
    signature(&name)?.check(false, &helper.params, &helper.hash)?;
    subexpressions(&helper.params, &helper.hash)?;
    // Where a raw value is JSON anyway, `{{{json x}}}` is the value and not a text of it.
    if raw && escaping.is_json() && name == "json" {
        helper.name = writer;
        return Ok(());
    }
    // The helper's result is written as a value is: `{{default x "none"}}` becomes the value of `(default x "none")`.
    let inner = handlebars::template::Subexpression::new(
        helper.name.clone(),
        std::mem::take(&mut helper.params),
        std::mem::take(&mut helper.hash),
    );
    helper.name = writer;
    helper.params = vec![Parameter::Subexpression(inner)];
    Ok(())
}

/// An error of the block itself, or one within it that has its own place.
fn block(helper: &mut HelperTemplate, escaping: Escaping) -> Result<Result<(), TemplateError>, String> {
    let name = helper.name.as_name().unwrap_or_default().to_owned();
    signature(&name)?.check(true, &helper.params, &helper.hash)?;
    subexpressions(&helper.params, &helper.hash)?;
    for inner in [&mut helper.template, &mut helper.inverse].into_iter().flatten() {
        if let Err(error) = rewrite(inner, escaping) {
            return Ok(Err(error));
        }
    }
    if name == "each"
        && let Some(body) = &mut helper.template
    {
        insert_step(body, 0);
    }
    Ok(Ok(()))
}

fn subexpressions(params: &[Parameter], hash: &HashMap<String, Parameter>) -> Result<(), String> {
    if count_subexpressions(params, hash)? > MAX_SUBEXPRESSIONS {
        return Err(format!("there are more than {MAX_SUBEXPRESSIONS} values in parentheses"));
    }
    Ok(())
}

/// A text that the template says within a tag, or the name of a field.
fn written(parameter: &Parameter) -> Option<&str> {
    match parameter {
        Parameter::Literal(Value::String(text)) => Some(text),
        other => other.as_name(),
    }
}

fn count_subexpressions(params: &[Parameter], hash: &HashMap<String, Parameter>) -> Result<usize, String> {
    let mut count = 0;
    for parameter in params.iter().chain(hash.values()) {
        // A helper would be given the handle, and what it makes of that is no secret any more.
        if written(parameter).is_some_and(|text| Handles::suspects(text) || names_secret(text)) {
            return Err(
                "a secret stands within a tag, where it is not put in; write it beside the tag".to_owned()
            );
        }
        if let Parameter::Subexpression(inner) = parameter {
            let (params, none) = (inner.params().map_or(&[][..], Vec::as_slice), HashMap::new());
            let named = inner.hash().unwrap_or(&none);
            signature(inner.name())?.check(false, params, named)?;
            count += 1 + count_subexpressions(params, named)?;
        }
    }
    Ok(count)
}
