//! Senders as Twilio takes them ("Messages resource", `From`; "Alphanumeric Sender ID"), and the ids of its accounts and services.

use crate::phone;

/// The longest alphanumeric sender.
const MAX_NAME: usize = 11;
/// The longest short code.
const MAX_SHORT_CODE: usize = 8;

/// What is wrong with a sender: a number, a short code or a name.
pub(crate) fn check(from: &str) -> Result<(), String> {
    if from.starts_with('+') {
        return phone::check(from);
    }
    if from.bytes().all(|byte| byte.is_ascii_digit()) {
        return match from.len() {
            1..=MAX_SHORT_CODE => Ok(()),
            0 => Err("write the sender: a number, a short code or a name".to_owned()),
            _ => Err("a number starts with + and its country code, such as +15557122661 (E.164)".to_owned()),
        };
    }
    if from.len() > MAX_NAME || !from.is_ascii() {
        return Err(format!(
            "a sender's name has at most {MAX_NAME} letters of ASCII; a number starts with +"
        ));
    }
    Ok(())
}

/// What is wrong with an id: its prefix and 32 hexadecimal digits.
pub(crate) fn check_sid(prefix: &str, sid: &str) -> Result<(), String> {
    let digits = sid.strip_prefix(prefix).unwrap_or_default();
    if digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(());
    }
    Err(format!("this is {prefix} and 32 hexadecimal digits, as Twilio's console shows it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn senders_are_numbers_short_codes_and_names() {
        for right in ["+15557122661", "12345", "AcmeShop", "Acme Shop 1"] {
            assert_eq!(check(right), Ok(()), "{right}");
        }
        for (wrong, why) in [
            ("", "write the sender"),
            ("5557122661", "starts with +"),
            ("+1 555", "holds ' '"),
            ("Acme Shop 12", "at most 11"),
            ("Größe", "ASCII"),
        ] {
            assert!(check(wrong).expect_err(wrong).contains(why), "{wrong}");
        }
    }

    #[test]
    fn ids_have_their_prefix() {
        assert_eq!(check_sid("AC", "AC00000000000000000000000000000001"), Ok(()));
        for wrong in ["SK00000000000000000000000000000001", "AC1", "AC0000000000000000000000000000000g", ""] {
            assert!(check_sid("AC", wrong).is_err(), "{wrong}");
        }
    }
}
