//! The failures that the host itself reports: one table of their codes, classes, faults and hints.
//!
//! The host makes and matches these failures as values of [`HostFailure`], never as text. The lists in `docs/actions.md` and
//! `docs/troubleshooting.md` are made of this table.

use crate::outcome::FailureClass;

/// Whose fault a failure is: only the destination's counts against the destination.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// The destination did not do its part.
    Destination,
    /// The plugin broke a rule or a bound.
    Plugin,
    /// The observer's definition, or its absence.
    Definition,
    /// The host, its machine or its database.
    Host,
    /// Not known to the host: the failure is the plugin's report of whatever it met.
    Unknown,
}

impl Fault {
    /// The name used in documentation.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Destination => "destination",
            Self::Plugin => "plugin",
            Self::Definition => "definition",
            Self::Host => "host",
            Self::Unknown => "unknown",
        }
    }
}

/// Makes the enum, the list of all its values and their entries of one table: `Name, "code", class, fault, "meaning", "hint"`.
macro_rules! table {
    ($($name:ident, $code:literal, $class:expr, $fault:ident, $meaning:literal, $hint:literal;)*) => {
        /// A failure that the host itself reports.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum HostFailure {
            $(#[doc = $meaning] $name,)*
        }

        impl HostFailure {
            /// All of them, in the order of the documentation.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The stable word for it in tables, logs and metrics.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $(Self::$name => $code),* }
            }

            /// Its class when nothing else is known of the attempt. `None` where the host does not judge: an attempt that was lost and
            /// is made again, a condition, or a failure whose class the plugin gave.
            #[must_use]
            pub const fn class(self) -> Option<FailureClass> {
                match self { $(Self::$name => $class),* }
            }

            /// Whose fault it is.
            #[must_use]
            pub const fn fault(self) -> Fault {
                match self { $(Self::$name => Fault::$fault),* }
            }

            /// What happened: one sentence of Markdown.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$name => $meaning),* }
            }

            /// The remedy for an operator, as Markdown.
            #[must_use]
            pub const fn hint(self) -> &'static str {
                match self { $(Self::$name => $hint),* }
            }
        }
    };
}

const MISCONFIGURED: Option<FailureClass> = Some(FailureClass::Misconfigured);
const PERMANENT: Option<FailureClass> = Some(FailureClass::Permanent);
const TRANSIENT: Option<FailureClass> = Some(FailureClass::Transient);

table! {
    Timeout, "timeout", TRANSIENT, Destination,
        "The attempt did not end within `timeout_ms`.",
        "If the destination is slow for a reason, raise the action's `timeout_ms` (at most 3600000). If it hangs, mend it; the host tries again by itself.";
    Certificate, "certificate", TRANSIENT, Destination,
        "The server's certificate is not trusted. Nothing was sent, no attempt was counted, and the deliveries wait.",
        "Renew the certificate at the server, or name its authority in `ca_file` of `[destinations.\"ORIGIN\"]`. Deliveries go on by themselves; `aftercommit destinations resume NAME` does it at once.";
    CpuLimit, "cpu_limit", TRANSIENT, Plugin,
        "The plugin computed for longer than `limits.cpu_ms`.",
        "Look whether the event is unusually large (`aftercommit events show ID`). If the work is needed, raise `limits.cpu_ms` of the action.";
    PluginTrap, "plugin_trap", TRANSIENT, Plugin,
        "The plugin crashed: it panicked, trapped, exited or recursed too deep.",
        "Read the message and the plugin's log lines, and give both, with the event, to the plugin's author. After a mended version: `aftercommit dlq retry ID`.";
    NoInstance, "no_instance", TRANSIENT, Host,
        "The host had no free place for an instance of the plugin.",
        "Nothing, if it is rare: the attempt is made again. Otherwise raise `max_concurrency` in `[dispatch]`.";
    SecretChanged, "secret_changed", TRANSIENT, Host,
        "The destination refused the action while one of its secrets was being replaced.",
        "Nothing: the attempt is made again with the new secret. If it stays, see with `aftercommit observers list` why the observer does not load.";
    HostLost, "host_lost", TRANSIENT, Host,
        "The host died or lost the database during the last attempt, or too many hosts died while they owned the delivery.",
        "See in the log why hosts end (memory, signals). Whether the receiver got it is not known: look there first, then `aftercommit dlq retry ID`.";
    Template, "template", PERMANENT, Definition,
        "A template could not be rendered for this event; only one that ran out of time is retried.",
        "The message names the field. Allow for absent values (`{{#if x}}`, `{{default x \"none\"}}`), apply the observer, then `aftercommit dlq retry ID`.";
    MemoryLimit, "memory_limit", PERMANENT, Plugin,
        "The plugin needed more memory than `limits.memory_mb`.",
        "Look whether the event is unusually large. Raise `limits.memory_mb` of the action, then `aftercommit dlq retry ID`.";
    HostCallLimit, "host_call_limit", PERMANENT, Plugin,
        "The plugin called the host more often than `limits.host_calls`.",
        "A loop in the plugin, or much work: raise `limits.host_calls` of the action if the plugin is right, then `aftercommit dlq retry ID`.";
    ResourceLimit, "resource_limit", PERMANENT, Plugin,
        "The plugin held more requests, streams, headers or other handles at once than the host keeps.",
        "The bound is fixed. Have the plugin's author close what is done with, then `aftercommit dlq retry ID`.";
    ResultTooLarge, "result_too_large", PERMANENT, Plugin,
        "The plugin returned, or handed to the host, more than the host takes.",
        "For a result, raise `limits.result_bytes` of the action; the effect may have happened, so look at the receiver before `aftercommit dlq retry ID`.";
    PluginAbi, "plugin_abi", PERMANENT, Plugin,
        "The plugin does not keep to the interface: text that is not UTF-8, wrong lengths or handles.",
        "The component is broken or was built with a wrong tool: `aftercommit plugin check FILE`, and give the message to its author.";
    BatchResult, "batch_result", PERMANENT, Plugin,
        "The plugin did not return one result for each delivery of its batch. Nobody knows which of them were done.",
        "Leave `batch` out of the action until the plugin is mended; look at the receiver before `aftercommit dlq retry ID`.";
    ObserverRemoved, "observer_removed", MISCONFIGURED, Definition,
        "The delivery's observer is not in the database any more.",
        "If that was a mistake, apply the observer again under the same name (`aftercommit observers apply FILE`), then `aftercommit dlq retry ID`. Otherwise `aftercommit dlq discard ID`.";
    ActionRemoved, "action_removed", MISCONFIGURED, Definition,
        "The delivery's observer has no action of this name any more.",
        "Deliveries find their action by its `name`. Give the action its former name, apply it, then `aftercommit dlq retry ID`. Otherwise `aftercommit dlq discard ID`.";
    Configuration, "configuration", MISCONFIGURED, Definition,
        "The action does not load. Only a program that embeds the library meets this; a host lets such deliveries wait.",
        "The message says what is wrong and where. Mend the action and replay the dead letter.";
    PluginError, "plugin_error", None, Unknown,
        "The plugin failed and gave no usable code: not one word in `snake_case`, or one that is the host's alone.",
        "Read the message, which is the plugin's. Have its author give a code of its own.";
    HostGone, "host_gone", None, Host,
        "The host died during the attempt, or before it. The delivery is made again; whether the attempt counts is in the message.",
        "Nothing for the delivery. See in the log and the system why the host ended.";
    LostTrack, "lost_track", None, Host,
        "A living host lost track of the attempt: an answer of the database did not come, or the end could not be written. It is made again.",
        "Nothing, if it is rare. Otherwise look at the network to the database and at its log; the host's log names statements that the database refuses.";
    HostStopped, "host_stopped", None, Host,
        "The host was stopped before the attempt ended. It is made again.",
        "Nothing. If it is frequent, raise `shutdown_grace_ms` in `[dispatch]` above the usual length of an attempt.";
    ConditionError, "condition_error", None, Definition,
        "An observer's condition could not be evaluated for the event, so no action of the observer ran for it.",
        "Try the condition on the event: `aftercommit events show ID --output json > event.json`, then `aftercommit condition eval EXPR --event event.json`. Mend and apply it; the event itself is not matched again.";
}

impl HostFailure {
    /// Those whose code plugins give too, with the same meaning: the SDK does.
    pub(crate) const SHARED: &[Self] = &[Self::Timeout, Self::Template, Self::BatchResult];

    /// The failure that has this code.
    #[must_use]
    pub fn of(code: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|failure| failure.code() == code)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn codes_are_words_and_name_one_failure_each() {
        let codes: HashSet<&str> = HostFailure::ALL.iter().map(|failure| failure.code()).collect();
        assert_eq!(codes.len(), HostFailure::ALL.len());
        for &failure in HostFailure::ALL {
            assert!(
                failure.code().bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'),
                "{failure:?}"
            );
            assert_eq!(HostFailure::of(failure.code()), Some(failure));
        }
    }
}
