//! JSON templates: what they make is JSON, and their tags stand where they can make it.

use handlebars::template::{HelperTemplate, TemplateElement};
use serde::de::IgnoredAny;

use super::{RenderProblem, TemplateError};

/// Refuses a text that is not one JSON value (RFC 8259). It does not recurse, however deep the value is.
pub(super) fn check(text: &str) -> Result<(), RenderProblem> {
    serde_json::from_str::<IgnoredAny>(text).map(|_| ()).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        let why = error.to_string();
        let why = why.strip_suffix(&format!(" at line {line} column {column}")).unwrap_or(&why).to_owned();
        RenderProblem::NotJson { line, column, why }
    })
}

/// Tags that make JSON for some rows only, by where they stand: a value outside of a string that is written as the inside
/// of one, and a value inside of a string that is written with quotes of its own.
pub(super) fn hints(template: &handlebars::Template) -> Vec<TemplateError> {
    let mut reader = Reader { in_string: false, hints: Vec::new() };
    reader.read(template);
    reader.hints
}

struct Reader {
    in_string: bool,
    hints: Vec<TemplateError>,
}

impl Reader {
    /// Recursion is as deep as blocks nest, which is checked before.
    fn read(&mut self, template: &handlebars::Template) {
        for (position, element) in template.elements.iter().enumerate() {
            let at = template.mapping.get(position).map(|place| (place.0, place.1));
            let mut hint = |message: String| self.hints.push(TemplateError { at, message });
            match element {
                TemplateElement::RawString(text) => self.text(text),
                TemplateElement::Expression(tag) if !self.in_string && !makes_json(tag) => {
                    let name = written(tag);
                    hint(format!(
                        "`{{{{{name}}}}}` stands outside of a string; `{{{{{{{name}}}}}}}` is the value as JSON, or write quotes around it"
                    ));
                }
                TemplateElement::HtmlExpression(tag) if self.in_string => {
                    let name = written(tag);
                    hint(format!(
                        "`{{{{{{{name}}}}}}}` stands inside of a string, and a text brings quotes of its own; write `{{{{{name}}}}}`"
                    ));
                }
                TemplateElement::HelperBlock(block) => self.block(block),
                _ => {}
            }
        }
    }

    /// Either half of a block begins where the block does.
    fn block(&mut self, block: &HelperTemplate) {
        let before = self.in_string;
        if let Some(inverse) = &block.inverse {
            self.read(inverse);
            self.in_string = before;
        }
        if let Some(template) = &block.template {
            self.read(template);
        }
    }

    fn text(&mut self, text: &str) {
        let mut letters = text.chars();
        while let Some(letter) = letters.next() {
            match letter {
                '"' => self.in_string = !self.in_string,
                '\\' if self.in_string => {
                    letters.next();
                }
                _ => {}
            }
        }
    }
}

/// Helpers whose values are numbers, `true` or `false`.
const JSON_HELPERS: [&str; 10] = ["len", "eq", "ne", "gt", "gte", "lt", "lte", "and", "or", "not"];

fn makes_json(tag: &HelperTemplate) -> bool {
    !tag.params.is_empty() && tag.name.as_name().is_some_and(|name| JSON_HELPERS.contains(&name))
}

/// What stands in a tag, as far as an error names it.
fn written(tag: &HelperTemplate) -> String {
    let name = tag.name.as_name().unwrap_or("..");
    if tag.params.is_empty() && tag.hash.is_empty() { name.to_owned() } else { format!("{name} ..") }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use handlebars::Context;
    use serde_json::{Value, json};

    use crate::{
        calling::cpu::Until,
        templates::{Escaping, Template},
    };

    fn render(text: &str, row: Value) -> Result<String, String> {
        let hour = Duration::from_hours(1);
        let until = Until::on_this_thread(Instant::now() + hour, hour);
        let template = Template::compile(text, Escaping::Json).unwrap();
        template.render(until, &Context::from(row), 10_000).map_err(|problem| problem.to_string())
    }

    #[test]
    fn what_is_not_json_is_refused_with_its_place() {
        for (text, row, place) in [
            ("{\"total\":{{total}}}", json!({"total": null}), "line 1, column 10"),
            ("{\"total\":\n {{total}}}", json!({"total": "x"}), "line 2, column 2"),
            ("{\"note\":\"{{{note}}}\"}", json!({"note": "x"}), "line 1, column 11"),
            ("{{#each a}}{{{this}}},{{/each}}", json!({"a": [1, 2]}), "line 1, column 2"),
            ("{\"a\":1", json!({}), "line 1, column 6"),
            ("", json!({}), "line 1, column 0"),
        ] {
            let told = render(text, row).unwrap_err();
            assert!(told.contains(place) && told.contains("not JSON"), "{text}: {told}");
        }
        let deep = "[".repeat(5000);
        let row = json!({"deep": format!("{deep}{}", "]".repeat(5000))});
        assert!(render("{\"deep\":\"{{deep}}\"}", row).is_err_and(|why| why.contains("larger than")));
    }

    #[test]
    fn values_are_json() {
        let row = r#"{"text": "a\"b", "total": 150.00, "none": null, "list": [1, "x"]}"#;
        let row: Value = serde_json::from_str(row).unwrap();
        for (text, expected) in [
            ("{\"a\":{{{total}}},\"b\":{{total}}}", "{\"a\":150.00,\"b\":150.00}"),
            ("{\"a\":{{{none}}},\"b\":\"{{none}}\"}", "{\"a\":null,\"b\":\"\"}"),
            ("{\"a\":{{{json text}}},\"b\":{{{text}}}}", "{\"a\":\"a\\\"b\",\"b\":\"a\\\"b\"}"),
            ("{\"a\":{{{json list}}},\"b\":\"{{json list}}\"}", "{\"a\":[1,\"x\"],\"b\":\"[1,\\\"x\\\"]\"}"),
            ("{\"a\":{{{json (default no text)}}}}", "{\"a\":\"a\\\"b\"}"),
            ("{{{json none}}}", "null"),
            ("{{#if total}}{{{json list}}}{{/if}}", "[1,\"x\"]"),
            (" {\"n\":{{len list}}} ", " {\"n\":2} "),
        ] {
            assert_eq!(render(text, row.clone()).as_deref(), Ok(expected), "{text}");
        }
    }

    /// A value is one step, whatever is in it.
    #[test]
    fn a_large_value_is_written_at_once() {
        let many: Vec<u32> = vec![1; 200_000];
        let hour = Duration::from_hours(1);
        let until = Until::on_this_thread(Instant::now() + hour, hour);
        let template = Template::compile("{{{a}}}", Escaping::Json).unwrap();
        let text = template.render(until, &Context::from(json!({"a": many})), 1 << 20).unwrap();
        assert_eq!(text.len(), 400_001);
    }

    #[test]
    fn tags_that_stand_at_the_wrong_place_are_pointed_at() {
        let hints = |text| {
            let template = Template::compile(text, Escaping::Json).unwrap();
            template.hints().iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(
            hints("{\"a\":\"{{x}}\",\n \"b\":{{total}}}"),
            [
                "line 2, column 6: `{{total}}` stands outside of a string; `{{{total}}}` is the value as JSON, or write quotes around it"
            ]
        );
        assert_eq!(
            hints("{\"a\":\"\\\"{{{x}}}\"}"),
            [
                "line 1, column 9: `{{{x}}}` stands inside of a string, and a text brings quotes of its own; write `{{x}}`"
            ]
        );
        assert_eq!(hints("{\"a\":{{json x}},{{#if x}}\"b\":{{y}}{{else}}\"c\":{{z}}{{/if}}}").len(), 3);
        for right in [
            "{\"a\":\"{{x}}\",\"b\":{{{y}}},\"c\":{{len z}},\"d\":\"\\\"{{x}}\\\\\"}",
            "[{{#each a}}\"{{this}}\"{{#unless @last}},{{/unless}}{{/each}}]",
        ] {
            assert_eq!(hints(right), [""; 0], "{right}");
        }
        assert!(Template::compile("{{x}}", Escaping::Text).unwrap().hints().is_empty());
    }
}
