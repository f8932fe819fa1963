//! The version of a document: when the change happened, in microseconds since 1970.

use aftercommit_plugin::Failure;

/// Microseconds of a time as events carry it: RFC 3339, UTC, up to six decimals, from 1970 on.
pub(crate) fn of(occurred_at: &str) -> Result<u64, Failure> {
    micros(occurred_at).ok_or_else(|| {
        Failure::permanent("invalid_time", format!("the event's time {occurred_at:?} is not RFC 3339 in UTC"))
    })
}

fn micros(text: &str) -> Option<u64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let [year, month, day] = numbers(date, '-')?;
    let (clock, decimals) = time.split_once('.').unwrap_or((time, ""));
    let [hour, minute, second] = numbers(clock, ':')?;
    let valid = (1970..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60
        && decimals.len() <= 6
        && decimals.bytes().all(|byte| byte.is_ascii_digit());
    if !valid {
        return None;
    }
    let micros: u64 = format!("{decimals:0<6}").parse().ok()?;
    let seconds = ((days(year, month, day) * 24 + hour) * 60 + minute) * 60 + second;
    Some(seconds * 1_000_000 + micros)
}

fn numbers(text: &str, separator: char) -> Option<[u64; 3]> {
    let mut parts = text.split(separator).map(|part| part.parse().ok());
    let found = [parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some(found)
}

/// Days since 1970-01-01 in the Gregorian calendar: years that begin in March, so that a leap day is a year's last.
const fn days(year: u64, month: u64, day: u64) -> u64 {
    let (year, month) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::micros;

    #[test]
    fn times_are_microseconds() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1970-01-01T00:00:00.000001Z", 1),
            ("2000-02-29T12:00:00.5Z", 951_825_600_500_000),
            ("2000-03-01T00:00:00Z", 951_868_800_000_000),
            ("2023-11-14T22:13:20.000000Z", 1_700_000_000_000_000),
            ("2026-01-02T03:04:05.000006Z", 1_767_323_045_000_006),
            ("2100-03-01T00:00:00Z", 4_107_542_400_000_000),
        ] {
            assert_eq!(micros(text), Some(expected), "{text}");
        }
        for wrong in [
            "",
            "2026-01-02",
            "2026-01-02T03:04:05",
            "2026-01-02T03:04:05+01:00",
            "2026-13-02T03:04:05Z",
            "2026-01-02T24:04:05Z",
            "2026-01-02T03:04:05.1234567Z",
            "1969-12-31T23:59:59Z",
        ] {
            assert_eq!(micros(wrong), None, "{wrong}");
        }
    }
}
