//! Telephone numbers as both providers take them: E.164 (ITU-T), `+` and at most 15 digits, the country code first.

/// What is wrong with a number. The number itself is not told: it is somebody's.
pub(crate) fn check(text: &str) -> Result<(), String> {
    const WANTED: &str = "write + and the country code, then digits only, such as +15558675310 (E.164)";
    let Some(digits) = text.strip_prefix('+') else {
        let start = text
            .chars()
            .next()
            .map_or_else(|| "is empty".to_owned(), |first| format!("starts with {first:?}"));
        return Err(format!("the number {start}, not with +; {WANTED}"));
    };
    if let Some(other) = digits.chars().find(|letter| !letter.is_ascii_digit()) {
        return Err(format!("the number holds {other:?}; {WANTED}"));
    }
    if digits.starts_with('0') {
        return Err(format!("no country code starts with 0; {WANTED}"));
    }
    match digits.len() {
        0 | 1 => Err(format!("the number is too short; {WANTED}")),
        2..=15 => Ok(()),
        count => Err(format!("the number has {count} digits, and E.164 allows 15; {WANTED}")),
    }
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn numbers_are_e164() {
        for right in ["+1234567890", "+15558675310", "+491711234567", "+123456789012345"] {
            assert_eq!(check(right), Ok(()), "{right}");
        }
        for (wrong, why) in [
            ("", "is empty"),
            ("01711234567", "starts with '0'"),
            ("25558675310", "starts with '2'"),
            ("+1 555 867 5310", "holds ' '"),
            ("+1(555)8675310", "holds '('"),
            ("+0171", "starts with 0"),
            ("+", "too short"),
            ("+1234567890123456", "16 digits"),
            ("+1555867531٣", "holds '٣'"),
            ("tel:+15558675310", "starts with 't'"),
        ] {
            let told = check(wrong).expect_err(wrong);
            assert!(told.contains(why) && (wrong.len() < 4 || !told.contains(wrong)), "{wrong}: {told}");
        }
    }
}
