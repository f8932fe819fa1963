//! What is wrong with an action's configuration, for the person who wrote it.

use std::{cell::RefCell, fmt};

use aftercommit_core::nearest;

/// One thing that is wrong, and where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConfigProblem {
    /// JSON pointer (RFC 6901) into the action; empty for the whole.
    pub pointer: String,
    /// What is wrong. Never holds a secret's value.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl ConfigProblem {
    pub(crate) fn new(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), message: message.into(), help: None }
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The same at another place.
    pub(crate) fn at(mut self, pointer: impl Into<String>) -> Self {
        self.pointer = pointer.into();
        self
    }

    /// A key that is not known at `pointer`, with the nearest of those that are.
    pub(crate) fn unknown_key<'a>(
        pointer: &str,
        key: &str,
        known: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let known: Vec<&str> = known.into_iter().collect();
        let problem =
            Self::new(format!("{pointer}/{}", escape(key)), format!("there is no key `{key}` here"));
        match nearest(key, known.iter().copied()) {
            Some(near) => problem.help(format!("did you mean `{near}`?")),
            None if known.is_empty() => problem,
            None => problem.help(format!("known keys: {}", known.join(", "))),
        }
    }
}

/// A key as a part of a JSON pointer.
pub(crate) fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

impl fmt::Display for ConfigProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.pointer.is_empty() {
            write!(f, "{}: ", self.pointer)?;
        }
        f.write_str(&self.message)?;
        match &self.help {
            Some(help) => write!(f, " ({help})"),
            None => Ok(()),
        }
    }
}

/// Collects what is wrong with an action, so that all of it is reported at once.
#[derive(Default, Debug)]
pub(crate) struct Findings(RefCell<Vec<ConfigProblem>>);

impl Findings {
    pub(crate) fn add(&self, problem: ConfigProblem) {
        self.0.borrow_mut().push(problem);
    }

    pub(crate) fn extend(&self, problems: impl IntoIterator<Item = ConfigProblem>) {
        self.0.borrow_mut().extend(problems);
    }

    /// Whether nothing is known to be wrong with the value at `pointer`, with a part of it, or with what it is a part of. What is known
    /// would be found there again in other words: a secret that is missing is no URL either.
    pub(crate) fn are_none_at(&self, pointer: &str) -> bool {
        let is_within = |inner: &str, outer: &str| {
            inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.0.borrow().iter().all(|problem| {
            // One of the whole action is of no value in particular.
            problem.pointer.is_empty()
                || !(is_within(pointer, &problem.pointer) || is_within(&problem.pointer, pointer))
        })
    }

    /// An error with all problems, if there are any.
    pub(crate) fn into_result(self) -> Result<(), ConfigureError> {
        let problems = self.0.into_inner();
        if problems.is_empty() { Ok(()) } else { Err(ConfigureError { problems }) }
    }
}

/// An action that can not be loaded: everything that is wrong with it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConfigureError {
    /// At least one.
    pub problems: Vec<ConfigProblem>,
}

impl fmt::Display for ConfigureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, problem) in self.problems.iter().enumerate() {
            if position > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigureError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_explains_the_value_its_parts_and_what_it_is_a_part_of() {
        let findings = Findings::default();
        findings.add(ConfigProblem::new("", "the whole"));
        findings.add(ConfigProblem::new("/headers/x", "wrong"));
        for (pointer, expected) in [
            ("/headers/x", false),
            ("/headers/x/0", false),
            ("/headers", false),
            ("/headers/xy", true),
            ("/head", true),
            ("/url", true),
        ] {
            assert_eq!(findings.are_none_at(pointer), expected, "{pointer}");
        }
        assert_eq!(findings.into_result().unwrap_err().problems.len(), 2);
        assert!(Findings::default().into_result().is_ok());
    }
}
