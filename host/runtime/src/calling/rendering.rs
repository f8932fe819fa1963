//! An action's configuration as its guest receives it: JSON text, made once, with the rendered templates put in.

use std::{collections::HashMap, sync::Arc};

use serde_json::Value;

use crate::{
    calling::{cpu::Until, event::PreparedEvent},
    configure::problem::{ConfigProblem, escape},
    limits::Limits,
    templates::{RenderProblem, Roots, Template},
};

/// The configuration's text.
pub(crate) enum ConfigText {
    /// Without templates: the same for all events.
    Same(Arc<String>),
    /// Cut where templates stand, which read these names of an event.
    Cut { pieces: Vec<Piece>, roots: Roots },
}

pub(crate) enum Piece {
    Json(String),
    Template { pointer: String, template: Template },
}

impl ConfigText {
    /// Cuts a configuration at the templates, which are given by JSON pointer.
    pub(crate) fn new(config: &Value, mut templates: HashMap<String, Template>) -> Self {
        if templates.is_empty() {
            return Self::Same(Arc::new(config.to_string()));
        }
        let mut cut = Cut(vec![Piece::Json(String::new())]);
        cut.write(config, &mut String::new(), &mut templates);
        let roots = Roots::of(cut.0.iter().filter_map(Piece::template));
        Self::Cut { pieces: cut.0, roots }
    }

    /// What is not wrong with the templates but makes no JSON for some events.
    pub(crate) fn hints(&self) -> impl Iterator<Item = ConfigProblem> {
        let pieces = match self {
            Self::Same(_) => &[][..],
            Self::Cut { pieces, .. } => pieces,
        };
        pieces.iter().flat_map(|piece| {
            let (pointer, hints) = match piece {
                Piece::Json(_) => ("", &[][..]),
                Piece::Template { pointer, template } => (pointer.as_str(), template.hints()),
            };
            hints.iter().map(move |hint| ConfigProblem::new(pointer, hint.to_string()))
        })
    }

    /// The text for an event, within the time of an attempt.
    pub(crate) fn render(
        &self,
        event: &PreparedEvent,
        limits: &Limits,
    ) -> Result<Arc<String>, (&str, RenderProblem)> {
        let (pieces, roots) = match self {
            Self::Same(text) => return Ok(Arc::clone(text)),
            Self::Cut { pieces, roots } => (pieces, roots),
        };
        let until = Until::of(limits);
        let context = event.context(roots);
        let mut out = Vec::new();
        for piece in pieces {
            match piece {
                Piece::Json(json) => out.extend_from_slice(json.as_bytes()),
                Piece::Template { pointer, template } => {
                    let rendered = template
                        .render(until, &context, limits.rendered_bytes)
                        .map_err(|problem| (pointer.as_str(), problem))?;
                    // At least as much follows, and a large text is not copied while it grows.
                    out.reserve(rendered.len() + 2);
                    serde_json::to_writer(&mut out, &rendered).expect("a text is JSON, and memory takes it");
                }
            }
        }
        Ok(Arc::new(String::from_utf8(out).expect("JSON is UTF-8")))
    }
}

impl Piece {
    const fn template(&self) -> Option<&Template> {
        match self {
            Self::Json(_) => None,
            Self::Template { template, .. } => Some(template),
        }
    }
}

/// The pieces so far.
struct Cut(Vec<Piece>);

impl Cut {
    fn write(&mut self, value: &Value, pointer: &mut String, templates: &mut HashMap<String, Template>) {
        match value {
            Value::Object(fields) => {
                for (position, (key, value)) in fields.iter().enumerate() {
                    self.json(if position == 0 { "{" } else { "," });
                    self.json(&Value::String(key.clone()).to_string());
                    self.json(":");
                    self.within(&escape(key), value, pointer, templates);
                }
                self.json(if fields.is_empty() { "{}" } else { "}" });
            }
            Value::Array(items) => {
                for (position, value) in items.iter().enumerate() {
                    self.json(if position == 0 { "[" } else { "," });
                    self.within(&position.to_string(), value, pointer, templates);
                }
                self.json(if items.is_empty() { "[]" } else { "]" });
            }
            scalar => match templates.remove(pointer.as_str()) {
                Some(template) => {
                    self.0.push(Piece::Template { pointer: pointer.clone(), template });
                    self.0.push(Piece::Json(String::new()));
                }
                None => self.json(&scalar.to_string()),
            },
        }
    }

    fn within(
        &mut self,
        part: &str,
        value: &Value,
        pointer: &mut String,
        templates: &mut HashMap<String, Template>,
    ) {
        let length = pointer.len();
        pointer.push('/');
        pointer.push_str(part);
        self.write(value, pointer, templates);
        pointer.truncate(length);
    }

    fn json(&mut self, text: &str) {
        if let Some(Piece::Json(last)) = self.0.last_mut() {
            last.push_str(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use aftercommit_core::{EntityEvent, EventKind};
    use serde_json::json;

    use super::*;
    use crate::templates::Escaping;

    fn limits() -> Limits {
        Limits { rendered_bytes: 100, ..Limits::default() }
    }

    #[test]
    fn templates_are_rendered_where_they_stand() {
        let config = json!({"a": [1, "{{x}} {{entity_type}}"], "e": {}, "f": [], "b/c": "{{x}}"});
        let compile = |text| Template::compile(text, Escaping::Text).unwrap();
        let templates = HashMap::from([
            ("/a/1".to_owned(), compile("{{x}} {{entity_type}}")),
            ("/b~1c".to_owned(), compile("{{x}}")),
        ]);
        let text = ConfigText::new(&config, templates);
        let event = PreparedEvent::new(EntityEvent::new(EventKind::Created, "T", 1, json!({"x": "q\"\n"})));
        let rendered: Value = serde_json::from_str(&text.render(&event, &limits()).unwrap()).unwrap();
        assert_eq!(rendered, json!({"a": [1, "q\"\n T"], "e": {}, "f": [], "b/c": "q\"\n"}));
        let empty = PreparedEvent::new(EntityEvent::new(EventKind::Created, "T", 1, json!({})));
        assert_eq!(text.render(&empty, &limits()).unwrap_err(), ("/a/1", RenderProblem::Missing("x".into())));
    }

    #[test]
    fn without_templates_nothing_is_made() {
        let config = json!({"n": 1, "s": "x"});
        let text = ConfigText::new(&config, HashMap::new());
        let event = PreparedEvent::new(EntityEvent::new(EventKind::Created, "T", 1, json!({})));
        let rendered = text.render(&event, &limits()).unwrap();
        assert_eq!(*rendered, r#"{"n":1,"s":"x"}"#);
        assert!(Arc::ptr_eq(&rendered, &text.render(&event, &limits()).unwrap()));
    }
}
