//! `Retry-After` (RFC 9110, 10.2.3), as the standard writes it and as servers do.

use aftercommit_core::Timestamp;

const SECOND_MS: u64 = 1000;
const MINUTE_MS: u64 = 60 * SECOND_MS;
const HOUR_MS: u64 = 60 * MINUTE_MS;

/// Names of units that some servers write behind the number, and their milliseconds.
const UNITS: [(&str, u64); 23] = [
    ("", SECOND_MS),
    ("s", SECOND_MS),
    ("sec", SECOND_MS),
    ("secs", SECOND_MS),
    ("second", SECOND_MS),
    ("seconds", SECOND_MS),
    ("ms", 1),
    ("msec", 1),
    ("millisecond", 1),
    ("milliseconds", 1),
    ("m", MINUTE_MS),
    ("min", MINUTE_MS),
    ("mins", MINUTE_MS),
    ("minute", MINUTE_MS),
    ("minutes", MINUTE_MS),
    ("h", HOUR_MS),
    ("hr", HOUR_MS),
    ("hrs", HOUR_MS),
    ("hour", HOUR_MS),
    ("hours", HOUR_MS),
    ("d", 24 * HOUR_MS),
    ("day", 24 * HOUR_MS),
    ("days", 24 * HOUR_MS),
];

/// Milliseconds from `now`: from a number or from an HTTP date, in whole seconds, rounded up, and at least one. A server
/// that says 0, or names a time that is past by this host's clock, asks for a pause all the same. What is neither is nothing.
pub(super) fn milliseconds(value: &str, now: Timestamp) -> Option<u64> {
    let value = value.trim();
    let asked_ms = length_ms(value).or_else(|| until_ms(value, now))?;
    Some(asked_ms.div_ceil(SECOND_MS).max(1).saturating_mul(SECOND_MS))
}

/// How long it is until a date: nothing, if it is past.
fn until_ms(value: &str, now: Timestamp) -> Option<u64> {
    let date = httpdate::parse_http_date(value).ok()?;
    let at_ms = date.duration_since(std::time::UNIX_EPOCH).ok()?.as_millis();
    let now_ms = u128::try_from(now.as_millis()).unwrap_or(0);
    Some(u64::try_from(at_ms.saturating_sub(now_ms)).unwrap_or(u64::MAX))
}

/// A number, which may have a fraction and a unit. Fractions count as the next whole number: a pause may be longer.
fn length_ms(value: &str) -> Option<u64> {
    let is_number = |letter: char| letter.is_ascii_digit() || letter == '.';
    let (number, unit) = value.split_at(value.find(|letter| !is_number(letter)).unwrap_or(value.len()));
    let unit = unit.trim_start().to_ascii_lowercase();
    let &(_, unit_ms) = UNITS.iter().find(|(name, _)| *name == unit)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || fraction.contains('.') {
        return None;
    }
    // Digits only: what does not fit is too large.
    let whole = whole.parse().unwrap_or(u64::MAX);
    let has_rest = fraction.bytes().any(|digit| digit != b'0');
    Some(whole.saturating_add(u64::from(has_rest)).saturating_mul(unit_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_dates() {
        let now = Timestamp::from_micros(1_700_000_000_000_000); // Tue, 14 Nov 2023 22:13:20 GMT
        for (written, expected_ms) in [
            ("120", 120_000),
            (" 120 ", 120_000),
            ("1.5", 2000),
            ("2.0", 2000),
            ("2s", 2000),
            ("2 Seconds", 2000),
            ("0.2s", 1000),
            ("1500ms", 2000),
            ("2m", 120_000),
            ("1h", 3_600_000),
            ("2 hours", 7_200_000),
            ("1 day", 86_400_000),
            ("500 milliseconds", 1000),
            ("0", 1000),
            ("0.0", 1000),
            // The three forms of a date (RFC 9110, 5.6.7).
            ("Tue, 14 Nov 2023 22:14:20 GMT", 60_000),
            ("Tuesday, 14-Nov-23 22:14:20 GMT", 60_000),
            ("Tue Nov 14 22:14:20 2023", 60_000),
            ("Tue, 14 Nov 2023 22:12:20 GMT", 1000),
            ("Thu, 01 Jan 1970 00:00:00 GMT", 1000),
        ] {
            assert_eq!(milliseconds(written, now), Some(expected_ms), "{written}");
        }
        // Within the second: the clock is finer than the header.
        let later = Timestamp::from_micros(1_700_000_000_400_000);
        assert_eq!(milliseconds("Tue, 14 Nov 2023 22:13:22 GMT", later), Some(2000));
        let endless = milliseconds("99999999999999999999999", now).expect("a number");
        assert!(endless > u64::MAX / 2, "{endless}");
        for none in ["", "soon", "-1", "+1", "1.2.3", ".5", "1e3", "2 fortnights", "s", "NaN"] {
            assert_eq!(milliseconds(none, now), None, "{none}");
        }
    }
}
