//! What is wrong with an action's configuration, for the person who wrote it.

use std::fmt;

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

impl From<ConfigProblem> for ConfigureError {
    fn from(problem: ConfigProblem) -> Self {
        Self { problems: vec![problem] }
    }
}
