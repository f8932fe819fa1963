//! Hiding the secrets of a text that a person wrote: a configuration file, a database URL, a message that quotes either.
//!
//! It reads lines and no language, because the texts are shown when they are not what they should be: a quote is missing, a
//! bracket, a key is misspelt. When in doubt it hides.

mod carry;
mod line;
mod url;
mod word;

use std::{borrow::Cow, ops::Range};

use percent_encoding::percent_decode_str;

use carry::Carry;
use word::Keys;

pub use url::without_password;

/// A text without its secrets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Masked {
    /// The text; each byte of a secret is a `*`, so offsets into it are those of the original.
    pub text: String,
    /// What was hidden, whole and in pieces, the longest first.
    secrets: Vec<String>,
}

/// Shorter pieces of a secret are words of their own too often.
const MIN_PIECE_CHARS: usize = 4;

/// So long a secret, or one with a digit, is hidden within other words too.
const MIN_ODD_BYTES: usize = 10;

/// Words that stand for a secret in examples, and that messages need.
const PLACEHOLDERS: [&str; 6] = ["basic", "bearer", "password", "secret", "token", "user"];

/// A shorter secret is the word `a` too often.
const MIN_WHOLE_CHARS: usize = 3;

/// Hides the values of keys such as `password`, `token` and `url`, also over several lines, and credentials within URLs wherever
/// they stand. Left as they are: URLs without credentials, references (`${secret:NAME}`), names of environment variables.
///
/// ```
/// # use aftercommit_core::mask;
/// assert_eq!(mask("password = hunter2\nport = 5").text, "password = *******\nport = 5");
/// ```
#[must_use]
pub fn mask(text: &str) -> Masked {
    let (mut hidden, mut values) = (Vec::new(), Vec::new());
    let (mut carry, mut keys): (Option<Carry>, Keys<'_>) = (None, Keys::default());
    let mut start = 0;
    for full in text.split_inclusive('\n') {
        let line = full.trim_end_matches(['\n', '\r']);
        let found =
            carry.take().and_then(|carry| carry.line(line)).unwrap_or_else(|| line::secret(line, &mut keys));
        let of_text = |range: Range<usize>| start + range.start..start + range.end;
        hidden.extend(found.hidden.map(of_text));
        // Nobody quotes a comment.
        if !line.trim_start().starts_with('#') {
            values.extend(found.values.into_iter().map(of_text));
        }
        carry = found.carry;
        start += full.len();
    }
    Masked { text: starred(text, &hidden), secrets: pieces(text, &values) }
}

impl Masked {
    /// A message about the text, without what is hidden of the text and without secrets of its own.
    #[must_use]
    pub fn scrub(&self, message: &str) -> String {
        let message = self.without_pieces(message);
        // A message names keys in its sentences; only what looks like a credential is hidden of it.
        let lines = message.split('\n').map(|line| match url::credentials(line) {
            Some(found) => starred(line, &[found]),
            None => line.to_owned(),
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    fn without_pieces(&self, message: &str) -> String {
        let mut message = message.to_owned();
        for secret in &self.secrets {
            let mut from = 0;
            while let Some(at) = message.get(from..).and_then(|rest| rest.find(secret.as_str())) {
                let (start, end) = (from + at, from + at + secret.len());
                let touches = |letter: Option<char>| letter.is_some_and(char::is_alphanumeric);
                // A word may be a part of any other.
                let is_word =
                    !touches(message[..start].chars().next_back()) && !touches(message[end..].chars().next());
                let is_odd =
                    secret.len() >= MIN_ODD_BYTES || secret.bytes().any(|byte| byte.is_ascii_digit());
                if is_word || is_odd {
                    message.replace_range(start..end, "***");
                    from = start + 3;
                } else {
                    from = end;
                }
            }
        }
        message
    }
}

fn starred(text: &str, hidden: &[Range<usize>]) -> String {
    let mut starred = String::with_capacity(text.len());
    let mut end = 0;
    for range in hidden {
        starred.push_str(&text[end..range.start]);
        starred.extend(std::iter::repeat_n('*', range.len()));
        end = range.end;
    }
    starred + &text[end..]
}

/// Secrets as a message may quote them: whole, between punctuation, and decoded.
fn pieces(text: &str, values: &[Range<usize>]) -> Vec<String> {
    let mut pieces: Vec<String> = Vec::new();
    let mut add = |piece: &str, least: usize| {
        let is_placeholder = PLACEHOLDERS.contains(&piece.to_ascii_lowercase().as_str());
        if piece.chars().count() >= least && piece.chars().any(char::is_alphanumeric) && !is_placeholder {
            pieces.push(piece.to_owned());
        }
    };
    for range in values {
        let whole = text[range.clone()].trim();
        let inner = whole.trim_matches(|letter: char| "\"'`,;{}[]()| \t".contains(letter));
        add(inner, MIN_WHOLE_CHARS);
        for part in inner.split(|letter: char| ":/@?&=;, \t\"'`{}[]()\\|<>".contains(letter)) {
            add(part, MIN_PIECE_CHARS);
            if let Cow::Owned(decoded) = percent_decode_str(part).decode_utf8_lossy() {
                add(&decoded, MIN_PIECE_CHARS);
            }
        }
    }
    pieces.sort_by_key(|piece| std::cmp::Reverse(piece.len()));
    pieces.dedup();
    pieces
}

#[cfg(test)]
mod tests;
