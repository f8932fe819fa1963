//! Texts as conditions compare them: two date-times of RFC 3339 as instants, all others by code point.

use std::cmp::Ordering;

use crate::instant::{self, Instant};

/// A text to compare. `S` is `&str`, or `Box<str>` for one that is kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Text<S> {
    text: S,
    time: Time<S>,
}

/// The instant that a text writes down.
#[derive(Clone, Copy, Debug)]
enum Time<S> {
    /// Nobody asked yet: most texts of a row are never compared with a date-time.
    Unread,
    None,
    Some(Instant<S>),
}

impl Text<Box<str>> {
    /// A text of the condition itself, read once to be compared often.
    pub(crate) fn literal(text: &str) -> Self {
        let time = instant::read(text).map_or(Time::None, |instant| Time::Some(instant.keep()));
        Self { text: text.into(), time }
    }

    pub(crate) fn borrow(&self) -> Text<&str> {
        let time = match &self.time {
            Time::Unread => Time::Unread,
            Time::None => Time::None,
            Time::Some(instant) => Time::Some(instant.borrow()),
        };
        Text { text: &self.text, time }
    }
}

impl<S: AsRef<str>> Text<S> {
    pub(crate) fn as_str(&self) -> &str {
        self.text.as_ref()
    }
}

impl<'a> Text<&'a str> {
    /// A text of a row.
    pub(crate) const fn of_row(text: &'a str) -> Self {
        Self { text, time: Time::Unread }
    }

    pub(crate) fn equals(self, other: Self) -> bool {
        self.text == other.text || self.instants(other).is_some_and(|order| order == Ordering::Equal)
    }

    /// The bytes of UTF-8 order as the code points do.
    pub(crate) fn order(self, other: Self) -> Ordering {
        self.instants(other).unwrap_or_else(|| self.text.cmp(other.text))
    }

    /// The order of two date-times; `None` when one of the texts is none.
    fn instants(self, other: Self) -> Option<Ordering> {
        if !self.may_be_time() || !other.may_be_time() {
            return None;
        }
        Some(self.instant()?.order(&other.instant()?))
    }

    fn may_be_time(self) -> bool {
        match self.time {
            Time::Unread => instant::is_likely(self.text),
            Time::None => false,
            Time::Some(_) => true,
        }
    }

    fn instant(self) -> Option<Instant<&'a str>> {
        match self.time {
            Time::Unread => instant::read(self.text),
            Time::None => None,
            Time::Some(instant) => Some(instant),
        }
    }
}
