//! Points in time as RFC 3339 writes them, exact to any digit. It knows texts only.

use std::cmp::Ordering;

/// A date-time of RFC 3339, section 5.6, read. `S` is `&str`, or `Box<str>` for one that is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Instant<S> {
    /// Since 0000-03-01T00:00:00Z of the Gregorian calendar. A leap second has that of the second before it.
    pub(crate) seconds: i64,
    /// Whether it lies within a leap second.
    pub(crate) leap: bool,
    /// The digits of the second's fraction, without zeros at the end.
    pub(crate) fraction: S,
}

impl<S: AsRef<str>> Instant<S> {
    pub(crate) fn borrow(&self) -> Instant<&str> {
        Instant { seconds: self.seconds, leap: self.leap, fraction: self.fraction.as_ref() }
    }
}

impl Instant<&str> {
    pub(crate) fn keep(self) -> Instant<Box<str>> {
        Instant { seconds: self.seconds, leap: self.leap, fraction: self.fraction.into() }
    }

    /// Which is later. Fractions order as texts do, because they have no zeros at the end.
    pub(crate) fn order(&self, other: &Self) -> Ordering {
        self.seconds
            .cmp(&other.seconds)
            .then(self.leap.cmp(&other.leap))
            .then_with(|| self.fraction.cmp(other.fraction))
    }
}

/// The shortest date-time: `2026-01-31T12:00:00Z`.
const SHORTEST: usize = 20;

/// A look at three characters, which nearly all texts that are no date-times fail.
pub(crate) fn is_likely(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() >= SHORTEST && bytes[4] == b'-' && bytes[13] == b':' && bytes[16] == b':'
}

/// Reads a date-time: `T`, `t` or a space between date and time, a fraction of any length, `Z`, `z` or an offset. The
/// second 60 is read where a leap second can be: in the last minute of a month, in UTC.
pub(crate) fn read(text: &str) -> Option<Instant<&str>> {
    if !is_likely(text) {
        return None;
    }
    let bytes = text.as_bytes();
    if bytes[7] != b'-' || !matches!(bytes[10], b'T' | b't' | b' ') {
        return None;
    }
    let date = Date { year: number(&bytes[..4])?, month: number(&bytes[5..7])?, day: number(&bytes[8..10])? };
    let (hour, minute, second) = (number(&bytes[11..13])?, number(&bytes[14..16])?, number(&bytes[17..19])?);
    // All bytes so far are ASCII.
    let (fraction, zone) = fraction(text.get(19..)?)?;
    let offset_minutes = offset(zone.as_bytes())?;
    if !date.exists() || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let minutes = hour * 60 + minute - offset_minutes;
    let leap = second == 60;
    if leap && !date.ends_month_at(minutes) {
        return None;
    }
    let seconds = (date.days() * 24 * 60 + minutes) * 60 + if leap { 59 } else { second };
    Some(Instant { seconds, leap, fraction: fraction.trim_end_matches('0') })
}

#[derive(Clone, Copy)]
struct Date {
    year: i64,
    month: i64,
    day: i64,
}

impl Date {
    fn exists(self) -> bool {
        (1..=12).contains(&self.month) && (1..=self.month_days()).contains(&self.day)
    }

    const fn month_days(self) -> i64 {
        match self.month {
            2 if self.year % 4 == 0 && (self.year % 100 != 0 || self.year % 400 == 0) => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        }
    }

    /// Since 0000-03-01: years begin in March, so that the leap day is the last of its year.
    const fn days(self) -> i64 {
        let (year, month) =
            if self.month > 2 { (self.year, self.month - 3) } else { (self.year - 1, self.month + 9) };
        let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
        365 * year + leap_days + (153 * month + 2) / 5 + self.day - 1
    }

    /// Whether the minute, counted from this day's begin, is the last one of a month. An offset is less than a day.
    const fn ends_month_at(self, minutes: i64) -> bool {
        (minutes == 24 * 60 - 1 && self.day == self.month_days()) || (minutes == -1 && self.day == 1)
    }
}

/// A number of few digits.
fn number(digits: &[u8]) -> Option<i64> {
    digits
        .iter()
        .try_fold(0, |number, digit| digit.is_ascii_digit().then(|| number * 10 + i64::from(digit - b'0')))
}

/// Splits `.123Z` into the digits and the zone.
fn fraction(rest: &str) -> Option<(&str, &str)> {
    let Some(rest) = rest.strip_prefix('.') else { return Some(("", rest)) };
    let end = rest.bytes().position(|byte| !byte.is_ascii_digit())?;
    (end > 0).then(|| rest.split_at(end))
}

/// The offset to UTC in minutes.
fn offset(zone: &[u8]) -> Option<i64> {
    match zone {
        [b'Z' | b'z'] => Some(0),
        [sign @ (b'+' | b'-'), hour_tens, hour_ones, b':', minute_tens, minute_ones] => {
            let (hour, minute) = (number(&[*hour_tens, *hour_ones])?, number(&[*minute_tens, *minute_ones])?);
            let minutes = (hour <= 23 && minute <= 59).then_some(hour * 60 + minute)?;
            Some(if *sign == b'-' { -minutes } else { minutes })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn order(left: &str, right: &str) -> Ordering {
        let read = |text| read(text).unwrap_or_else(|| panic!("{text}"));
        read(left).order(&read(right))
    }

    #[test]
    fn one_instant_has_many_texts() {
        let texts = [
            "2026-02-01T00:00:00Z",
            "2026-02-01t00:00:00z",
            "2026-02-01 00:00:00Z",
            "2026-02-01T01:00:00+01:00",
            "2026-01-31T00:01:00-23:59",
            "2026-02-01T00:00:00.000000+00:00",
            "2026-02-01T00:00:00.0-00:00",
        ];
        for text in texts {
            assert_eq!(order(text, texts[0]), Ordering::Equal, "{text}");
        }
    }

    #[test]
    fn later_is_greater() {
        let texts = [
            "0000-01-01T00:00:00+23:59",
            "0000-01-01T00:00:00Z",
            "0000-03-01T00:00:00Z",
            "1999-12-31T23:59:59Z",
            "2000-02-29T00:00:00Z",
            "2000-03-01T00:00:00Z",
            "2016-12-31T23:59:59.9999999999999999999999999Z",
            "2016-12-31T23:59:60Z",
            "2017-01-01T00:59:60.5+01:00",
            "2017-01-01T00:00:00Z",
            "2017-01-01T00:00:00.00000000000000000000001Z",
            "2017-01-01T00:00:00.45Z",
            "2017-01-01T00:00:00.5Z",
            "9999-12-31T23:59:59-23:59",
        ];
        for pair in texts.windows(2) {
            assert_eq!(order(pair[0], pair[1]), Ordering::Less, "{pair:?}");
            assert_eq!(order(pair[1], pair[0]), Ordering::Greater, "{pair:?}");
        }
    }

    #[test]
    fn what_rfc_3339_does_not_write_is_no_instant() {
        for text in [
            "",
            "2026-02-01",
            "2026-02-01T00:00:00",
            "2026-02-01T00:00Z",
            "2026-02-01T00:00:00.Z",
            "2026-02-01T00:00:00,5Z",
            "2026-02-01T00:00:00 Z",
            "2026-02-01T00:00:00+0100",
            "2026-02-01T00:00:00+01",
            "2026-02-01T00:00:00+24:00",
            "2026-02-01T00:00:00+00:60",
            "2026-02-01T00:00:00Zx",
            "2026-02-01_00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-02-00T00:00:00Z",
            "2026-02-29T00:00:00Z",
            "1900-02-29T00:00:00Z",
            "2026-04-31T00:00:00Z",
            "2026-02-01T24:00:00Z",
            "2026-02-01T00:60:00Z",
            "2026-02-01T00:00:61Z",
            "2026-02-01T00:00:60Z",
            "2026-01-30T23:59:60Z",
            "2017-01-01T00:59:60Z",
            "+026-02-01T00:00:00Z",
            "2026-02-01T00:00:00.٣Z",
            "2026-02-01T00:00:0é",
            "infinity",
            "10000-01-01T00:00:00Z",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn agrees_with_a_calendar(micros in -62_000_000_000_000_000_i64..253_000_000_000_000_000, offset in -1439..1440_i64) {
            let at = at_offset(micros, offset);
            let utc = aftercommit_core::Timestamp::from_micros(micros).to_string();
            prop_assert_eq!(order(&at, &utc), Ordering::Equal, "{} {}", at, utc);
            let next = aftercommit_core::Timestamp::from_micros(micros + 1).to_string();
            prop_assert_eq!(order(&at, &next), Ordering::Less);
            prop_assert_eq!(order(&next, &at), Ordering::Greater);
        }

        #[test]
        fn order_is_total(texts in prop::array::uniform3(
            "20(00|16)-(01|02|12)-(01|28|31)[T ](00|23):(00|59):(00|59|60)(\\.[0-2]{1,2})?(Z|[+-](00|01|23):(00|59))"
        )) {
            let read: Vec<_> = texts.iter().filter_map(|text| read(text)).collect();
            for left in &read {
                for right in &read {
                    prop_assert_eq!(left.order(right), right.order(left).reverse());
                    prop_assert_eq!(left.order(right) == Ordering::Equal, left == right);
                    for third in &read {
                        if left.order(right).is_le() && right.order(third).is_le() {
                            prop_assert!(left.order(third).is_le());
                        }
                    }
                }
            }
        }

        #[test]
        fn never_panics(text: String, tail in "[0-9:.TtZz+ é-]{0,12}") {
            let _ = read(&text);
            let _ = read(&format!("2026-02-01T00:00:{tail}"));
        }
    }

    /// The time at an offset: the time of a clock that is `offset` minutes ahead, with the offset written behind.
    fn at_offset(micros: i64, offset: i64) -> String {
        let local = aftercommit_core::Timestamp::from_micros(micros + offset * 60_000_000).to_string();
        let sign = if offset < 0 { '-' } else { '+' };
        let (hours, minutes) = (offset.abs() / 60, offset.abs() % 60);
        format!("{}{sign}{hours:02}:{minutes:02}", local.trim_end_matches('Z'))
    }
}
