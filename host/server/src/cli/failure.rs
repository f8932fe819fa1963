//! How a command fails: one message for the person, one exit code for the script. The only place that knows the codes.

use std::{io, process::ExitCode};

use aftercommit_store::StoreError;

use crate::{document::Report, error::Error, output::color_on_stderr};

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
}

impl Failure {
    /// The operation failed.
    pub(super) fn failed(text: impl Into<String>) -> Self {
        Self { code: Code::Failed, text: text.into() }
    }

    /// The command line or a file is wrong.
    pub(super) fn usage(text: impl Into<String>) -> Self {
        Self { code: Code::Usage, text: text.into() }
    }

    /// Tells the person.
    pub(super) fn report(&self) -> ExitCode {
        use std::io::Write as _;
        let mut stderr = io::stderr().lock();
        // Diagnostics with a picture begin with their level already.
        let plain = self.text.trim_start_matches("\u{1b}[1m").trim_start_matches("\u{1b}[91m");
        let head = match (plain.starts_with("error"), color_on_stderr()) {
            (true, _) => "",
            (false, true) => "\u{1b}[1;31merror\u{1b}[0m: ",
            (false, false) => "error: ",
        };
        let _ = writeln!(stderr, "{head}{}", self.text);
        ExitCode::from(self.code as u8)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let code = match &error {
            StoreError::Unreachable { .. } | StoreError::Locked { .. } => Code::Unreachable,
            StoreError::BadUrl { .. }
            | StoreError::Refused(_)
            | StoreError::Forbidden { .. }
            | StoreError::SchemaNewer { .. } => Code::Usage,
            _ => Code::Failed,
        };
        Self { code, text: error.to_string() }
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
        Self { code, text: error.to_string() }
    }
}

impl From<Report> for Failure {
    fn from(report: Report) -> Self {
        Self::usage(report.render(color_on_stderr()))
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::failed(format!("cannot write the output: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
