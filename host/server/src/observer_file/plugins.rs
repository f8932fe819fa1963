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
    /// Prepares every action as a host would. All that is wrong is in the one report; what is not wrong but probably not meant
    /// is in the other.
    pub async fn check(&self, catalog: &Catalog) -> Result<Report, Report> {
        let (problems, warnings) = self.examine(catalog).await;
        if problems.is_empty() {
            Ok(self.document.report(warnings))
        } else {
            Err(self.document.report(problems))
        }
    }

    /// What plugins find wrong, and what is probably not meant. An action without a type has no plugin to ask.
    pub(super) async fn examine(&self, catalog: &Catalog) -> (Vec<Problem>, Vec<Problem>) {
        let (mut problems, mut warnings) = (Vec::new(), Vec::new());
        for (position, observer) in self.observers.iter().enumerate() {
            let mut prepared = Vec::new();
            for (action, written) in observer.actions.iter().enumerate() {
                if !written.plugin.is_empty() {
                    let action_at = format!("/actions/{action}");
                    prepared.push((action_at, Action::prepare(observer, action, catalog).await));
                }
            }
            let alert = Action::prepare_alert(observer, catalog).await;
            let alert = alert.filter(|alert| !alert.written.plugin.is_empty());
            prepared.extend(alert.map(|alert| ("/alert".to_owned(), alert)));
            for (pointer, action) in prepared {
                match action.configured {
                    Ok(configured) => warnings.extend(
                        configured
                            .hints()
                            .map(|hint| self.action_problem(position, &pointer, &hint).as_warning()),
                    ),
                    Err(error) => problems.extend(self.problems_of(position, &pointer, &error)),
                }
            }
        }
        (problems, warnings)
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
