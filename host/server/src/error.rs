//! The one error of the library: the classes a caller can act on.

use aftercommit_core::{Failure, FailureClass, HostFailure};
use aftercommit_runtime::ConfigureError;
use aftercommit_store::StoreError;

/// The result of a library call.
pub type Result<T> = std::result::Result<T, Error>;

/// What can go wrong, by class.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The configuration, or an observer's definition, is wrong.
    #[error("{message}")]
    InvalidConfig {
        /// What is wrong and where.
        message: String,
    },
    /// No observer matches, where one was required.
    #[error("no observer matches {event_type}")]
    NoMatchingObservers {
        /// The entity type and kind of the event.
        event_type: String,
    },
    /// A condition does not parse or check.
    #[error("{reason}")]
    InvalidCondition {
        /// The diagnostic.
        reason: String,
    },
    /// A condition can not be evaluated for an event.
    #[error("{reason}")]
    ConditionEvaluationFailed {
        /// The diagnostic.
        reason: String,
    },
    /// An action's configuration is wrong: each problem with its JSON pointer.
    #[error(transparent)]
    InvalidActionConfig(#[from] ConfigureError),
    /// An action failed and may work later.
    #[error("{reason}")]
    ActionExecutionFailed {
        /// The failure.
        reason: String,
    },
    /// An action failed for good.
    #[error("{reason}")]
    ActionPermanentlyFailed {
        /// The failure.
        reason: String,
    },
    /// A template is wrong or misses a field.
    #[error("{reason}")]
    TemplateRenderingFailed {
        /// The failure.
        reason: String,
    },
    /// The database.
    #[error(transparent)]
    Database(#[from] StoreError),
    /// The event source failed.
    #[error("{reason}")]
    ListenerConnectionFailed {
        /// The failure.
        reason: String,
    },
    /// There is no plugin of that name.
    #[error("there is no plugin `{action_type}`{}", nearest.as_ref().map(|name| format!("; did you mean `{name}`?")).unwrap_or_default())]
    UnsupportedActionType {
        /// As written.
        action_type: String,
        /// The nearest known name.
        nearest: Option<String>,
    },
    /// A plugin does not load.
    #[error("plugin `{name}`: {reason}")]
    PluginFailed {
        /// The plugin's name.
        name: String,
        /// Why.
        reason: String,
    },
    /// The dead letter queue failed.
    #[error("{reason}")]
    DlqError {
        /// The failure.
        reason: String,
    },
    /// Every attempt failed.
    #[error("{reason}")]
    RetriesExhausted {
        /// The last failure.
        reason: String,
    },
}

impl Error {
    /// What an action's last failure is. `attempts` were made.
    pub(crate) fn of_failure(failure: &Failure, attempts: u32) -> Self {
        let reason = failure.to_string();
        match failure.class {
            FailureClass::Transient | FailureClass::Throttled if attempts > 1 => {
                Self::RetriesExhausted { reason: format!("{attempts} attempts: {reason}") }
            }
            FailureClass::Transient | FailureClass::Throttled => Self::ActionExecutionFailed { reason },
            FailureClass::Permanent | FailureClass::Misconfigured if is_of_template(failure) => {
                Self::TemplateRenderingFailed { reason }
            }
            FailureClass::Permanent | FailureClass::Misconfigured => Self::ActionPermanentlyFailed { reason },
        }
    }

    /// What a queue that a program brings says, whatever class it gave it.
    pub(crate) fn of_queue(self) -> Self {
        match self {
            Self::DlqError { .. } => self,
            other => Self::DlqError { reason: other.to_string() },
        }
    }

    /// What a source that a program brings says, whatever class it gave it.
    pub(crate) fn of_source(self) -> Self {
        match self {
            Self::ListenerConnectionFailed { .. } => self,
            other => Self::ListenerConnectionFailed { reason: other.to_string() },
        }
    }

    /// Whether the same call may work later.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Database(error) => error.is_transient(),
            Self::ActionExecutionFailed { .. }
            | Self::ListenerConnectionFailed { .. }
            | Self::DlqError { .. } => true,
            Self::InvalidConfig { .. }
            | Self::NoMatchingObservers { .. }
            | Self::InvalidCondition { .. }
            | Self::ConditionEvaluationFailed { .. }
            | Self::InvalidActionConfig(_)
            | Self::ActionPermanentlyFailed { .. }
            | Self::TemplateRenderingFailed { .. }
            | Self::UnsupportedActionType { .. }
            | Self::PluginFailed { .. }
            | Self::RetriesExhausted { .. } => false,
        }
    }
}

/// Whether a template did not render, in the host or by the host for the plugin.
fn is_of_template(failure: &Failure) -> bool {
    let code = &failure.problem.code;
    code.host() == Some(HostFailure::Template) || code.plugin() == Some(HostFailure::Template.code())
}

#[cfg(test)]
mod tests {
    use aftercommit_core::Problem;

    use super::*;

    #[test]
    fn each_end_of_an_action_has_its_class() {
        use FailureClass::{Misconfigured, Permanent, Throttled, Transient};
        let of = |class, code: &str, attempts| {
            Error::of_failure(&Failure::new(class, Problem::of_plugin(code, "why")), attempts)
        };
        assert!(matches!(of(Transient, "connect", 1), Error::ActionExecutionFailed { .. }));
        assert!(matches!(of(Throttled, "http_status", 3), Error::RetriesExhausted { .. }));
        assert!(matches!(of(Transient, "template", 1), Error::ActionExecutionFailed { .. }));
        assert!(matches!(of(Permanent, "template", 1), Error::TemplateRenderingFailed { .. }));
        let of_host = Error::of_failure(&Failure::of_host(HostFailure::Template, "why"), 1);
        assert!(matches!(of_host, Error::TemplateRenderingFailed { .. }));
        assert!(matches!(of(Permanent, "http_status", 2), Error::ActionPermanentlyFailed { .. }));
        assert!(matches!(of(Misconfigured, "config", 1), Error::ActionPermanentlyFailed { .. }));
        assert!(of(Transient, "connect", 1).is_transient() && !of(Transient, "connect", 2).is_transient());
    }
}
