//! Reading a table key by key: whoever reads says which keys there are, by asking for them.

use std::{
    cell::RefCell,
    fmt::Display,
    ops::{Range, RangeInclusive},
    str::FromStr,
};

use super::{Content, Entry, Node, Place, Problem};
use aftercommit_core::nearest;

/// What was found while reading one document: its problems, and every key that was asked for.
#[derive(Default, Debug)]
pub struct Findings {
    problems: RefCell<Vec<Problem>>,
    asked: RefCell<Vec<String>>,
}

impl Findings {
    /// Adds a problem.
    pub fn add(&self, problem: Problem) {
        self.problems.borrow_mut().push(problem);
    }

    /// How many problems there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.problems.borrow().len()
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The problems.
    #[must_use]
    pub fn into_problems(self) -> Vec<Problem> {
        self.problems.into_inner()
    }

    /// Every key that was asked for, with its path: `intake.batch_size`.
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        self.asked.borrow().clone()
    }
}

/// A table that is being read. [`finish`](Section::finish) it: then the keys that nobody asked for are reported.
#[derive(Debug)]
pub struct Section<'a> {
    path: String,
    place: Place,
    present: bool,
    entries: &'a [Entry],
    asked: Vec<String>,
    findings: &'a Findings,
}

impl<'a> Section<'a> {
    /// Reads `node`, which must be a table.
    #[must_use]
    pub fn new(path: impl Into<String>, node: &'a Node, findings: &'a Findings) -> Self {
        let path = path.into();
        let entries = if let Content::Table(entries) = &node.content {
            entries.as_slice()
        } else {
            let message = format!("expected a table, found {}", node.kind());
            findings.add(Problem::new(path.clone(), message).at(node.place.clone()));
            &[]
        };
        Self { path, place: node.place.clone(), present: true, entries, asked: Vec::new(), findings }
    }

    /// Whether the table is written at all.
    #[must_use]
    pub const fn is_present(&self) -> bool {
        self.present
    }

    /// Where the table stands.
    #[must_use]
    pub const fn place(&self) -> &Place {
        &self.place
    }

    /// The path of `key`.
    #[must_use]
    pub fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// Reports a problem of the value of `key`, or of the table if the key is not written.
    pub fn problem(&self, key: &str, message: impl Into<String>) {
        let place = self.entry(key).map_or_else(|| self.place.clone(), |entry| entry.value.place.clone());
        self.findings.add(Problem::new(self.path_of(key), message).at(place));
    }

    /// Reports that `key` must be written; `what` says what it is.
    pub fn missing(&self, key: &str, what: &str) {
        let message = format!("`{key}` is missing: {what}");
        self.findings.add(Problem::new(self.path.clone(), message).at(self.place.clone()));
    }

    /// Reports a problem of the table itself.
    pub fn refuse(&self, message: impl Into<String>) {
        self.findings.add(Problem::new(self.path.clone(), message).at(self.place.clone()));
    }

    /// Like [`problem`](Section::problem) for a value that may hold a secret: points at the key, and the line is not
    /// shown.
    pub fn secret_problem(&self, key: &str, message: impl Into<String>) {
        let place = match self.entry(key).map(|entry| (&entry.place, &entry.value.place)) {
            Some((_, Place::Environment(name))) => Place::Environment(name.clone()),
            Some((Place::Span(span), _)) => Place::Hidden(span.start),
            Some(_) | None => Place::Unknown,
        };
        self.findings.add(Problem::new(self.path_of(key), message).at(place));
    }

    /// The value of `key`, whatever it is. A null counts as not written.
    pub fn node(&mut self, key: &str) -> Option<&'a Node> {
        if !self.asked.iter().any(|asked| asked == key) {
            self.asked.push(key.to_owned());
            self.findings.asked.borrow_mut().push(self.path_of(key));
        }
        self.entry(key).map(|entry| &entry.value).filter(|node| node.content != Content::Null)
    }

    /// The table under `key`; an empty one, not present, when it is not written.
    #[must_use]
    pub fn section(&mut self, key: &str) -> Section<'a> {
        let path = self.path_of(key);
        match self.node(key) {
            Some(node) => Section::new(path, node, self.findings),
            None => Section {
                path,
                place: self.place.clone(),
                present: false,
                entries: &[],
                asked: Vec::new(),
                findings: self.findings,
            },
        }
    }

    /// The named tables under `key`, each with its name: `[redis.NAME]`.
    pub fn named(&mut self, key: &str) -> Vec<(String, Section<'a>)> {
        let section = self.section(key);
        section
            .entries
            .iter()
            .map(|entry| {
                let path = section.path_of(&entry.key);
                (entry.key.clone(), Section::new(path, &entry.value, section.findings))
            })
            .collect()
    }

    /// A text.
    pub fn text(&mut self, key: &str) -> Option<String> {
        let node = self.node(key)?;
        match &node.content {
            Content::Text(text) => Some(text.clone()),
            _ => self.mismatch(key, "a text", node),
        }
    }

    /// A text that reads as a `T`, whose error says what to write.
    pub fn parsed<T: FromStr<Err: Display>>(&mut self, key: &str) -> Option<T> {
        let text = self.text(key)?;
        text.parse().map_err(|error: T::Err| self.problem(key, error.to_string())).ok()
    }

    /// One of the texts of `choices`, in any case.
    pub fn choice<T: Copy>(&mut self, key: &str, choices: &[(&str, T)]) -> Option<T> {
        let text = self.text(key)?;
        if let Some((_, value)) = choices.iter().find(|(name, _)| name.eq_ignore_ascii_case(&text)) {
            return Some(*value);
        }
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        self.problem(key, format!("`{text}` is none of {}", names.join(", ")));
        None
    }

    /// True or false; from the environment also as text.
    pub fn flag(&mut self, key: &str) -> Option<bool> {
        let node = self.node(key)?;
        match (&node.content, &node.place) {
            (Content::Bool(value), _) => Some(*value),
            (Content::Text(text), Place::Environment(_)) if text.parse::<bool>().is_ok() => text.parse().ok(),
            _ => self.mismatch(key, "true or false", node),
        }
    }

    /// A whole number within `range`, `default` when it is not written or wrong; from the environment also as text.
    pub fn whole<T: TryFrom<u64> + Copy>(&mut self, key: &str, default: T, range: RangeInclusive<u64>) -> T {
        self.whole_or_none(key, range).unwrap_or(default)
    }

    /// Like [`whole`](Section::whole), without a default.
    pub fn whole_or_none<T: TryFrom<u64>>(&mut self, key: &str, range: RangeInclusive<u64>) -> Option<T> {
        let node = self.node(key)?;
        let text = match (&node.content, &node.place) {
            (Content::Number(number), _) => number.to_string(),
            (Content::Text(text), Place::Environment(_)) => text.trim().to_owned(),
            _ => return self.mismatch(key, "a whole number", node),
        };
        let value = text.parse::<u64>().ok().filter(|value| range.contains(value));
        let read = value.and_then(|value| T::try_from(value).ok());
        if read.is_none() {
            let (low, high) = range.into_inner();
            let bounds =
                if high == u64::MAX { format!("from {low}") } else { format!("from {low} to {high}") };
            self.problem(key, format!("expected a whole number {bounds}, found {text}"));
        }
        read
    }

    /// A number within `range`.
    pub fn fraction(&mut self, key: &str, default: f64, range: Range<f64>) -> f64 {
        let Some(node) = self.node(key) else { return default };
        let Content::Number(number) = &node.content else {
            return self.mismatch(key, "a number", node).unwrap_or(default);
        };
        match number.as_f64() {
            Some(value) if (range.start..=range.end).contains(&value) => value,
            _ => {
                let message =
                    format!("expected a number from {} to {}, found {number}", range.start, range.end);
                self.problem(key, message);
                default
            }
        }
    }

    /// Reports the keys that nobody asked for.
    pub fn finish(self) {
        for entry in self.entries.iter().filter(|entry| !self.asked.contains(&entry.key)) {
            let hint = nearest(&entry.key, self.asked.iter().map(String::as_str)).map_or_else(
                || format!("known keys: {}", self.asked.join(", ")),
                |near| format!("did you mean `{near}`?"),
            );
            let message = format!("unknown key `{}`", entry.key);
            self.findings.add(Problem::new(self.path.clone(), message).at(entry.place.clone()).hint(hint));
        }
    }

    /// The keys that nobody asked for, for those whose keys someone else knows.
    #[must_use]
    pub fn rest(&self) -> Vec<&'a Entry> {
        self.entries.iter().filter(|entry| !self.asked.contains(&entry.key)).collect()
    }

    fn entry(&self, key: &str) -> Option<&'a Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    fn mismatch<T>(&self, key: &str, expected: &str, node: &Node) -> Option<T> {
        self.problem(key, format!("expected {expected}, found {}", node.kind()));
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{Document, Format};

    #[test]
    fn every_problem_is_found_at_once() {
        let text = "size = 0\nname = 3\nflagg = true\nzebra = 1\n";
        let document = Document::parse("f.toml", text, Format::Toml).unwrap();
        let findings = Findings::default();
        let mut section = Section::new("", &document.root, &findings);
        assert_eq!(section.whole("size", 5_usize, 1..=10), 5);
        assert_eq!(section.text("name"), None);
        assert_eq!(section.flag("flag"), None);
        section.finish();
        assert_eq!(findings.asked(), ["size", "name", "flag"]);
        let shown: Vec<_> = findings
            .into_problems()
            .into_iter()
            .map(|it| format!("{}|{}|{}", it.path, it.message, it.hint))
            .collect();
        assert_eq!(
            shown,
            [
                "size|expected a whole number from 1 to 10, found 0|",
                "name|expected a text, found a number|",
                "|unknown key `flagg`|did you mean `flag`?",
                "|unknown key `zebra`|known keys: size, name, flag",
            ]
        );
    }
}
