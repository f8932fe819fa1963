//! The one error of the library: the classes a caller can act on.

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
