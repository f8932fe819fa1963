//! Instants as texts that order as the instants do: twelve digits of seconds, one for a leap second, then the fraction
//! without zeros at the end. Both databases make them from texts and compare them by code point.

use crate::instant::Instant;

/// Seconds from where keys begin to where [`Instant`]s do: 400 years, so that nothing is negative.
const SHIFT_SECONDS: i64 = 146_097 * 86_400;

/// Seconds from where keys begin to 1970-01-01T00:00:00Z.
pub(super) const UNIX_EPOCH: i64 = SHIFT_SECONDS + 719_468 * 86_400;

/// The key of an instant that is written in the condition.
pub(super) fn key(instant: &Instant<Box<str>>) -> String {
    format!("{:012}{}{}", instant.seconds + SHIFT_SECONDS, u8::from(instant.leap), instant.fraction)
}

/// Microseconds since 1970; `None` for what PostgreSQL's `timestamptz` cannot hold.
pub(super) fn unix_micros(instant: &Instant<Box<str>>) -> Option<i64> {
    const FIRST_YEAR_BEGINS: i64 = -62_135_596_800;
    const LAST_YEAR_ENDS: i64 = 253_402_300_800;
    let seconds = instant.seconds + SHIFT_SECONDS - UNIX_EPOCH;
    if instant.leap || instant.fraction.len() > 6 || !(FIRST_YEAR_BEGINS..LAST_YEAR_ENDS).contains(&seconds) {
        return None;
    }
    Some(seconds * 1_000_000 + format!("{:0<6}", instant.fraction).parse::<i64>().ok()?)
}

#[cfg(test)]
mod tests {
    use aftercommit_core::Timestamp;

    use super::*;
    use crate::instant;

    #[test]
    fn the_epochs_are_right() {
        for text in ["1970-01-01T00:00:00Z", "2026-01-31T12:00:00.25+01:00", "0001-01-01T00:00:00Z"] {
            let read = instant::read(text).unwrap().keep();
            let at: Timestamp = text.parse().unwrap();
            assert_eq!(unix_micros(&read), Some(at.as_micros()), "{text}");
        }
        let epoch = instant::read("1970-01-01T00:00:00Z").unwrap().keep();
        assert_eq!(key(&epoch), format!("{UNIX_EPOCH:012}0"));
    }
}
