//! What is wrong with a file, and how that is shown.

use std::{fmt, ops::Range};

use aftercommit_core::{
    Masked, mask,
    plain::{plain, plain_bytes},
};
use annotate_snippets::{AnnotationKind, Level, Origin, Renderer, Snippet};
use serde_json::{Value, json};

use super::{Place, place::line_and_column};

/// One thing that is wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// Where in the document: `observers[2].actions[0]`; empty at the top.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// A few words at its place, such as what to write instead; may be empty.
    pub hint: String,
    /// More to do about it.
    pub help: Option<String>,
    /// Where in the text.
    pub place: Place,
    /// Whether it is only probably wrong.
    pub is_warning: bool,
    /// A diagnostic of the value's own language, with its own picture; shown below the rest.
    pub picture: Option<String>,
}

impl Problem {
    /// A problem without a place and a hint.
    #[must_use]
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            message: message.into(),
            hint: String::new(),
            help: None,
            place: Place::Unknown,
            is_warning: false,
            picture: None,
        }
    }

    /// The same at a place.
    #[must_use]
    pub fn at(mut self, place: Place) -> Self {
        self.place = place;
        self
    }

    /// The same with a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }

    /// The same with help.
    #[must_use]
    pub fn help(mut self, help: Option<String>) -> Self {
        self.help = help;
        self
    }

    /// The same with a picture.
    #[must_use]
    pub fn picture(mut self, picture: impl Into<String>) -> Self {
        self.picture = Some(picture.into());
        self
    }

    /// The same as a warning.
    #[must_use]
    pub fn as_warning(mut self) -> Self {
        self.is_warning = true;
        self
    }

    fn title(&self, masked: &Masked) -> String {
        let message = masked.scrub(&self.message);
        // A key may be a URL.
        if self.path.is_empty() { message } else { format!("{}: {message}", masked.scrub(&self.path)) }
    }

    fn render(&self, origin: &str, masked: &Masked, renderer: &Renderer) -> String {
        let shown = |text: &str| plain(&masked.scrub(text)).into_owned();
        let (text, origin, hint) = (masked.text.as_str(), plain(origin), shown(&self.hint));
        let level = if self.is_warning { Level::WARNING } else { Level::ERROR };
        let title = level.primary_title(plain(&self.title(masked)).into_owned());
        let mut group = match &self.place {
            Place::Span(span) => {
                let span = span.start.min(text.len())..span.end.min(text.len());
                // A table or a long text is named by its first line.
                let first_line =
                    text.get(span.clone()).and_then(|part| part.lines().next()).map_or(0, str::len);
                let span = span.start..span.start + first_line;
                let label = (!hint.is_empty()).then_some(hint.as_str());
                title.element(
                    Snippet::source(plain_bytes(text))
                        .path(origin)
                        .annotation(AnnotationKind::Primary.span(span).label(label)),
                )
            }
            Place::Hidden(offset) => {
                let (line, column) = line_and_column(text, *offset);
                title.element(Origin::path(origin).line(line).char_column(column))
            }
            Place::Environment(name) => {
                title.element(Origin::path(format!("environment variable {}", plain(name))))
            }
            Place::Unknown => title.element(Origin::path(origin)),
        };
        if !matches!(self.place, Place::Span(_)) && !hint.is_empty() {
            group = group.element(Level::HELP.message(hint.clone()));
        }
        if let Some(help) = &self.help {
            group = group.element(Level::HELP.message(shown(help)));
        }
        let mut drawn = renderer.render(&[group]);
        if let Some(picture) = &self.picture {
            drawn.push('\n');
            drawn.push_str(&shown(picture.trim_end()));
        }
        drawn
    }

    /// The same for a program; without the picture.
    fn to_json(&self, origin: &str, masked: &Masked) -> Value {
        let mut item = json!({ "path": masked.scrub(&self.path), "message": masked.scrub(&self.message) });
        match &self.place {
            Place::Span(Range { start, .. }) | Place::Hidden(start) => {
                let (line, column) = line_and_column(&masked.text, *start);
                item["file"] = origin.into();
                item["line"] = line.into();
                item["column"] = column.into();
            }
            Place::Environment(name) => item["environment"] = name.as_str().into(),
            Place::Unknown => item["file"] = origin.into(),
        }
        if !self.hint.is_empty() {
            item["hint"] = masked.scrub(&self.hint).into();
        }
        if let Some(help) = &self.help {
            item["help"] = masked.scrub(help).into();
        }
        item
    }
}

/// All that is wrong with one file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Report {
    /// What messages call the file.
    pub origin: String,
    /// The file's text.
    pub text: String,
    /// What is wrong with it.
    pub problems: Vec<Problem>,
}

impl Report {
    /// A report of one problem that concerns the file as a whole.
    #[must_use]
    pub fn whole(origin: impl Into<String>, message: impl Into<String>) -> Self {
        Self { origin: origin.into(), text: String::new(), problems: vec![Problem::new("", message)] }
    }

    /// The report for people, the problems in the order of the text. Secrets of the text are hidden, whatever is wrong with it.
    #[must_use]
    pub fn render(&self, color: bool) -> String {
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        let masked = mask(&self.text);
        let drawn: Vec<String> =
            self.in_order().iter().map(|problem| problem.render(&self.origin, &masked, &renderer)).collect();
        drawn.join("\n\n")
    }

    /// The problems for a program, in the order of the text: `path`, `message`, `file`, `line`, `column`, `hint`, `help`.
    #[must_use]
    pub fn to_json(&self) -> Vec<Value> {
        let masked = mask(&self.text);
        self.in_order().iter().map(|problem| problem.to_json(&self.origin, &masked)).collect()
    }

    fn in_order(&self) -> Vec<&Problem> {
        let mut problems: Vec<&Problem> = self.problems.iter().collect();
        problems.sort_by_key(|problem| match &problem.place {
            Place::Span(span) => span.start,
            Place::Hidden(offset) => *offset,
            Place::Environment(_) | Place::Unknown => usize::MAX,
        });
        problems
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Report {}

impl From<Report> for crate::Error {
    fn from(report: Report) -> Self {
        Self::InvalidConfig { message: report.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_points_at_the_text() {
        let problem = Problem::new("intake", "unknown key `batch`")
            .at(Place::Span(9..14))
            .hint("did you mean `batch_size`?");
        let report = Report {
            origin: "aftercommit.toml".into(),
            text: "[intake]\nbatch = 5\n".into(),
            problems: vec![problem],
        };
        insta::assert_snapshot!(report, @r"
        error: intake: unknown key `batch`
         --> aftercommit.toml:2:1
          |
        2 | batch = 5
          | ^^^^^ did you mean `batch_size`?
        ");
    }

    #[test]
    fn without_a_place_the_file_is_named() {
        let problem = Problem::new("observers[2]", "`name` is missing").hint("give it one");
        let report = Report { origin: "observers.json".into(), text: String::new(), problems: vec![problem] };
        insta::assert_snapshot!(report, @r"
        error: observers[2]: `name` is missing
        --> observers.json
         = help: give it one
        ");
    }
}
