//! The code of a problem: one of the host's own failures, or a word of a plugin.

use std::fmt;

use crate::host_failure::HostFailure;

/// The longest code that a plugin may give.
const MAX_CODE_BYTES: usize = 64;

/// A short stable word in `snake_case`. What the host found and what a plugin reported are different also where they are spelled the same.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Code(Origin);

#[derive(Clone, PartialEq, Eq, Debug)]
enum Origin {
    Host(HostFailure),
    Plugin(String),
}

impl Code {
    /// The code that a plugin gave. Codes become labels of metrics and columns of tables, so one that is not a word is
    /// [`HostFailure::PluginError`]; so is one of the host's, except for the few that the SDK gives with the same meaning.
    #[must_use]
    pub fn of_plugin(word: impl Into<String>) -> Self {
        let word = word.into();
        let is_word = !word.is_empty()
            && word.len() <= MAX_CODE_BYTES
            && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        let is_free = HostFailure::of(&word).is_none_or(|failure| HostFailure::SHARED.contains(&failure));
        if is_word && is_free { Self(Origin::Plugin(word)) } else { HostFailure::PluginError.into() }
    }

    /// The host's failure, if the host found it.
    #[must_use]
    pub const fn host(&self) -> Option<HostFailure> {
        match &self.0 {
            Origin::Host(failure) => Some(*failure),
            Origin::Plugin(_) => None,
        }
    }

    /// The plugin's word, if a plugin gave it.
    #[must_use]
    pub fn plugin(&self) -> Option<&str> {
        match &self.0 {
            Origin::Host(_) => None,
            Origin::Plugin(word) => Some(word),
        }
    }

    /// The word, whoever gave it: for tables, logs and output. Decisions go by [`Code::host`] and [`Code::plugin`].
    #[must_use]
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Origin::Host(failure) => failure.code(),
            Origin::Plugin(word) => word,
        }
    }
}

impl From<HostFailure> for Code {
    fn from(failure: HostFailure) -> Self {
        Self(Origin::Host(failure))
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plugin_can_not_report_what_only_the_host_finds() {
        for &failure in HostFailure::ALL {
            let reported = Code::of_plugin(failure.code());
            if HostFailure::SHARED.contains(&failure) {
                assert_eq!((reported.host(), reported.plugin()), (None, Some(failure.code())));
            } else {
                assert_eq!(reported.host(), Some(HostFailure::PluginError), "{failure:?}");
            }
        }
    }

    #[test]
    fn the_code_of_a_plugin_is_a_word() {
        assert_eq!(Code::of_plugin("http_status").plugin(), Some("http_status"));
        for word in ["", "Not A Word", "a\n", "ä", &"x".repeat(MAX_CODE_BYTES + 1)] {
            assert_eq!(Code::of_plugin(word).host(), Some(HostFailure::PluginError), "{word:?}");
        }
    }
}
