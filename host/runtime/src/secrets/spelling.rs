//! The forms in which a secret may stand in an answer, byte for byte. What escapes write otherwise than the secret has it is undone
//! before these are looked for (`layers`).

use base64::{
    Engine as _,
    engine::general_purpose::{GeneralPurpose, STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};
use url::{Url, form_urlencoded};
use zeroize::Zeroizing;

use super::percent::percent_encode;
use crate::templates::Escaping;

/// Shorter ones stand in honest answers by chance.
const SHORTEST_BYTES: usize = 4;
/// Shorter paths and queries of a secret URL are no secret: `/hook`.
const SHORTEST_PART_BYTES: usize = 8;

/// What the URL standard encodes in a query and in a path (1.3), and what `encodeURIComponent` encodes.
const QUERY: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'<').add(b'>');
const PATH: &AsciiSet = &QUERY.add(b'?').add(b'^').add(b'`').add(b'{').add(b'}');
const COMPONENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'!')
    .remove(b'~')
    .remove(b'*')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')');

/// A form, each once, and none that is so short that it stands anywhere.
struct Spellings(Vec<Zeroizing<Vec<u8>>>);

impl Spellings {
    fn add(&mut self, spelling: Zeroizing<Vec<u8>>) {
        if spelling.len() >= SHORTEST_BYTES && !self.0.contains(&spelling) {
            self.0.push(spelling);
        }
    }
}

/// How a secret may stand in an answer: as it was written into a request, which is how a destination that repeats what it received
/// writes it; in another case of letters; in UTF-16; and each of these in base64, such as the value of a header for basic
/// authentication (RFC 7617), or in hexadecimal. Of a secret that is a whole URL, what comes after its origin is as secret as
/// the whole.
pub(super) fn spellings(secret: &str) -> Vec<Zeroizing<Vec<u8>>> {
    let mut spellings = Spellings(Vec::new());
    for part in parts(secret) {
        if part.len() < SHORTEST_BYTES {
            continue;
        }
        let texts = texts(&part);
        for text in &texts {
            spellings.add(Zeroizing::new(text.as_bytes().to_vec()));
        }
        for text in &texts {
            for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
                for (before, shared_letters) in [(0, 0), (1, 2), (2, 3)] {
                    spellings.add(within_base64(engine, text, before, shared_letters));
                }
            }
            let hex = hex(text);
            spellings.add(Zeroizing::new(hex.to_ascii_uppercase().into_bytes()));
            spellings.add(Zeroizing::new(hex.as_bytes().to_vec()));
        }
        let wide = || part.encode_utf16();
        spellings.add(Zeroizing::new(wide().flat_map(u16::to_le_bytes).collect()));
        spellings.add(Zeroizing::new(wide().flat_map(u16::to_be_bytes).collect()));
    }
    spellings.0
}

/// The texts as which a secret is written into requests, and by programs that repeat them.
fn texts(part: &str) -> Vec<Zeroizing<String>> {
    let mut texts = vec![
        Zeroizing::new(part.to_owned()),
        Zeroizing::new(part.to_ascii_lowercase()),
        Zeroizing::new(part.to_ascii_uppercase()),
    ];
    let mut own = Zeroizing::new(String::new());
    percent_encode(part, &mut own);
    let mut encoded = vec![own];
    for set in [PATH, QUERY, COMPONENT, NON_ALPHANUMERIC] {
        encoded.push(Zeroizing::new(utf8_percent_encode(part, set).to_string()));
    }
    encoded.push(Zeroizing::new(form_urlencoded::byte_serialize(part.as_bytes()).collect()));
    for text in encoded {
        texts.push(lower_case_digits(&text));
        texts.push(text);
    }
    for escaping in [Escaping::Json, Escaping::Html] {
        let mut escaped = Zeroizing::new(String::new());
        escaping.escape_into(part, &mut escaped);
        // PHP's and Go's ways to write JSON.
        texts.push(Zeroizing::new(escaped.replace('/', "\\/")));
        let go = escaped.replace('&', "\\u0026").replace('<', "\\u003c").replace('>', "\\u003e");
        texts.push(Zeroizing::new(go));
        texts.push(escaped);
    }
    texts
}

/// The same with percent-encoded bytes in small letters, as some libraries write them.
fn lower_case_digits(encoded: &str) -> Zeroizing<String> {
    let mut out = Zeroizing::new(String::with_capacity(encoded.len()));
    let mut left = 0;
    for letter in encoded.chars() {
        out.push(if left > 0 { letter.to_ascii_lowercase() } else { letter });
        left = if letter == '%' { 2_u8 } else { left.saturating_sub(1) };
    }
    out
}

fn hex(text: &str) -> Zeroizing<String> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = text.bytes().flat_map(|byte| [byte >> 4, byte & 15]);
    Zeroizing::new(digits.map(|digit| char::from(DIGITS[usize::from(digit)])).collect())
}

/// The secret, and of a URL also what comes after its origin: together, and path and query alone.
fn parts(secret: &str) -> Vec<Zeroizing<String>> {
    let mut parts = vec![Zeroizing::new(secret.to_owned())];
    let Ok(url) = Url::parse(secret) else { return parts };
    if !matches!(url.scheme(), "http" | "https") {
        return parts;
    }
    let (path, query) = (url.path(), url.query().unwrap_or_default());
    let both = format!("{path}?{query}");
    for part in [url.as_str(), &both, path, query] {
        if part.len() >= SHORTEST_PART_BYTES && !parts.iter().any(|known| ***known == *part) {
            parts.push(Zeroizing::new(part.to_owned()));
        }
    }
    parts
}

/// There are three ways to stand in base64, by the number of bytes before it; the letters at both ends that depend on its
/// neighbours are left out.
fn within_base64(
    engine: &GeneralPurpose,
    secret: &str,
    before: usize,
    shared_letters: usize,
) -> Zeroizing<Vec<u8>> {
    let padded = Zeroizing::new([&[0; 2][..before], secret.as_bytes()].concat());
    let encoded = Zeroizing::new(engine.encode(&padded));
    let own = encoded.as_bytes().get(shared_letters..padded.len() * 8 / 6).unwrap_or_default();
    Zeroizing::new(own.to_vec())
}

#[cfg(test)]
mod tests {
    use memchr::memmem;

    use super::*;

    #[test]
    fn a_secret_within_base64_is_found_wherever_it_begins() {
        let secret = "correct horse";
        for user in ["", "a", "ab", "abc", "abcd"] {
            for sent in [secret, "correct%20horse", "correct+horse"] {
                let header = STANDARD_NO_PAD.encode(format!("{user}{sent}."));
                let spellings = spellings(secret);
                let found = spellings.iter().filter(|it| memmem::find(header.as_bytes(), it).is_some());
                assert_eq!(found.count(), 1, "{header}");
            }
        }
        assert_eq!(spellings("abc"), [] as [Zeroizing<Vec<u8>>; 0], "too short to be told from chance");
    }

    #[test]
    fn a_token_of_letters_and_digits_has_few_spellings() {
        // Each is looked for in each answer.
        assert!(spellings("ghp_0123456789abcdefABCDEF").len() <= 40);
    }

    #[test]
    fn percent_encoding_has_two_cases() {
        assert_eq!(*lower_case_digits("A%2FB%C3%BCC%"), "A%2fB%c3%bcC%");
    }
}
