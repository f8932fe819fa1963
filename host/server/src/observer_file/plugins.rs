//! Whether the plugins accept what a file configures: schemas, templates, secrets, grants.

use super::ObserverFile;
use crate::{
    document::{Problem, Report},
    error::Error,
    observers::Action,
    plugins::Catalog,
};

impl ObserverFile {
    /// Prepares every action as a host would. All that is wrong is in the one report.
    pub async fn check(&self, catalog: &Catalog) -> Result<(), Report> {
        let mut problems = Vec::new();
        for (position, observer) in self.observers.iter().enumerate() {
            for action in 0..observer.actions.len() {
                if let Err(error) = Action::prepare(observer, action, catalog).await.configured {
                    problems.extend(self.problems_of(position, &format!("/actions/{action}"), &error));
                }
            }
        }
        if problems.is_empty() { Ok(()) } else { Err(self.document.report(problems)) }
    }

    fn problems_of(&self, position: usize, action: &str, error: &Error) -> Vec<Problem> {
        match error {
            Error::InvalidActionConfig { reason } => split(reason)
                .into_iter()
                .map(|(pointer, message)| {
                    self.action_problem(position, &format!("{action}{pointer}"), &message)
                })
                .collect(),
            Error::UnsupportedActionType { .. } | Error::PluginFailed { .. } => {
                vec![self.action_problem(position, &format!("{action}/type"), &error.to_string())]
            }
            error => vec![self.action_problem(position, action, &error.to_string())],
        }
    }

    fn action_problem(&self, position: usize, pointer: &str, message: &str) -> Problem {
        match message.split_once('\n') {
            None => self.problem(position, pointer, message),
            Some((first, rest)) => self.problem(position, pointer, first).picture(rest),
        }
    }
}

/// The runtime writes each problem as `POINTER: MESSAGE`, on a line of its own; what follows without a pointer belongs
/// to the one before.
fn split(reason: &str) -> Vec<(String, String)> {
    let mut problems: Vec<(String, String)> = Vec::new();
    for line in reason.lines() {
        match (line.split_once(": "), problems.last_mut()) {
            (Some((pointer, message)), _) if pointer.starts_with('/') && !pointer.contains(' ') => {
                problems.push((pointer.to_owned(), message.to_owned()));
            }
            (_, Some((_, message))) => {
                message.push('\n');
                message.push_str(line);
            }
            (_, None) => problems.push((String::new(), line.to_owned())),
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_are_told_apart_by_their_pointers() {
        let told = "/url: is no URL (write one)\n/body_template: does not close\n  1 | {{x\n/headers/a: is 3";
        let split = split(told);
        assert_eq!(split.len(), 3);
        assert_eq!(split[1], ("/body_template".to_owned(), "does not close\n  1 | {{x".to_owned()));
        assert_eq!(super::split("no pointer"), [(String::new(), "no pointer".to_owned())]);
    }
}
