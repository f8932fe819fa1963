//! A file of observers as it was read, with what is wrong with it.

use std::{collections::HashSet, path::Path};

use aftercommit_runtime::files::read_text;

use super::{ObserverFile, Reader};
use crate::{
    document::{Document, Findings, Format, Problem, Report},
    plugins::Catalog,
};

/// Some ten thousand observers.
const MAX_BYTES: u64 = 16 << 20;

/// A file of observers that was read, and the problems that were found so far. Observers with problems are in it as far as they can be
/// read.
#[derive(Clone, Debug)]
pub struct Draft {
    file: ObserverFile,
    problems: Vec<Problem>,
}

impl Draft {
    /// Reads a file. The error is of one that is no document.
    pub fn read(path: &Path) -> Result<Self, Report> {
        let origin = path.display().to_string();
        let Some(format) = Format::of(path) else {
            return Err(Report::whole(
                origin,
                "a file of observers ends in .toml, .yaml, .yml or .json: its name says its format",
            ));
        };
        match read_text(path, MAX_BYTES) {
            Ok(text) => Self::parse(origin, text, format),
            Err(error) => Err(Report::whole(origin, format!("cannot read the file of observers: {error}"))),
        }
    }

    /// Reads a text.
    pub fn parse(origin: impl Into<String>, text: impl Into<String>, format: Format) -> Result<Self, Report> {
        let document = Document::parse(origin, text, format)?;
        let findings = Findings::default();
        let mut reader =
            Reader { document: &document, findings: &findings, warnings: Vec::new(), unsaid: HashSet::new() };
        let observers = reader.observers();
        let Reader { warnings, unsaid, .. } = reader;
        let problems = findings.into_problems();
        Ok(Self { file: ObserverFile { document, observers, warnings, unsaid }, problems })
    }

    /// The file, if nothing is wrong with it; its plugins are not asked.
    pub fn finish(self) -> Result<ObserverFile, Report> {
        if self.problems.is_empty() { Ok(self.file) } else { Err(self.file.document.report(self.problems)) }
    }

    /// The file, if its plugins accept it too, and what is probably not meant. The error has all that is wrong, whoever found it.
    pub async fn check(self, catalog: &Catalog) -> Result<(ObserverFile, Report), Report> {
        let Self { file, mut problems } = self;
        let (found, warnings) = file.examine(catalog).await;
        // What was wrong when it was read is reported in those words.
        let is_new = |problem: &Problem| !problems.iter().any(|known| explains(&known.path, &problem.path));
        let found: Vec<_> = found.into_iter().filter(is_new).collect();
        problems.extend(found);
        if problems.is_empty() {
            let warnings = file.document.report(warnings);
            Ok((file, warnings))
        } else {
            Err(file.document.report(problems))
        }
    }
}

/// Whether a problem at `known` explains one at `path`: that of a key explains those of its value and what is within it. One of a whole action
/// or observer explains nothing of its keys.
fn explains(known: &str, path: &str) -> bool {
    let within = path.strip_prefix(known);
    !known.ends_with(']') && within.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_of_a_key_explains_those_within_it() {
        let action = "observers[0].actions[1]";
        for (known, path, expected) in [
            (".batch", ".batch.max_items", true),
            (".batch.max_items", ".batch.max_items", true),
            (".limits", ".limits_more", false),
            (".timeout_ms", ".url", false),
            ("", ".url", false),
        ] {
            assert_eq!(explains(&format!("{action}{known}"), &format!("{action}{path}")), expected, "{path}");
        }
    }
}
