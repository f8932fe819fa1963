//! Finds a text with gaps of single characters in another: the bit-parallel algorithm Shift-And of Baeza-Yates and
//! Gonnet ("A new approach to text searching", 1992). Each character of the text is looked at once, whatever it holds: a row
//! that repeats the start of the pattern a million times costs no more than any other.

use crate::parse::MAX_BYTES;

const BITS: usize = u64::BITS as usize;

/// Words of state for the longest pattern.
const MOST_WORDS: usize = MAX_BYTES / BITS;

/// What is sought: characters, some of which may be any.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Needle {
    /// Number of characters.
    length: usize,
    /// The class of each ASCII character: equal characters of the needle are one class, and 0 are all that it does not name.
    ascii: Box<[u16]>,
    /// The classes of other characters, in the order of the characters.
    others: Box<[(char, u16)]>,
    /// For each class `words` words: bit n is set where the class fits the needle's nth character.
    masks: Box<[u64]>,
}

impl Needle {
    /// `None` stands for any character. The needle is not empty and has at most [`MAX_BYTES`] characters.
    pub(crate) fn new(characters: &[Option<char>]) -> Self {
        debug_assert!((1..=MAX_BYTES).contains(&characters.len()), "a pattern is bounded");
        let words = characters.len().div_ceil(BITS);
        let mut named: Vec<char> = characters.iter().copied().flatten().collect();
        named.sort_unstable();
        named.dedup();
        let mut masks = vec![0; words * (named.len() + 1)];
        for (n, character) in characters.iter().enumerate() {
            let (word, bit) = (n / BITS, 1 << (n % BITS));
            match character.and_then(|character| named.binary_search(&character).ok()) {
                Some(class) => masks[(class + 1) * words + word] |= bit,
                None => masks.iter_mut().skip(word).step_by(words).for_each(|mask| *mask |= bit),
            }
        }
        let mut ascii = vec![0; 128].into_boxed_slice();
        let mut others = Vec::new();
        for (class, character) in (1..).zip(named) {
            match ascii.get_mut(character as usize) {
                Some(slot) => *slot = class,
                None => others.push((character, class)),
            }
        }
        Self { length: characters.len(), ascii, others: others.into(), masks: masks.into() }
    }

    /// What follows the first place where the needle stands.
    pub(crate) fn after_first<'t>(&self, text: &'t str) -> Option<&'t str> {
        if self.length <= BITS { self.in_one_word(text) } else { self.in_words(text) }
    }

    fn in_one_word<'t>(&self, text: &'t str) -> Option<&'t str> {
        let last = 1 << (self.length - 1);
        let mut state = 0_u64;
        let mut characters = text.chars();
        while let Some(character) = characters.next() {
            state = ((state << 1) | 1) & self.masks[self.class(character)];
            if state & last != 0 {
                return Some(characters.as_str());
            }
        }
        None
    }

    fn in_words<'t>(&self, text: &'t str) -> Option<&'t str> {
        let words = self.length.div_ceil(BITS);
        let last = 1 << ((self.length - 1) % BITS);
        let mut state = [0_u64; MOST_WORDS];
        let state = &mut state[..words];
        let mut characters = text.chars();
        while let Some(character) = characters.next() {
            let first = self.class(character) * words;
            let mut carry = 1;
            for (word, mask) in state.iter_mut().zip(&self.masks[first..]) {
                let next = *word >> (BITS - 1);
                *word = ((*word << 1) | carry) & mask;
                carry = next;
            }
            if state[words - 1] & last != 0 {
                return Some(characters.as_str());
            }
        }
        None
    }

    fn class(&self, character: char) -> usize {
        let class = match self.ascii.get(character as usize) {
            Some(class) => *class,
            None => match self.others.binary_search_by_key(&character, |(other, _)| *other) {
                Ok(found) => self.others[found].1,
                Err(_) => 0,
            },
        };
        usize::from(class)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn characters(pattern: &str) -> Vec<Option<char>> {
        pattern.chars().map(|character| (character != '_').then_some(character)).collect()
    }

    /// The definition: each place is tried.
    fn reference<'t>(pattern: &[Option<char>], text: &'t str) -> Option<&'t str> {
        let letters: Vec<_> = text.char_indices().collect();
        let start = letters.windows(pattern.len()).position(|window| {
            window
                .iter()
                .zip(pattern)
                .all(|((_, letter), wanted)| wanted.is_none_or(|wanted| wanted == *letter))
        })?;
        let end = letters.get(start + pattern.len()).map_or(text.len(), |(at, _)| *at);
        Some(&text[end..])
    }

    #[test]
    fn the_longest_pattern_has_room() {
        let pattern: String = "_".repeat(MAX_BYTES - 1) + "b";
        let needle = Needle::new(&characters(&pattern));
        let text = "a".repeat(MAX_BYTES - 1) + "bc";
        assert_eq!(needle.after_first(&text), Some("c"));
        assert_eq!(needle.after_first(&text[1..]), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn agrees_with_the_definition(pattern in "[abä_]{1,5}", text in "[abäc]{0,20}") {
            let pattern = characters(&pattern);
            prop_assert_eq!(Needle::new(&pattern).after_first(&text), reference(&pattern, &text));
        }

        /// Over the border of a word.
        #[test]
        fn agrees_when_it_is_long(pattern in "[a_]{60,140}", rest in "[ab]{0,3}", text in "[a]{50,200}[ab]{0,90}") {
            let pattern = characters(&(pattern + &rest));
            prop_assert_eq!(Needle::new(&pattern).after_first(&text), reference(&pattern, &text));
        }
    }
}
