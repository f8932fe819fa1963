//! Mailboxes as people and rows write them (RFC 5322, 3.4): an address, or a name and an address in angle brackets.

use lettre::{Address, address::AddressError, message::Mailbox};

use super::message::{one_line, shown};

/// Reads one mailbox: `a@example.com` or `Anna <a@example.com>`. A name may hold any character: it comes from a row, and is quoted
/// or encoded (RFC 2047) when the message is written. So the address begins at the last `<`.
pub(super) fn mailbox(written: &str) -> Result<Mailbox, String> {
    let written = one_line("an address", written)?;
    let no_address = || {
        format!("`{}` is not one address such as Anna <a@example.com>; several are a list", shown(&written))
    };
    let (name, address) = split(&written);
    // The mail crate's reasons ("Invalid input") say no more.
    let email = plain_address(address).map_err(|_| no_address())?;
    let name = name_of(name, address).ok_or_else(no_address)?;
    Ok(Mailbox::new((!name.is_empty()).then_some(name), email))
}

/// Whether a text is one mailbox that a message can be sent to.
pub(crate) fn check_mailbox(written: &str) -> Result<(), String> {
    mailbox(written).map(drop)
}

/// An address of which a reader learns little, for failures and outcomes, which many people read: `a***@example.com`.
pub(super) fn masked(address: &Address) -> String {
    let first: String = address.user().chars().take(1).collect();
    format!("{first}***@{}", address.domain())
}

/// Name and address, both as written.
fn split(written: &str) -> (&str, &str) {
    match written.strip_suffix('>').and_then(|rest| rest.rsplit_once('<')) {
        Some((name, address)) => (name.trim(), address.trim()),
        None => ("", written),
    }
}

/// The name without its quotes. None if it holds another address: it is a list, of which only the last would get the mail, or the place
/// of an address into which a value brought one of its own.
fn name_of(written: &str, address: &str) -> Option<String> {
    if let Some(name) = quoted(written) {
        return Some(name);
    }
    // A template may have put quotes around a name that has quotes of its own.
    let inner = written.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    (!holds_another(written, address)).then(|| inner.unwrap_or(written).trim().to_owned())
}

/// Whether a word of a name is an address, or begins as one does. Some programs write the address itself as the name.
fn holds_another(name: &str, address: &str) -> bool {
    let is_another =
        |word: &str| !word.eq_ignore_ascii_case(address) && word.find('@').is_some_and(|at| at > 0);
    name.split_whitespace().any(is_another)
}

/// The text of a whole quoted string (RFC 5322, 3.2.4).
fn quoted(written: &str) -> Option<String> {
    let inner = written.strip_prefix('"')?.strip_suffix('"')?;
    let mut text = String::with_capacity(inner.len());
    let mut letters = inner.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => text.push(letters.next()?),
            '"' => return None,
            letter => text.push(letter),
        }
    }
    Some(text.trim().to_owned())
}

/// The address with its domain in the one spelling that all servers take.
fn plain_address(written: &str) -> Result<Address, AddressError> {
    let address: Address = written.parse()?;
    if address.domain().starts_with('[') {
        return Err(AddressError::InvalidDomain);
    }
    Address::new(address.user(), plain_domain(address.domain()))
}

/// A domain in lower case and ASCII: its international form (RFC 5890) would need SMTPUTF8.
fn plain_domain(domain: &str) -> String {
    if domain.is_ascii() {
        return domain.to_ascii_lowercase();
    }
    url::Host::parse(domain).map_or_else(|_| domain.to_owned(), |host| host.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_hold_any_character_and_the_address_stands_last() {
        for (written, name) in [
            ("Doe, Jane <j@x.example>", "Doe, Jane"),
            ("\"Doe, Jane\" <j@x.example>", "Doe, Jane"),
            ("Jane \"JD\" Doe <j@x.example>", "Jane \"JD\" Doe"),
            ("\"Jane \\\"JD\\\" Doe\" <j@x.example>", "Jane \"JD\" Doe"),
            // A template put quotes around a name that has some.
            ("\"Jane \"JD\" Doe\" <j@x.example>", "Jane \"JD\" Doe"),
            ("\"a\\\" <j@x.example>", "a\\"),
            ("I <3 shops; (really) \\ @home <j@x.example>", "I <3 shops; (really) \\ @home"),
            ("Müller & Söhne, Köln <j@x.example>", "Müller & Söhne, Köln"),
            ("\"a@x.example, b@x.example\" <j@x.example>", "a@x.example, b@x.example"),
            ("=?utf-8?q?x?= <j@x.example>", "=?utf-8?q?x?="),
            ("j@x.example <j@x.example>", "j@x.example"),
        ] {
            let read = mailbox(written).unwrap_or_else(|why| panic!("{why}"));
            assert_eq!((read.name.as_deref(), read.email.as_ref()), (Some(name), "j@x.example"), "{written}");
        }
        for written in ["<j@x.example>", "\"\" < j@x.example >", "j@X.example"] {
            let read = mailbox(written).unwrap();
            assert_eq!((read.name.as_deref(), read.email.as_ref()), (None, "j@x.example"), "{written}");
        }
    }

    #[test]
    fn a_list_is_not_one_mailbox() {
        for written in [
            "a@x.example, b@x.example",
            "A <a@x.example>, B <b@x.example>",
            "\"A\" <a@x.example>, \"B\" <b@x.example>",
            "a@x.example; B <b@x.example>",
            "A <a@x.example> <b@x.example>",
            // A value in the place of a domain.
            "a@<b@x.example>",
            "a@ <b@x.example>",
            "a@y.example <b@x.example>",
        ] {
            assert!(mailbox(written).is_err(), "{written}");
        }
    }

    #[test]
    fn of_a_masked_address_the_first_letter_and_the_domain_are_left() {
        let masked = |text: &str| masked(&text.parse().unwrap());
        assert_eq!(masked("jane.doe@x.example"), "j***@x.example");
        assert_eq!(masked("用户@x.example"), "用***@x.example");
    }
}
