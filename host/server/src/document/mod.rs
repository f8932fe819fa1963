//! Configuration files as trees that remember where everything stands in the text.
//!
//! One shape for TOML, YAML and JSON, so that what is checked above it (the host's configuration, observers) reports
//! every problem of a file at once, each with its place. It knows nothing of what the keys mean.

mod json;
mod place;
mod problem;
mod section;
mod toml;
mod yaml;

use std::{ops::Range, path::Path};

use serde_json::Value;

pub use json::json_problem;
pub use place::Place;
pub use problem::{Problem, Report};
pub use section::{Findings, Section};

/// The language a file is written in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// TOML 1.1.
    Toml,
    /// YAML 1.2.
    Yaml,
    /// JSON (RFC 8259).
    Json,
}

impl Format {
    /// The format that a file's name says; `None` for any but `.toml`, `.yaml`, `.yml` and `.json`.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "toml" => Some(Self::Toml),
            "yaml" | "yml" => Some(Self::Yaml),
            "json" => Some(Self::Json),
            _ => None,
        }
    }
}

/// A file that was read.
#[derive(Clone, Debug)]
pub struct Document {
    /// What messages call it: its path.
    pub origin: String,
    /// Its text.
    pub text: String,
    /// Its content.
    pub root: Node,
}

impl Document {
    /// Reads a text. What is no TOML, YAML or JSON is a report with line and column.
    pub fn parse(origin: impl Into<String>, text: impl Into<String>, format: Format) -> Result<Self, Report> {
        let (origin, text) = (origin.into(), text.into());
        let root = match format {
            Format::Toml => toml::parse(&text),
            Format::Yaml => yaml::parse(&text),
            Format::Json => json::parse(&text),
        };
        match root {
            Ok(root) => Ok(Self { origin, text, root }),
            Err(problem) => Err(Report { origin, text, problems: vec![*problem] }),
        }
    }

    /// A document without anything in it.
    #[must_use]
    pub fn empty(origin: impl Into<String>) -> Self {
        Self { origin: origin.into(), text: String::new(), root: Node::new(Content::Table(Vec::new()), None) }
    }

    /// A report of problems of this document.
    #[must_use]
    pub fn report(&self, problems: Vec<Problem>) -> Report {
        Report { origin: self.origin.clone(), text: self.text.clone(), problems }
    }
}

/// A value and where it stands.
#[derive(Clone, PartialEq, Debug)]
pub struct Node {
    /// The value.
    pub content: Content,
    /// Where it stands.
    pub place: Place,
}

/// What a value is.
#[derive(Clone, PartialEq, Debug)]
pub enum Content {
    /// JSON's and YAML's null.
    Null,
    /// True or false.
    Bool(bool),
    /// A number, with every digit as written.
    Number(serde_json::Number),
    /// A text; TOML's dates and times too.
    Text(String),
    /// Values in order.
    List(Vec<Node>),
    /// Keys and values in order.
    Table(Vec<Entry>),
}

/// A key and its value.
#[derive(Clone, PartialEq, Debug)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key stands.
    pub place: Place,
    /// The value.
    pub value: Node,
}

impl Node {
    /// A value; `span` are bytes of the text.
    #[must_use]
    pub fn new(content: Content, span: Option<Range<usize>>) -> Self {
        Self { content, place: span.map_or(Place::Unknown, Place::Span) }
    }

    /// What it is, in words for messages.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self.content {
            Content::Null => "null",
            Content::Bool(_) => "true or false",
            Content::Number(_) => "a number",
            Content::Text(_) => "a text",
            Content::List(_) => "a list",
            Content::Table(_) => "a table",
        }
    }

    /// The same value as JSON.
    #[must_use]
    pub fn to_json(&self) -> Value {
        match &self.content {
            Content::Null => Value::Null,
            Content::Bool(value) => Value::Bool(*value),
            Content::Number(number) => Value::Number(number.clone()),
            Content::Text(text) => Value::String(text.clone()),
            Content::List(nodes) => Value::Array(nodes.iter().map(Self::to_json).collect()),
            Content::Table(entries) => Value::Object(
                entries.iter().map(|entry| (entry.key.clone(), entry.value.to_json())).collect(),
            ),
        }
    }

    /// The part that a JSON Pointer (RFC 6901) names, or the nearest part around it that exists.
    #[must_use]
    pub fn at_pointer(&self, pointer: &str) -> &Self {
        let mut node = self;
        for token in pointer.split('/').skip(1) {
            let token = token.replace("~1", "/").replace("~0", "~");
            let next = match &node.content {
                Content::Table(entries) => {
                    entries.iter().find(|entry| entry.key == token).map(|entry| &entry.value)
                }
                Content::List(nodes) => token.parse().ok().and_then(|index: usize| nodes.get(index)),
                _ => None,
            };
            match next {
                Some(next) => node = next,
                None => break,
            }
        }
        node
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOML: &str = "a = 1\n[b]\nlist = [1.10, \"x\"]\n";
    const YAML: &str = "a: 1\nb:\n  list: [1.10, x]\n";
    const JSON: &str = r#"{"a": 1, "b": {"list": [1.10, "x"]}}"#;

    #[test]
    fn the_three_formats_give_the_same_values() {
        let [toml, yaml, json] = [(TOML, Format::Toml), (YAML, Format::Yaml), (JSON, Format::Json)]
            .map(|(text, format)| Document::parse("f", text, format).unwrap().root.to_json().to_string());
        assert_eq!(toml, r#"{"a":1,"b":{"list":[1.10,"x"]}}"#);
        assert_eq!(yaml, toml);
        assert_eq!(json, toml);
    }

    #[test]
    fn a_pointer_finds_its_place() {
        for (text, format) in [(TOML, Format::Toml), (YAML, Format::Yaml)] {
            let document = Document::parse("f", text, format).unwrap();
            let Place::Span(span) = &document.root.at_pointer("/b/list/0").place else { panic!("{text}") };
            assert_eq!(&text[span.clone()], "1.10");
        }
    }

    #[test]
    fn formats_go_by_the_name() {
        assert_eq!(Format::of(Path::new("a/b.YML")), Some(Format::Yaml));
        assert_eq!(Format::of(Path::new("b.txt")), None);
    }

    /// Each would end a process that recurses, or multiplies, without a bound.
    #[test]
    fn deep_and_multiplying_texts_are_refused() {
        const DEPTH: usize = 100_000;
        let wrap = |open: &str, close: &str| format!("{}1{}", open.repeat(DEPTH), close.repeat(DEPTH));
        let stairs = (0..2000).map(|level| format!("{}a:\n", " ".repeat(level))).collect::<Vec<_>>().concat();
        let laugh = |level: usize| {
            format!("a{level}: &a{level} [{}]\n", vec![format!("*a{}", level - 1); 10].join(","))
        };
        let laughs = (1..10).map(laugh).collect::<Vec<_>>().concat();
        for (text, format) in [
            (wrap("[", "]"), Format::Json),
            (wrap("{\"observers\":", "}"), Format::Json),
            (wrap("[", "]"), Format::Yaml),
            (wrap("{a: ", "}"), Format::Yaml),
            (wrap("- ", ""), Format::Yaml),
            (stairs, Format::Yaml),
            (format!("a0: &a0 [x]\n{laughs}"), Format::Yaml),
            (format!("a: &a \"{}\"\nb: [{}]", "x".repeat(DEPTH), vec!["*a"; DEPTH].join(",")), Format::Yaml),
            (format!("a = {}", wrap("[", "]")), Format::Toml),
            (format!("a = {}", wrap("{a=", "}")), Format::Toml),
            (format!("{} = 1", vec!["a"; DEPTH].join(".")), Format::Toml),
            (format!("[{}]\nb = 1", vec!["a"; DEPTH].join(".")), Format::Toml),
        ] {
            let begin: String = text.chars().take(20).collect();
            let report = Document::parse("f", text, format).err().unwrap_or_else(|| panic!("{begin}"));
            assert!(report.to_string().contains("this is not "), "{begin}");
            assert!(report.to_json()[0]["message"].is_string());
        }
    }
}
