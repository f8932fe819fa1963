//! Texts that are longer than the receiver takes.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::Failure;

/// What becomes of a text that is longer than the receiver takes: a field of a configuration.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum TooLong {
    /// Nothing is sent: a permanent failure.
    #[default]
    Fail,
    /// Its end is left out.
    Cut,
}

/// The most that a receiver takes of one text.
#[derive(Clone, Copy, Debug)]
pub struct TextLimit<'a> {
    /// What the text is, for the failure: `message_template`.
    pub what: &'a str,
    /// Who takes no more.
    pub vendor: &'a str,
    /// Characters.
    pub max_chars: usize,
    /// What a cut text ends with.
    pub end: &'a str,
}

impl TextLimit<'_> {
    /// The text, as far as the receiver takes it; or the failure `too_long`.
    pub fn fit<'t>(&self, text: &'t str, too_long: TooLong) -> Result<Cow<'t, str>, Failure> {
        if text.chars().nth(self.max_chars).is_none() {
            return Ok(Cow::Borrowed(text));
        }
        match too_long {
            TooLong::Fail => {
                let length = text.chars().count();
                let message = format!(
                    "{} has {length} characters, and {} takes {}; `too_long = \"cut\"` sends the beginning",
                    self.what, self.vendor, self.max_chars
                );
                Err(Failure::permanent("too_long", message))
            }
            TooLong::Cut => {
                let kept = self.max_chars.saturating_sub(self.end.chars().count());
                Ok(Cow::Owned(text.chars().take(kept).chain(self.end.chars()).collect()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_or_refused() {
        let limit = TextLimit { what: "text", vendor: "They", max_chars: 5, end: ".." };
        for too_long in [TooLong::Fail, TooLong::Cut] {
            assert_eq!(limit.fit("añc😀e", too_long).expect("short enough"), "añc😀e");
        }
        assert_eq!(limit.fit("añc😀ef", TooLong::Cut).expect("cut"), "añc..");
        let failure = limit.fit("añc😀ef", TooLong::Fail).expect_err("too long");
        assert_eq!(failure.problem().code, "too_long");
        assert!(failure.problem().message.starts_with("text has 6 characters, and They takes 5"));
    }
}
