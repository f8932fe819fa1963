//! The half of an observer that decides which events it wants.

use std::sync::Arc;

use aftercommit_condition::{Condition, EvalError, Row, Truth};
use aftercommit_core::{EntityEvent, ObserverDefinition};

use crate::error::{Error, Result};

/// Knows which events an observer wants.
#[derive(Debug)]
pub struct Watcher {
    /// The observer's name.
    pub name: Arc<str>,
    /// The observer as written.
    pub definition: Arc<ObserverDefinition>,
    condition: Option<Condition>,
}

impl Watcher {
    /// Parses and checks the condition.
    pub fn new(definition: Arc<ObserverDefinition>) -> Result<Self> {
        let condition = match &definition.condition {
            None => None,
            Some(text) => Some(Condition::parse(text).map_err(|diagnostic| Error::InvalidCondition {
                reason: diagnostic.render(text, &origin(&definition.name), false),
            })?),
        };
        Ok(Self { name: definition.name.as_str().into(), definition, condition })
    }

    /// Whether the condition, if there is one, is true for an event of the right type and kind.
    pub fn wants(&self, event: &EntityEvent) -> std::result::Result<bool, Box<EvalError>> {
        match &self.condition {
            None => Ok(true),
            Some(condition) => Ok(condition.evaluate(&Row::from(event)).map_err(Box::new)? == Truth::True),
        }
    }

    /// What to tell a person about a condition that could not be evaluated.
    pub fn explain(&self, error: &EvalError) -> String {
        let source = self.condition.as_ref().map_or("", Condition::source);
        error.diagnostic().render(source, &origin(&self.name), false)
    }
}

/// Where a condition comes from, for its diagnostics.
fn origin(observer: &str) -> String {
    format!("condition of observer `{observer}`")
}
