//! Where the text of a template goes, and which values may not stand there.
//!
//! A value is data of whoever may write the row. In an address it is part of one segment, and in a name it is part of that
//! name: a value that is empty, or a dot segment, would make an address or a name of something else.

use std::ops::Range;

use super::{Escaping, RenderProblem};
use crate::dot_segments::{is_dots, path_end, segments};

/// Where the text goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Place {
    /// Text that is read: any value may be empty.
    Content,
    /// A URL. Its query and fragment are content.
    Address,
    /// The name of something: a key, an index, a channel.
    Name,
}

impl Place {
    pub(crate) const fn of(escaping: Escaping) -> Self {
        match escaping {
            Escaping::Url => Self::Address,
            Escaping::Glob => Self::Name,
            _ => Self::Content,
        }
    }

    /// Whether a value may be empty after `text`.
    pub(super) fn allows_empty_after(self, text: &str) -> bool {
        match self {
            Self::Content => true,
            Self::Address => path_end(text) < text.len(),
            Self::Name => false,
        }
    }

    /// Refuses a finished text in which values make a segment that leads elsewhere. `values` are their ranges in it, in order.
    pub(super) fn check(self, text: &str, values: &[Range<usize>]) -> Result<(), RenderProblem> {
        if self != Self::Address {
            return Ok(());
        }
        check_segments(text, values)?;
        // URL parsers drop them (WHATWG URL, "basic URL parser"), and what is left is another address.
        let is_within = |at: usize| {
            let first = values.partition_point(|value| value.end <= at);
            values.get(first).is_some_and(|value| value.start <= at)
        };
        let start = text.len() - text.trim_start().len();
        let mut dropped = text.trim().match_indices(['\t', '\n', '\r']).map(|(at, _)| start + at);
        if dropped.any(is_within) { Err(RenderProblem::DroppedInUrl) } else { Ok(()) }
    }
}

/// Refuses values that make a dot segment or an empty one.
fn check_segments(text: &str, values: &[Range<usize>]) -> Result<(), RenderProblem> {
    let path = &text[..path_end(text)];
    for segment in segments(path) {
        let first = values.partition_point(|value| value.end < segment.start);
        let mut beside = values[first..].iter().take_while(|value| value.start <= segment.end);
        if segment.is_empty() && segment.end < path.len() {
            // A value that writes the host too is an address of its own.
            if beside.any(|value| value.start > 0) {
                return Err(RenderProblem::EmptySegment);
            }
        } else if beside.any(|value| value.start < segment.end && value.end > segment.start)
            && is_dots(&path[segment.clone()])
        {
            let written = path[segment].chars().take(MAX_SHOWN_CHARS).collect();
            return Err(RenderProblem::DotSegment(written));
        }
    }
    Ok(())
}

/// Characters of a segment in an error: enough for each spelling of the dots.
const MAX_SHOWN_CHARS: usize = 20;

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use handlebars::Context;
    use serde_json::{Value, json};

    use super::*;
    use crate::{calling::cpu::Until, templates::Template};

    fn render(template: &Template, row: Value) -> Result<String, RenderProblem> {
        let hour = Duration::from_hours(1);
        template.render(Until::on_this_thread(Instant::now() + hour, hour), &Context::from(row), 10_000)
    }

    fn address(text: &str, value: &Value) -> Result<String, RenderProblem> {
        render(&Template::compile(text, Escaping::Url).unwrap(), json!({"v": value, "w": "w"}))
    }

    #[test]
    fn a_value_is_no_dot_segment() {
        for dots in [".", "..", "%2e", "%2E%2e", ".%2E", "%252e.", "..;a=b"] {
            for text in [
                "https://a.example/tenants/{{v}}",
                "https://a.example/tenants/{{v}}/orders?x=1",
                "https://a.example/tenants/{{{v}}}#x",
                "https://a.example/{{default v \"x\"}}",
                "{{v}}",
            ] {
                let refused = matches!(address(text, &json!(dots)), Err(RenderProblem::DotSegment(_)));
                assert!(refused, "{text} with {dots}: {:?}", address(text, &json!(dots)));
            }
            assert!(address("https://a.example/x?next={{v}}", &json!(dots)).is_ok(), "{dots}");
        }
        // With what stands beside it.
        for (text, value) in [
            ("https://a.example/x/.{{v}}", "."),
            ("https://a.example/x/%2{{v}}", "e"),
            ("https://a.example/x/{{v}}{{v}}", "."),
            ("https://a.example/x/{{{v}}}.", "\t."),
            ("https://a.example/x/{{{v}}}", "a/../.."),
            ("https://a.example/x/{{{v}}}", "..\\x"),
        ] {
            assert!(matches!(address(text, &json!(value)), Err(RenderProblem::DotSegment(_))), "{text}");
        }
    }

    #[test]
    fn a_value_is_no_empty_segment() {
        for empty in [json!(null), json!("")] {
            for text in [
                "https://a.example/tenants/{{v}}",
                "https://a.example/tenants/{{{v}}}/orders",
                "https://{{v}}/orders",
                "https://a.example/x-{{v}}",
            ] {
                assert_eq!(address(text, &empty), Err(RenderProblem::Empty("v".to_owned())), "{text}");
            }
            let query = address("https://a.example/x?v={{v}}#{{v}}", &empty);
            assert_eq!(query.unwrap(), "https://a.example/x?v=#");
            let left_out = address("https://a.example/x{{#if v}}/{{v}}{{/if}}", &empty);
            assert_eq!(left_out.unwrap(), "https://a.example/x");
        }
        for (text, value) in [
            ("https://a.example/x/{{{v}}}", "/"),
            ("https://a.example/x/{{{v}}}", "a//b"),
            ("https://a.example/x/{{{v}}}/y", "a/"),
            ("https://{{{v}}}", "/a.example/"),
        ] {
            assert_eq!(address(text, &json!(value)), Err(RenderProblem::EmptySegment), "{text} with {value}");
        }
    }

    #[test]
    fn a_value_loses_nothing_on_its_way() {
        for text in ["https://a.example/x/{{{v}}}/y", "https://a.example/x?q={{{v}}}", "{{{v}}}"] {
            for value in ["a\nb", "a\tb", "a\r\nb"] {
                assert_eq!(
                    address(text, &json!(value)),
                    Err(RenderProblem::DroppedInUrl),
                    "{text} {value:?}"
                );
            }
        }
        assert_eq!(address("https://a.example/{{v}}", &json!("a\nb")).unwrap(), "https://a.example/a%0Ab");
        // What stands around a whole address, and what the template says itself.
        assert!(address("{{{v}}}", &json!(" https://a.example/x\n")).is_ok());
        assert!(address("https://a.example/x\n/{{v}}", &json!("y")).is_ok());
    }

    #[test]
    fn what_the_template_says_itself_stays() {
        for (text, value, expected) in [
            ("https://a.example//x/{{v}}/", "7", "https://a.example//x/7/"),
            ("{{{v}}}/x", "https://a.example/", "https://a.example//x"),
            ("https://a.example/{{v}}", "a/b.c..d", "https://a.example/a%2Fb.c..d"),
            ("https://a.example/x/{{v}}", "../..", "https://a.example/x/..%2F.."),
            ("https://a.example/{{v}}/y", "//a//b/", "https://a.example/%2F%2Fa%2F%2Fb%2F/y"),
            ("https://a.example{{{v}}}", "/a/b/", "https://a.example/a/b/"),
            ("https://a.example/{{v}}/{{w}}", "...", "https://a.example/.../w"),
        ] {
            assert_eq!(address(text, &json!(value)).unwrap(), expected);
        }
    }

    #[test]
    fn no_value_of_a_name_is_empty() {
        let key = |text: &str, value| {
            render(&Template::compile(text, Escaping::Glob).unwrap(), json!({"v": value, "w": "w"}))
        };
        let name = |text: &str, value| {
            render(&Template::compile(text, Escaping::Text).unwrap().of_name(), json!({"v": value, "w": "w"}))
        };
        let empty = Err(RenderProblem::Empty("v".to_owned()));
        assert_eq!(key("tenant:{{v}}*", json!(null)), empty);
        assert_eq!(key("{{w}}:{{v}}", json!("")), empty);
        assert_eq!(name("orders-{{v}}", json!(null)), empty);
        assert_eq!(key("t:{{v}}", json!(0)).unwrap(), "t:0");
        assert_eq!(name("orders-{{#if v}}{{v}}{{else}}all{{/if}}", json!(null)).unwrap(), "orders-all");
        let content = render(&Template::compile("a{{v}}b", Escaping::Text).unwrap(), json!({"v": null}));
        assert_eq!(content.unwrap(), "ab");
    }
}
