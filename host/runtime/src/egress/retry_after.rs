//! `Retry-After` (RFC 9110, 10.2.3).

use aftercommit_core::Timestamp;

/// Milliseconds from `now`: from seconds, or from an HTTP date.
pub(super) fn milliseconds(value: &str, now: Timestamp) -> Option<u64> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(value.parse::<u64>().unwrap_or(u64::MAX).saturating_mul(1000));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    let at = date.duration_since(std::time::UNIX_EPOCH).ok()?.as_millis();
    let now = u128::try_from(now.as_millis()).unwrap_or(0);
    Some(u64::try_from(at.saturating_sub(now)).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_dates() {
        let now = Timestamp::from_micros(1_700_000_000_000_000); // Tue, 14 Nov 2023 22:13:20 GMT
        assert_eq!(milliseconds("120", now), Some(120_000));
        assert_eq!(milliseconds("Tue, 14 Nov 2023 22:14:20 GMT", now), Some(60_000));
        assert_eq!(milliseconds("Tue, 14 Nov 2023 22:12:20 GMT", now), Some(0));
        assert_eq!(milliseconds("99999999999999999999999", now), Some(u64::MAX));
        assert_eq!(milliseconds("soon", now), None);
        assert_eq!(milliseconds("-1", now), None);
    }
}
