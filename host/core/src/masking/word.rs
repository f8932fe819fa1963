//! What a key's name says of its value.

use std::collections::HashMap;

use crate::nearest;

/// What a value may hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Holds {
    /// A secret.
    Secret,
    /// The name of a secret.
    Name,
    /// An address, perhaps with credentials in it.
    Address,
}

/// Parts of the names of secrets, without `_` and `-`.
const SECRET_PARTS: [&str; 19] = [
    "passw",
    "passphrase",
    "passkey",
    "pwd",
    "secret",
    "token",
    "apikey",
    "credential",
    "authoriz",
    "privatekey",
    "signingkey",
    "accesskey",
    "encryptionkey",
    "cipherkey",
    "hexkey",
    "textkey",
    "sslkey",
    "bearer",
    "signature",
];
const SECRET_NAMES: [&str; 5] = ["password", "passwd", "passphrase", "authorization", "credentials"];
/// Names so short that a second slip makes another word of them.
const SHORT_SECRET_NAMES: [&str; 2] = ["secret", "token"];
const SECRET_WORDS: [&str; 6] = ["pass", "pw", "auth", "cookie", "pat", "sig"];

/// Parts of the names of addresses.
const ADDRESS_PARTS: [&str; 6] = ["url", "uri", "dsn", "conninfo", "connection", "datasource"];
const ADDRESS_NAMES: [&str; 4] = ["url", "uri", "dsn", "listen_url"];

/// What is known of the keys of a text: most come again and again.
#[derive(Default, Debug)]
pub(super) struct Keys<'t>(HashMap<&'t str, Option<Holds>>);

impl<'t> Keys<'t> {
    /// What the value of a key may hold; nothing to hide for most keys.
    pub(super) fn holds(&mut self, name: &'t str) -> Option<Holds> {
        *self.0.entry(name).or_insert_with(|| holds(name))
    }
}

fn holds(name: &str) -> Option<Holds> {
    // An escape can spell any letter.
    if ["\\u", "\\U", "\\x"].iter().any(|escape| name.contains(escape)) {
        return Some(Holds::Secret);
    }
    let name = name.trim_matches('\\').rsplit('.').next().unwrap_or(name).to_lowercase();
    let joined = name.replace(['_', '-'], "");
    let is_secret = SECRET_PARTS.iter().any(|part| joined.contains(part))
        || SECRET_WORDS.contains(&joined.as_str())
        || nearest(&name, SECRET_NAMES).is_some()
        || SHORT_SECRET_NAMES.iter().any(|secret| {
            name.len().abs_diff(secret.len()) <= 1 && strsim::damerau_levenshtein(&name, secret) <= 1
        });
    if joined.ends_with("env") || joined == "secrets" || joined == "reveal" {
        return Some(Holds::Name);
    }
    if is_secret && !joined.ends_with("url") {
        return Some(Holds::Secret);
    }
    let is_address =
        ADDRESS_PARTS.iter().any(|part| joined.contains(part)) || nearest(&name, ADDRESS_NAMES).is_some();
    is_address.then_some(Holds::Address)
}

/// Whether a parameter of a URL may hold a secret.
pub(super) fn is_secret_parameter(name: &str) -> bool {
    matches!(holds(name), Some(Holds::Secret))
        || matches!(name.to_lowercase().as_str(), "key" | "code" | "pin")
}

/// Whether a text holds nothing but references to secrets, names of environment variables and punctuation.
pub(super) fn is_reference(value: &str, names: bool) -> bool {
    let mut rest = value.to_owned();
    while let Some((before, after)) = rest.split_once("${secret:") {
        let Some((name, after)) = after.split_once('}') else { return false };
        if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            return false;
        }
        rest = format!("{before} {after}");
    }
    rest.split(|letter: char| !letter.is_alphanumeric() && letter != '_').filter(|word| !word.is_empty()).all(
        |word| {
            let is_name = word
                .chars()
                .all(|letter| letter.is_ascii_uppercase() || letter.is_ascii_digit() || letter == '_');
            matches!(word, "Bearer" | "Basic" | "true" | "false" | "null")
                || (names && is_name && word.starts_with(|letter: char| letter.is_ascii_uppercase()))
        },
    )
}
