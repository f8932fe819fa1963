//! What is wrong with a file, and how that is shown.

use std::fmt;

use annotate_snippets::{AnnotationKind, Level, Origin, Renderer, Snippet};

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

    fn title(&self) -> String {
        let Self { path, message, .. } = self;
        if path.is_empty() { message.clone() } else { format!("{path}: {message}") }
    }

    fn render(&self, origin: &str, text: &str, renderer: &Renderer) -> String {
        let level = if self.is_warning { Level::WARNING } else { Level::ERROR };
        let title = level.primary_title(self.title());
        let mut group = match &self.place {
            Place::Span(span) => {
                let span = span.start.min(text.len())..span.end.min(text.len());
                // A table or a long text is named by its first line.
                let first_line =
                    text.get(span.clone()).and_then(|part| part.lines().next()).map_or(0, str::len);
                let span = span.start..span.start + first_line;
                let label = (!self.hint.is_empty()).then_some(self.hint.as_str());
                title.element(
                    Snippet::source(text)
                        .path(origin)
                        .annotation(AnnotationKind::Primary.span(span).label(label)),
                )
            }
            Place::Hidden(offset) => {
                let (line, column) = line_and_column(text, *offset);
                title.element(Origin::path(origin).line(line).char_column(column))
            }
            Place::Environment(name) => title.element(Origin::path(format!("environment variable {name}"))),
            Place::Unknown => title.element(Origin::path(origin.to_owned())),
        };
        if !matches!(self.place, Place::Span(_)) && !self.hint.is_empty() {
            group = group.element(Level::HELP.message(self.hint.clone()));
        }
        if let Some(help) = &self.help {
            group = group.element(Level::HELP.message(help.clone()));
        }
        let mut shown = renderer.render(&[group]);
        if let Some(picture) = &self.picture {
            shown.push('\n');
            shown.push_str(picture.trim_end());
        }
        shown
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

    /// The report for people, the problems in the order of the text.
    #[must_use]
    pub fn render(&self, color: bool) -> String {
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        let mut problems: Vec<&Problem> = self.problems.iter().collect();
        problems.sort_by_key(|problem| match &problem.place {
            Place::Span(span) => span.start,
            Place::Hidden(offset) => *offset,
            Place::Environment(_) | Place::Unknown => usize::MAX,
        });
        problems
            .iter()
            .map(|problem| problem.render(&self.origin, &self.text, &renderer))
            .collect::<Vec<_>>()
            .join("\n\n")
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
