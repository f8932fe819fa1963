//! The patterns of LIKE. `%` stands for any characters or none, `_` for exactly one, and `\` takes the meaning from
//! the character after it. It knows texts only. A match takes time linear in the text, whatever row and pattern hold.

use crate::{parse::MAX_BYTES, shift_and::Needle};

/// A pattern, read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Pattern {
    /// What the text starts with.
    first: Segment,
    /// `None` without a `%`: the first segment is the whole text.
    rest: Option<Rest>,
}

/// What comes after the first `%`.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Rest {
    /// Found in this order, each as far left as possible.
    middle: Box<[Sought]>,
    /// What the text ends with.
    last: Segment,
}

/// A segment between two `%`.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Sought {
    /// Without a `_`.
    Text(Box<str>),
    /// So many characters, whichever.
    Any(usize),
    Mixed(Needle),
}

/// A part of a pattern without `%`.
type Segment = Box<[Piece]>;

#[derive(Clone, PartialEq, Eq, Debug)]
enum Piece {
    /// Exactly this text, which is not empty.
    Text(Box<str>),
    /// Any one character.
    One,
}

/// What makes a text no pattern.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum BadPattern {
    /// It ends in `\`.
    NothingEscaped,
    /// It is longer than a condition may be: one that a row holds.
    TooLong,
}

impl Pattern {
    pub(crate) fn read(pattern: &str) -> Result<Self, BadPattern> {
        if pattern.len() > MAX_BYTES {
            return Err(BadPattern::TooLong);
        }
        let mut segments = Vec::new();
        let (mut pieces, mut text) = (Vec::new(), String::new());
        let mut characters = pattern.chars();
        while let Some(character) = characters.next() {
            match character {
                '\\' => text.push(characters.next().ok_or(BadPattern::NothingEscaped)?),
                '%' => {
                    end_text(&mut pieces, &mut text);
                    segments.push(std::mem::take(&mut pieces).into_boxed_slice());
                }
                '_' => {
                    end_text(&mut pieces, &mut text);
                    pieces.push(Piece::One);
                }
                character => text.push(character),
            }
        }
        end_text(&mut pieces, &mut text);
        let last = pieces.into_boxed_slice();
        if segments.is_empty() {
            return Ok(Self { first: last, rest: None });
        }
        let first = segments.remove(0);
        segments.retain(|segment| !segment.is_empty());
        let middle = segments.iter().map(|segment| Sought::new(segment)).collect();
        Ok(Self { first, rest: Some(Rest { middle, last }) })
    }

    /// Whether the whole text has the pattern's shape.
    pub(crate) fn matches(&self, text: &str) -> bool {
        let Some(remaining) = without_start(&self.first, text) else { return false };
        let Some(rest) = &self.rest else { return remaining.is_empty() };
        let Some(mut remaining) = without_end(&rest.last, remaining) else { return false };
        for segment in &rest.middle {
            match segment.after_first(remaining) {
                Some(after) => remaining = after,
                None => return false,
            }
        }
        true
    }
}

fn end_text(pieces: &mut Vec<Piece>, text: &mut String) {
    if !text.is_empty() {
        pieces.push(Piece::Text(std::mem::take(text).into_boxed_str()));
    }
}

/// What follows the segment, if `text` starts with it.
fn without_start<'t>(segment: &[Piece], text: &'t str) -> Option<&'t str> {
    segment.iter().try_fold(text, |text, piece| match piece {
        Piece::Text(start) => text.strip_prefix(&**start),
        Piece::One => {
            let mut characters = text.chars();
            characters.next().map(|_| characters.as_str())
        }
    })
}

/// What precedes the segment, if `text` ends with it.
fn without_end<'t>(segment: &[Piece], text: &'t str) -> Option<&'t str> {
    segment.iter().rev().try_fold(text, |text, piece| match piece {
        Piece::Text(end) => text.strip_suffix(&**end),
        Piece::One => {
            let mut characters = text.chars();
            characters.next_back().map(|_| characters.as_str())
        }
    })
}

impl Sought {
    fn new(segment: &[Piece]) -> Self {
        match segment {
            [Piece::Text(text)] => Self::Text(text.clone()),
            pieces if pieces.iter().all(|piece| *piece == Piece::One) => Self::Any(pieces.len()),
            pieces => {
                let mut characters = Vec::new();
                for piece in pieces {
                    match piece {
                        Piece::Text(text) => characters.extend(text.chars().map(Some)),
                        Piece::One => characters.push(None),
                    }
                }
                Self::Mixed(Needle::new(&characters))
            }
        }
    }

    /// What follows the leftmost place where it stands.
    fn after_first<'t>(&self, text: &'t str) -> Option<&'t str> {
        match self {
            Self::Text(sought) => text.find(&**sought).map(|start| &text[start + sought.len()..]),
            Self::Any(count) => {
                let mut characters = text.chars();
                characters.nth(count - 1).map(|_| characters.as_str())
            }
            Self::Mixed(needle) => needle.after_first(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn like(text: &str, pattern: &str) -> bool {
        Pattern::read(pattern).unwrap().matches(text)
    }

    #[test]
    fn percent_and_underscore() {
        for (text, pattern) in [
            ("", ""),
            ("", "%"),
            ("abc", "abc"),
            ("abc", "a%"),
            ("abc", "%c"),
            ("abc", "%b%"),
            ("abc", "a_c"),
            ("abc", "___"),
            ("abcbd", "a%b_"),
            ("aXbYc", "a%b%c"),
            ("ä€𝄞", "___"),
            ("ab", "%a%b%"),
            ("aab", "%a_"),
            ("xaxb", "%a_b"),
            ("xaaxbx", "%a_b%"),
            ("xäaäbä", "%__ä_%"),
            ("aXbaYbc", "%a_b%a_b%"),
        ] {
            assert!(like(text, pattern), "{text} LIKE {pattern}");
        }
        for (text, pattern) in [
            ("a", ""),
            ("", "_"),
            ("abc", "ABC"),
            ("ab", "a_b"),
            ("ab", "%ab%b"),
            ("a", "a%a"),
            ("ab", "_"),
            ("aaab", "%a_b%c"),
            ("ab", "%a_b%"),
        ] {
            assert!(!like(text, pattern), "{text} NOT LIKE {pattern}");
        }
    }

    #[test]
    fn a_backslash_takes_the_meaning_away() {
        assert!(like("100%", "100\\%"));
        assert!(!like("1000", "100\\%"));
        assert!(like("a_b", "a\\_b"));
        assert!(!like("axb", "a\\_b"));
        assert!(like("a\\b", "a\\\\b"));
        assert!(like("ab", "\\a\\b"));
        assert_eq!(Pattern::read("a\\"), Err(BadPattern::NothingEscaped));
    }

    #[test]
    fn a_pattern_is_bounded() {
        assert_eq!(Pattern::read(&"a".repeat(MAX_BYTES + 1)), Err(BadPattern::TooLong));
        let longest = "%".to_owned() + &"a_".repeat(MAX_BYTES / 2 - 1) + "%";
        assert!(like(&"a".repeat(MAX_BYTES), &longest));
        assert!(!like(&"a".repeat(MAX_BYTES - 3), &longest));
    }

    /// The definition, tried out in every way there is.
    fn reference(text: &[char], pattern: &[char]) -> bool {
        match pattern {
            [] => text.is_empty(),
            ['%', rest @ ..] => (0..=text.len()).any(|skip| reference(&text[skip..], rest)),
            ['_', rest @ ..] => !text.is_empty() && reference(&text[1..], rest),
            ['\\', literal, rest @ ..] | [literal, rest @ ..] => {
                text.first() == Some(literal) && reference(&text[1..], rest)
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn agrees_with_the_definition(text in "[abä]{0,10}", pattern in "([abä%_]|\\\\[ab%_]){0,9}") {
            let characters = |text: &str| text.chars().collect::<Vec<_>>();
            prop_assert_eq!(like(&text, &pattern), reference(&characters(&text), &characters(&pattern)));
        }
    }
}
