//! Whether the plugins accept what a file configures: schemas, templates, secrets, grants.

use aftercommit_runtime::ConfigProblem;

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
            let alert = Action::prepare_alert(observer, catalog).await;
            if let Some(Err(error)) = alert.map(|alert| alert.configured) {
                problems.extend(self.problems_of(position, "/alert", &error));
            }
        }
        if problems.is_empty() { Ok(()) } else { Err(self.document.report(problems)) }
    }

    fn problems_of(&self, position: usize, action: &str, error: &Error) -> Vec<Problem> {
        match error {
            Error::InvalidActionConfig(error) => {
                error.problems.iter().map(|problem| self.action_problem(position, action, problem)).collect()
            }
            Error::UnsupportedActionType { .. } | Error::PluginFailed { .. } => {
                vec![self.drawn(position, &format!("{action}/type"), &error.to_string())]
            }
            error => vec![self.drawn(position, action, &error.to_string())],
        }
    }

    fn action_problem(&self, position: usize, action: &str, problem: &ConfigProblem) -> Problem {
        let pointer = format!("{action}{}", problem.pointer);
        self.drawn(position, &pointer, &problem.message).help(problem.help.clone())
    }

    /// What follows the first line of a message is a drawing.
    fn drawn(&self, position: usize, pointer: &str, message: &str) -> Problem {
        match message.split_once('\n') {
            None => self.problem(position, pointer, message),
            Some((first, rest)) => self.problem(position, pointer, first).picture(rest),
        }
    }
}
