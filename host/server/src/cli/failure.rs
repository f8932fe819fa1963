//! How a command fails: one message for the person, one exit code for the script. The only place that knows the codes.

use std::{
    fmt,
    io::{self, Write as _},
    process::ExitCode,
};

use aftercommit_core::plain::{plain, plain_json};
use aftercommit_store::StoreError;
use serde_json::{Value, json};

use crate::{
    document::Report,
    error::Error,
    output::{Format, color_on_stderr},
};

/// The result of a command.
pub(super) type Outcome = Result<(), Failure>;

/// The exit codes, beside 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Code {
    /// The operation failed.
    Failed = 1,
    /// Wrong usage or configuration.
    Usage = 2,
    /// The database can not be reached.
    Unreachable = 3,
}

/// A command that failed.
#[derive(Debug)]
pub(super) struct Failure {
    code: Code,
    text: String,
    /// The same with colours, where it is a drawing. Its parts were made plain before they were coloured.
    styled: Option<String>,
    /// Each problem of a file.
    problems: Vec<Value>,
}

impl Failure {
    fn new(code: Code, text: impl Into<String>) -> Self {
        Self { code, text: text.into(), styled: None, problems: Vec::new() }
    }

    /// The operation failed.
    pub(super) fn failed(text: impl Into<String>) -> Self {
        Self::new(Code::Failed, text)
    }

    /// The command line or a file is wrong.
    pub(super) fn usage(text: impl Into<String>) -> Self {
        Self::new(Code::Usage, text)
    }

    /// A diagnostic with a picture, drawn with or without colours.
    pub(super) fn drawn(code: Code, draw: impl Fn(bool) -> String) -> Self {
        Self { styled: color_on_stderr().then(|| draw(true)), ..Self::new(code, draw(false)) }
    }

    /// The same with what to do about it.
    pub(super) fn with_help(mut self, help: &str) -> Self {
        self.text = format!("{}; {help}", self.text);
        self
    }

    /// Reports it on standard error: in words, or as one line of JSON.
    pub(super) fn report(&self, format: Format) -> ExitCode {
        let mut stderr = io::stderr().lock();
        let line = match format {
            Format::Json => self.to_json(),
            Format::Table => self.to_text(),
        };
        let _ = writeln!(stderr, "{line}");
        ExitCode::from(self.code as u8)
    }

    fn to_text(&self) -> String {
        if let Some(styled) = &self.styled {
            return styled.clone();
        }
        // Diagnostics with a picture begin with their level already.
        let head = match (self.text.starts_with("error"), color_on_stderr()) {
            (true, _) => "",
            (false, true) => "\u{1b}[1;31merror\u{1b}[0m: ",
            (false, false) => "error: ",
        };
        format!("{head}{}", plain(&self.text))
    }

    fn to_json(&self) -> String {
        let mut item = json!({ "error": self.to_string(), "exit_code": self.code as u8 });
        if !self.problems.is_empty() {
            item["problems"] = Value::Array(self.problems.clone());
        }
        plain_json(&item.to_string()).into_owned()
    }
}

impl From<clap::Error> for Failure {
    /// Clap repeats the arguments as they came.
    fn from(error: clap::Error) -> Self {
        Self::usage(error.to_string().trim_end())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text.strip_prefix("error: ").unwrap_or(&self.text))
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let code = match &error {
            StoreError::Unreachable { .. } | StoreError::Missing { .. } | StoreError::Locked { .. } => {
                Code::Unreachable
            }
            StoreError::BadUrl { .. }
            | StoreError::Refused(_)
            | StoreError::Forbidden { .. }
            | StoreError::SchemaNewer { .. } => Code::Usage,
            _ => Code::Failed,
        };
        Self::new(code, error.to_string())
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let code = match error {
            Error::Database(error) => return error.into(),
            Error::InvalidConfig { .. }
            | Error::InvalidCondition { .. }
            | Error::InvalidActionConfig(_)
            | Error::TemplateRenderingFailed { .. }
            | Error::UnsupportedActionType { .. }
            | Error::PluginFailed { .. } => Code::Usage,
            Error::NoMatchingObservers { .. }
            | Error::ConditionEvaluationFailed { .. }
            | Error::ActionExecutionFailed { .. }
            | Error::ActionPermanentlyFailed { .. }
            | Error::ListenerConnectionFailed { .. }
            | Error::DlqError { .. }
            | Error::RetriesExhausted { .. } => Code::Failed,
        };
        Self::new(code, error.to_string())
    }
}

impl From<Report> for Failure {
    fn from(report: Report) -> Self {
        let problems = report.to_json();
        Self { problems, ..Self::drawn(Code::Usage, |color| report.render(color)) }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::failed(format!("cannot write the output: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use aftercommit_condition::Condition;
    use aftercommit_core::plain::is_obeyed;
    use proptest::prelude::*;

    use super::*;
    use crate::document::{Place, Problem};

    #[test]
    fn only_an_unreachable_database_is_3() {
        let locked = StoreError::Locked { database: "d".into(), why: "busy".into() };
        assert_eq!(Failure::from(Error::from(locked)).code, Code::Unreachable);
        let missing = StoreError::NotFound { what: "event", name: "x".into() };
        assert_eq!(Failure::from(missing).code, Code::Failed);
        let wrong = StoreError::BadUrl { url: "x".into(), why: "y".into() };
        assert_eq!(Failure::from(wrong).code, Code::Usage);
        let forbidden = StoreError::Forbidden { why: "no".into(), grant: Some("GRANT a TO b".into()) };
        let failure = Failure::from(Error::from(forbidden));
        assert_eq!((failure.code, &*failure.text), (Code::Usage, "no; have it granted: `GRANT a TO b`"));
    }

    proptest! {
        #[test]
        fn no_error_has_what_a_terminal_obeys(text in any::<String>()) {
            let report = Report {
                origin: text.clone(),
                text: text.clone(),
                problems: vec![
                    Problem::new(&text, &text).at(Place::Span(0..text.len())).hint(&text).help(Some(text.clone())).picture(&text),
                    Problem::new(&text, &text).at(Place::Environment(text.clone())).hint(&text),
                ],
            };
            let mut failures = vec![Failure::failed(&text), Failure::from(report)];
            if let Err(diagnostic) = Condition::parse(&text) {
                failures.push(Failure::drawn(Code::Usage, |color| diagnostic.render(&text, &text, color)));
            }
            for failure in failures {
                for shown in [failure.to_text(), failure.to_json()] {
                    prop_assert!(!shown.chars().any(is_obeyed), "{:?}", shown);
                }
            }
        }
    }
}
