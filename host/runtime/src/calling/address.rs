//! The address of a delivery: what it goes to at its destination.
//!
//! A destination is a server; an address is one path, channel, device or number there. It is made of the texts that a plugin's schema marks
//! as one (`x-egress`, `x-name`, `x-recipient`): a URL without its query, then names. The host looks at it before a plugin runs, and
//! so for any plugin: what fails at one address is held back there first.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use aftercommit_core::plain::one_line;
use serde_json::Value;

use crate::{
    calling::{cpu::Until, event::PreparedEvent},
    dot_segments::path_end,
    limits::Limits,
    loading::{digest, schema::Marks},
    templates::{RenderProblem, Roots, Template},
};

/// A longer address is cut, and told apart by a digest.
const MAX_BYTES: usize = 200;

/// How an action's deliveries are addressed.
pub(crate) enum Address {
    /// A server of the host's has none: whoever receives is the server's to know.
    None,
    /// All deliveries go to the same.
    Fixed(Arc<str>),
    /// Each event makes one.
    Made(Made),
}

/// An address with templates.
pub(crate) struct Made {
    /// As written, for what is known of all that it makes.
    written: Arc<str>,
    parts: Vec<Part>,
    roots: Roots,
}

struct Part {
    is_url: bool,
    text: String,
    template: Option<Template>,
}

impl Address {
    /// Of a configuration in which secrets still stand by name: no secret and no handle becomes part of an address.
    pub(crate) fn of(config: &Value, marks: &BTreeMap<String, Marks>, destination: &str) -> Self {
        let texts = |wanted: fn(&Marks) -> bool| {
            let marked = marks.iter().filter(move |(_, marks)| wanted(marks));
            marked.filter_map(|(pointer, marks)| Some((pointer, marks, config.pointer(pointer)?.as_str()?)))
        };
        // In the order in which the destination is found.
        let url = texts(|marks| marks.egress).min_by_key(|(pointer, ..)| pointer.matches('/').count());
        let Some((_, marks, url)) = url else { return Self::None };
        let names = texts(|marks| !marks.egress && (marks.name || marks.recipient));
        let names = names.map(|(_, marks, text)| (marks, text));
        let written: Vec<(&Marks, &str)> = std::iter::once((marks, path(url))).chain(names).collect();
        let parts: Option<Vec<Part>> = written.iter().map(|(marks, text)| Part::of(marks, text)).collect();
        let whole = joined(destination, written.iter().map(|(_, text)| *text));
        match parts {
            Some(parts) if parts.iter().any(|part| part.template.is_some()) => {
                let roots = Roots::of(parts.iter().filter_map(|part| part.template.as_ref()));
                Self::Made(Made { written: whole, parts, roots })
            }
            // A template that does not compile is a problem of the action.
            _ => Self::Fixed(whole),
        }
    }
}

impl Made {
    /// As written.
    pub(crate) const fn written(&self) -> &Arc<str> {
        &self.written
    }

    /// That of an event; none if it does not render, for which the attempt fails.
    pub(crate) fn render(
        &self,
        event: &PreparedEvent,
        limits: &Limits,
        destination: &str,
    ) -> Option<Arc<str>> {
        let until = Until::of(limits);
        let context = event.context(&self.roots);
        let rendered: Result<Vec<Cow<'_, str>>, RenderProblem> = self
            .parts
            .iter()
            .map(|part| match &part.template {
                None => Ok(Cow::Borrowed(part.text.as_str())),
                Some(template) => template.render(until, &context, limits.rendered_bytes).map(Cow::Owned),
            })
            .collect();
        let rendered = rendered.ok()?;
        let texts = self.parts.iter().zip(&rendered);
        Some(joined(destination, texts.map(|(part, text)| if part.is_url { path(text) } else { text })))
    }
}

impl Part {
    fn of(marks: &Marks, text: &str) -> Option<Self> {
        let template = match marks.template {
            Some(escaping) if Template::is_template(text) => {
                let compiled = Template::compile(text, escaping).ok()?;
                Some(if marks.name { compiled.of_name() } else { compiled })
            }
            _ => None,
        };
        Some(Self { is_url: marks.egress, text: text.to_owned(), template })
    }
}

/// A URL without query and fragment. Where a template may stand in front of them, what it makes is cut.
fn path(url: &str) -> &str {
    let end = path_end(url);
    if url[..end].contains("{{") { url } else { &url[..end] }
}

/// One text of them all, plain and bounded. Another one of the same server may be told by the destination in front of it.
fn joined<'t>(destination: &str, texts: impl Iterator<Item = &'t str>) -> Arc<str> {
    let mut whole = String::new();
    for text in texts {
        if whole.is_empty() && !text.starts_with(destination) {
            whole.push_str(destination);
        }
        if !whole.is_empty() {
            whole.push(' ');
        }
        whole.push_str(text);
    }
    let plain = one_line(&whole);
    if plain.len() <= MAX_BYTES {
        return plain.into();
    }
    let mut cut = plain[..plain.floor_char_boundary(MAX_BYTES)].to_owned();
    cut.push_str("..");
    // Six bytes, behind `sha256:`.
    cut.push_str(&digest(whole.as_bytes())[7..19]);
    cut.into()
}

#[cfg(test)]
mod tests {
    use aftercommit_core::{EntityEvent, EventKind};
    use serde_json::json;

    use super::*;
    use crate::templates::Escaping;

    fn marks() -> BTreeMap<String, Marks> {
        let url = Marks { egress: true, template: Some(Escaping::Url), ..Marks::default() };
        let name = Marks { name: true, template: Some(Escaping::Text), ..Marks::default() };
        let text = Marks { template: Some(Escaping::Text), ..Marks::default() };
        [("/url", url), ("/channel", name), ("/text", text)].map(|(at, marks)| (at.to_owned(), marks)).into()
    }

    fn of(config: &Value) -> Address {
        Address::of(config, &marks(), "https://a.example")
    }

    fn fixed(config: &Value) -> String {
        match of(config) {
            Address::Fixed(text) => text.to_string(),
            Address::None => "none".to_owned(),
            Address::Made(_) => panic!("{config} is fixed"),
        }
    }

    fn made(config: &Value, id: &str) -> Option<Arc<str>> {
        let Address::Made(made) = of(config) else { panic!("{config} has a template") };
        let event = PreparedEvent::new(EntityEvent::new(EventKind::Created, "T", 1, json!({"id": id})));
        made.render(&event, &Limits::default(), "https://a.example")
    }

    #[test]
    fn it_is_fixed_unless_a_template_stands_in_it() {
        assert_eq!(fixed(&json!({"channel": "C1", "text": "m"})), "none");
        for (config, expected) in [
            (json!({"url": "https://a.example/x?y=1#z", "text": "{{id}}"}), "https://a.example/x"),
            (json!({"url": "https://a.example/x?id={{id}}"}), "https://a.example/x"),
            (json!({"url": "https://a.example/x", "channel": "C1"}), "https://a.example/x C1"),
            (json!({"url": "${secret:HOOK}"}), "https://a.example ${secret:HOOK}"),
            (json!({"url": "https://a.example/${secret:HOOK}"}), "https://a.example/${secret:HOOK}"),
            (json!({"url": "https://a.example/\u{202e}"}), "https://a.example/\u{fffd}"),
        ] {
            assert_eq!(fixed(&config), expected, "{config}");
        }
    }

    #[test]
    fn a_template_makes_one_of_each_event() {
        let url = json!({"url": "https://a.example/u/{{id}}/hook?x={{id}}"});
        assert_eq!(made(&url, "7").as_deref(), Some("https://a.example/u/7/hook"));
        assert_eq!(made(&url, "a/?#b").as_deref(), Some("https://a.example/u/a%2F%3F%23b/hook"));
        assert_eq!(made(&url, ".."), None, "the attempt fails for it");
        let channel = json!({"url": "https://a.example/api", "channel": "{{id}}"});
        assert_eq!(made(&channel, "#C7").as_deref(), Some("https://a.example/api #C7"));
        let block = json!({"url": "https://a.example/{{#if id}}{{id}}{{/if}}?q"});
        assert_eq!(made(&block, "7").as_deref(), Some("https://a.example/7"));
        let (long, other) = (made(&url, &"7".repeat(1 << 16)), made(&url, &"7".repeat(1 << 15)));
        assert!(long.as_deref().is_some_and(|text| text.len() < 250) && long != other, "{long:?}");
        let Address::Made(template) = of(&url) else { panic!("it has a template") };
        assert_eq!(&**template.written(), "https://a.example/u/{{id}}/hook?x={{id}}");
    }
}
