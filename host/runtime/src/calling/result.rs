//! From what a guest returned to an attempt's result.

use std::time::Duration;

use aftercommit_core::{
    AttemptResult, Code, Failure, FailureClass, HostFailure, Outcome, Problem, plain::plain,
};
use serde::de::IgnoredAny;

use crate::bindings::aftercommit::action::model;

/// Reads a guest's result; one that is larger than `max_bytes` is a permanent failure. A guest does not know where redirects led its
/// request, so it is added here.
pub(crate) fn read(
    said: Result<model::Outcome, model::Failure>,
    max_bytes: u64,
    redirected_to: Option<&str>,
) -> AttemptResult {
    let size = match &said {
        Ok(outcome) => outcome.summary.len() + outcome.details.as_ref().map_or(0, String::len),
        Err(failure) => {
            let problem = problem_of(failure);
            problem.code.len() + problem.message.len()
        }
    };
    if size as u64 > max_bytes {
        let message =
            format!("the result has {size} bytes; at most {max_bytes} are taken (`limits.result_bytes`)");
        return Err(Failure::of_host(HostFailure::ResultTooLarge, message));
    }
    let whole = |text: &str| match redirected_to {
        Some(url) => format!("{} (redirected to {url})", plain(text)),
        None => plain(text).into_owned(),
    };
    match said {
        Ok(outcome) => Ok(Outcome {
            summary: whole(&outcome.summary),
            status: outcome.status,
            details: outcome.details.filter(|details| is_object(details)),
        }),
        Err(failure) => {
            let mut failure = self::failure(failure);
            failure.problem.message = whole(&failure.problem.message);
            Err(failure)
        }
    }
}

/// The action was done, so details that do not read only cost the details.
fn is_object(details: &str) -> bool {
    let object = details.trim_start().starts_with('{') && serde_json::from_str::<IgnoredAny>(details).is_ok();
    if !object {
        tracing::warn!("a plugin returned details that are not a JSON object; they are left out");
    }
    object
}

fn problem_of(failure: &model::Failure) -> &model::Problem {
    match failure {
        model::Failure::Misconfigured(problem)
        | model::Failure::Permanent(problem)
        | model::Failure::Transient(problem) => problem,
        model::Failure::Throttled(delay) => &delay.why,
    }
}

fn failure(failure: model::Failure) -> Failure {
    match failure {
        model::Failure::Misconfigured(why) => Failure::new(FailureClass::Misconfigured, problem(why)),
        model::Failure::Permanent(why) => Failure::new(FailureClass::Permanent, problem(why)),
        model::Failure::Transient(why) => Failure::new(FailureClass::Transient, problem(why)),
        model::Failure::Throttled(delay) => Failure {
            class: FailureClass::Throttled,
            problem: problem(delay.why),
            retry_after: Some(Duration::from_millis(delay.after_ms)),
        },
    }
}

fn problem(problem: model::Problem) -> Problem {
    Problem { code: Code::of_plugin(problem.code), message: problem.message, status: problem.status }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_and_codes() {
        let why = model::Problem { code: "Not A Word".into(), message: "m".into(), status: Some(429) };
        let delay = model::Delay { after_ms: 1500, why };
        let failure = read(Err(model::Failure::Throttled(delay)), 1000, None).unwrap_err();
        assert_eq!(failure.class, FailureClass::Throttled);
        assert_eq!(failure.retry_after, Some(Duration::from_millis(1500)));
        assert_eq!(failure.problem.code, HostFailure::PluginError.into());
        assert_eq!(failure.problem.status, Some(429));
    }

    #[test]
    fn a_large_result_is_refused_and_bad_details_are_left_out() {
        let outcome = |summary: &str, details: &str| {
            Ok(model::Outcome { summary: summary.into(), status: None, details: Some(details.into()) })
        };
        assert_eq!(
            read(outcome(&"x".repeat(100), "{}"), 50, None).unwrap_err().problem.code,
            HostFailure::ResultTooLarge.into()
        );
        assert_eq!(read(outcome("x", "{not"), 50, None).unwrap().details, None);
        assert_eq!(
            read(outcome("x", "{}"), 50, Some("http://a/")).unwrap().summary,
            "x (redirected to http://a/)"
        );
        assert_eq!(
            read(outcome("x", r#"{"a":1}"#), 50, None).unwrap().details.as_deref(),
            Some(r#"{"a":1}"#)
        );
    }
}
