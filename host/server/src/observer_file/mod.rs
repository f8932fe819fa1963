//! Files of observers: TOML, YAML or JSON, by the file's extension.
//!
//! A [`Draft`] is what was read, checked as far as that needs no plugin: keys, types, ranges, names, conditions. `plugins` asks the
//! plugins, also where something else is wrong already, so that all problems are reported at once.

mod action;
mod batch;
mod condition;
mod definition;
mod draft;
mod plugins;
mod retry;

use std::{
    collections::{HashMap, HashSet},
    path::Path,
};

use aftercommit_core::ObserverDefinition;
use aftercommit_store::ObserverTable;

pub use self::draft::Draft;
use crate::document::{Content, Document, Findings, Format, Node, Problem, Report, Section};

/// A small commented file: what `aftercommit init` writes.
pub const EXAMPLE: &str = include_str!("example.toml");

/// A file of observers that was read without a problem.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ObserverFile {
    /// The file.
    pub document: Document,
    /// Its observers, in order.
    pub observers: Vec<ObserverDefinition>,
    /// What is not wrong but probably not meant, rendered.
    pub warnings: Vec<String>,
    /// Those of which the file does not say whether they are enabled.
    unsaid: HashSet<String>,
}

impl ObserverFile {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self, Report> {
        Draft::read(path)?.finish()
    }

    /// Reads a text. All that is wrong is in the one report.
    pub fn parse(origin: impl Into<String>, text: impl Into<String>, format: Format) -> Result<Self, Report> {
        Draft::parse(origin, text, format)?.finish()
    }

    /// Leaves observers enabled or disabled as they are in the table, where the file does not say: what a person disabled stays disabled when
    /// the host starts again.
    pub fn leave_enabled_as_in(&mut self, table: &ObserverTable) {
        for observer in self.observers.iter_mut().filter(|observer| self.unsaid.contains(&observer.name)) {
            if let Some(row) = table.rows.iter().find(|row| row.name == observer.name) {
                observer.enabled = row.enabled;
            }
        }
    }

    /// The observers of the table that are not in the file.
    #[must_use]
    pub fn lacks<'t>(&self, table: &'t ObserverTable) -> Vec<&'t str> {
        let is_here = |name: &str| self.observers.iter().any(|observer| observer.name == name);
        table.rows.iter().map(|row| row.name.as_str()).filter(|name| !is_here(name)).collect()
    }

    /// A problem of the observer at `position`, at the place that `pointer` (RFC 6901, within the observer) names.
    #[must_use]
    pub fn problem(&self, position: usize, pointer: &str, message: impl Into<String>) -> Problem {
        let list = list_of(&self.document.root).unwrap_or(&self.document.root);
        let node = list.at_pointer(&format!("/{position}{pointer}"));
        Problem::new(path_of(position, pointer), message).at(node.place.clone())
    }
}

/// `/actions/0/url` of observer 2 is `observers[2].actions[0].url`.
fn path_of(position: usize, pointer: &str) -> String {
    let mut path = format!("observers[{position}]");
    for token in pointer.split('/').skip(1) {
        if token.bytes().all(|byte| byte.is_ascii_digit()) && !token.is_empty() {
            path.push('[');
            path.push_str(token);
            path.push(']');
        } else {
            path.push('.');
            path.push_str(&token.replace("~1", "/").replace("~0", "~"));
        }
    }
    path
}

/// The list of observers: under `observers`, or the whole of a JSON or YAML file.
fn list_of(root: &Node) -> Option<&Node> {
    match &root.content {
        Content::List(_) => Some(root),
        Content::Table(entries) => {
            entries.iter().find(|entry| entry.key == "observers").map(|entry| &entry.value)
        }
        _ => None,
    }
}

/// Reads one document. Its parts are in the files beside this one.
struct Reader<'a> {
    document: &'a Document,
    findings: &'a Findings,
    warnings: Vec<String>,
    unsaid: HashSet<String>,
}

impl<'a> Reader<'a> {
    fn observers(&mut self) -> Vec<ObserverDefinition> {
        let root = &self.document.root;
        if let Content::Table(_) = &root.content {
            let mut section = Section::new("", root, self.findings);
            section.node("observers");
            section.finish();
        }
        let Some(list) = list_of(root) else {
            let message =
                "the file has no `observers`: write `[[observers]]` (TOML) or a list under `observers`";
            self.findings.add(Problem::new("", message));
            return Vec::new();
        };
        let items = self.items("observers", list);
        let observers: Vec<_> =
            items.into_iter().map(|(path, node)| (node, self.observer(path, node))).collect();
        self.report_twins(&observers);
        observers.into_iter().map(|(_, observer)| observer).collect()
    }

    fn report_twins(&self, observers: &[(&Node, ObserverDefinition)]) {
        let mut firsts = HashMap::new();
        for (position, (node, observer)) in observers.iter().enumerate() {
            let first = *firsts.entry(observer.name.as_str()).or_insert(position);
            if first < position && !observer.name.is_empty() {
                let message = format!("the name `{}` is taken by observers[{first}]", observer.name);
                let place = node.at_pointer("/name").place.clone();
                self.findings.add(Problem::new(format!("observers[{position}].name"), message).at(place));
            }
        }
    }

    /// The items of a list, each with its path.
    fn items(&self, path: &str, node: &'a Node) -> Vec<(String, &'a Node)> {
        if let Content::List(items) = &node.content {
            return items.iter().enumerate().map(|(at, item)| (format!("{path}[{at}]"), item)).collect();
        }
        let message = format!("expected a list, found {}", node.kind());
        self.findings.add(Problem::new(path, message).at(node.place.clone()));
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use aftercommit_core::RetryConfig;

    use super::*;

    fn problems(text: &str, format: Format) -> String {
        ObserverFile::parse("observers", text, format).unwrap_err().to_string()
    }

    #[test]
    fn the_example_is_valid() {
        let file = ObserverFile::parse("observers.toml", EXAMPLE, Format::Toml).unwrap();
        assert_eq!(file.observers.len(), 2);
        assert_eq!(
            file.observers[1].retry,
            RetryConfig::default(),
            "it writes the defaults down to explain them"
        );
        assert_eq!(file.warnings, Vec::<String>::new());
    }

    #[test]
    fn the_three_formats_give_the_same_observers() {
        let toml = "[[observers]]\nname = \"a\"\nevent_kind = \"INSERT\"\n[[observers.actions]]\ntype = \"log\"\nn = 1.10\nbatch = {max_items = 7}\n";
        let yaml =
            "- name: a\n  event_kind: created\n  actions:\n  - {type: log, n: 1.10, batch: {max_items: 7}}\n";
        let json = r#"{"observers": [{"name": "a", "event_kind": "created", "actions": [{"type": "log", "n": 1.10, "batch": {"max_items": 7}}]}]}"#;
        let [toml, yaml, json] = [(toml, Format::Toml), (yaml, Format::Yaml), (json, Format::Json)]
            .map(|(text, format)| ObserverFile::parse("f", text, format).unwrap().observers);
        assert_eq!(toml, yaml);
        assert_eq!(toml, json);
        assert_eq!(toml[0].actions[0].config["n"].to_string(), "1.10");
        assert_eq!(toml[0].actions[0].batch.unwrap().max_items, 7);
    }

    const WRONG: &str = r#"
[[observers]]
name = "a b"
event_kind = "upsert"
priority = 1001
on_failure = "retry"
conditon = "total > 1"
[observers.retry]
max_attempts = 0
jitter = 1.5
initial_delay_ms = 7200000

[[observers]]
name = "twin"
condition = "total >> 1"
[[observers.actions]]
url = "https://example.com"
[[observers.actions]]
type = "webhook"
timeout_ms = "soon"
batch = { max_items = 0, max_wait = 1 }

[[observers]]
name = "twin"
entity_type = 7
[[observers.actions]]
type = "log"
[[observers.actions]]
type = "webhook"
name = "log"

[[observers]]
actions = [3]
"#;

    #[test]
    fn all_problems_of_a_file_are_reported_at_once() {
        insta::assert_snapshot!(problems(WRONG, Format::Toml));
    }

    #[test]
    fn problems_of_json_name_their_path() {
        let json = r#"[{"name": "a", "condition": "total >", "actions": [{"type": "log", "retry": {"jitter": 2}}]}, {"nam": 1}]"#;
        insta::assert_snapshot!(problems(json, Format::Json));
    }

    #[test]
    fn problems_of_yaml_have_lines() {
        insta::assert_snapshot!(problems(
            "observers:\n- name: a\n  enabled: maybe\n  action: []\n",
            Format::Yaml
        ));
    }

    #[test]
    fn an_attempt_lasts_an_hour_at_most() {
        let written = |timeout_ms: u64| {
            format!(
                "[[observers]]\nname = \"a\"\n[[observers.actions]]\ntype = \"log\"\ntimeout_ms = {timeout_ms}\n"
            )
        };
        let parse = |timeout_ms| ObserverFile::parse("f", written(timeout_ms), Format::Toml);
        assert_eq!(parse(3_600_000).unwrap().observers[0].actions[0].timeout_ms, Some(3_600_000));
        for wrong in [0, 3_600_001, 86_400_000] {
            let told = parse(wrong).unwrap_err().to_string();
            assert!(
                told.contains(&format!("expected a whole number from 1 to 3600000, found {wrong}")),
                "{told}"
            );
        }
    }

    #[test]
    fn what_is_no_list_of_observers_is_refused() {
        assert!(problems("", Format::Toml).contains("has no `observers`"));
        assert!(problems("observers: 7", Format::Yaml).contains("expected a list, found a number"));
        assert!(problems("[[observer]]", Format::Toml).contains("did you mean `observers`?"));
        assert!(problems("{\"a\": 1, }", Format::Json).contains("this is not JSON"));
    }

    #[test]
    fn a_pointer_is_given_its_place() {
        let file = ObserverFile::parse("observers.toml", EXAMPLE, Format::Toml).unwrap();
        let problem = file.problem(0, "/actions/0/type", "is unknown");
        assert_eq!(problem.path, "observers[0].actions[0].type");
        assert!(file.document.report(vec![problem]).to_string().contains("type = "));
    }
}
