//! Takes secrets out of what comes back: a destination may repeat what it was sent, and guests, logs and tables are told
//! what it said.

use std::sync::Arc;

use base64::{
    Engine as _,
    engine::general_purpose::{GeneralPurpose, STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use bytes::{Bytes, BytesMut};
use memchr::memmem;
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};
use url::{Url, form_urlencoded};
use zeroize::Zeroizing;

use super::{
    handle::{Entry, Handles},
    provider::Secret,
    substitution::percent_encode,
};
use crate::templates::Escaping;

/// What stands in the place of a secret.
const REDACTED: &[u8] = b"[secret]";

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

impl Handles {
    /// The same bytes without any secret of this action. Bytes that hold none, which is almost all, are not copied.
    pub(crate) fn redact(&self, bytes: Bytes) -> Bytes {
        self.all().iter().fold(bytes, |bytes, entry| without(bytes, &entry.secret))
    }

    /// A text for people without any secret of this action.
    pub(crate) fn redact_text(&self, text: String) -> String {
        let told = self.redact(Bytes::from(text));
        String::from_utf8_lossy(&told).into_owned()
    }

    /// The secrets of this action that a text holds.
    pub(crate) fn found_in(&self, text: &[u8]) -> Vec<Arc<Entry>> {
        let stands =
            |entry: &Arc<Entry>| entry.secret.spellings().iter().any(|spelling| stands_in(text, spelling));
        self.all().into_iter().filter(stands).collect()
    }

    /// The same for bytes that were cut off at their end, where the beginning of a secret may stand.
    pub(crate) fn redact_cut(&self, bytes: Bytes) -> Bytes {
        let longest = self.all().iter().flat_map(|entry| entry.secret.spellings()).map(|it| it.len()).max();
        let mut bytes = self.redact(bytes);
        bytes.truncate(bytes.len().saturating_sub(longest.unwrap_or_default().saturating_sub(1)));
        bytes
    }
}

/// The secrets of the host's own that a configured server knows, because the host logs in with them.
#[derive(Clone, Default, Debug)]
pub(crate) struct Redaction(Vec<Secret>);

/// The user that a Redis server has when nobody made one: no secret, and a word of honest answers.
const NO_USER: &str = "default";

impl Redaction {
    /// A password, wherever it stands.
    pub(crate) fn of_password(password: &Secret) -> Self {
        Self(vec![password.clone()])
    }

    /// User name and password, and both as they are sent together (RFC 4616, 2).
    pub(crate) fn of_login(username: Option<&str>, password: &Secret) -> Self {
        let username = username.filter(|name| *name != NO_USER);
        let together = username.map(|name| Zeroizing::new(format!("\0{name}\0{}", password.expose())));
        // The longest first: what is a part of it goes with it.
        let together = together.map(Secret::from);
        Self(together.into_iter().chain([password.clone()]).chain(username.map(Secret::new)).collect())
    }

    /// The same bytes without them.
    pub(crate) fn bytes(&self, bytes: Bytes) -> Bytes {
        self.0.iter().fold(bytes, without)
    }

    /// A text for people, or for guests, without them.
    pub(crate) fn text(&self, text: String) -> String {
        if self.0.is_empty() {
            return text;
        }
        String::from_utf8_lossy(&self.bytes(Bytes::from(text))).into_owned()
    }
}

/// The same bytes without a secret.
fn without(mut bytes: Bytes, secret: &Secret) -> Bytes {
    for spelling in secret.spellings() {
        if stands_in(&bytes, spelling) {
            bytes = replace(&bytes, spelling);
        }
    }
    bytes
}

/// How a secret may stand in an answer: as it is; as it was written into a URL or a body, which is how a destination that
/// repeats what it received writes it; and as a part of something in base64, such as the value of a header for basic
/// authentication (RFC 7617). Of a secret that is a whole URL, what comes after its origin is as secret as the whole.
pub(super) fn spellings(secret: &str) -> Vec<Zeroizing<Vec<u8>>> {
    let mut spellings: Vec<Zeroizing<Vec<u8>>> = Vec::new();
    let mut add = |spelling: Zeroizing<Vec<u8>>| {
        if spelling.len() >= SHORTEST_BYTES && !spellings.contains(&spelling) {
            spellings.push(spelling);
        }
    };
    for part in parts(secret) {
        if part.len() < SHORTEST_BYTES {
            continue;
        }
        add(Zeroizing::new(part.as_bytes().to_vec()));
        let mut encoded = Zeroizing::new(String::new());
        percent_encode(&part, &mut encoded);
        add(Zeroizing::new(encoded.as_bytes().to_vec()));
        for set in [PATH, QUERY, COMPONENT] {
            add(Zeroizing::new(utf8_percent_encode(&part, set).to_string().into_bytes()));
        }
        // Forms, and the credentials of a token endpoint, which are a form's in base64.
        let form: Zeroizing<String> =
            Zeroizing::new(form_urlencoded::byte_serialize(part.as_bytes()).collect());
        add(Zeroizing::new(form.as_bytes().to_vec()));
        for escaping in [Escaping::Json, Escaping::Html] {
            let mut escaped = Zeroizing::new(String::new());
            escaping.escape_into(&part, &mut escaped);
            add(Zeroizing::new(escaped.as_bytes().to_vec()));
            // PHP's and Go's ways to write JSON.
            add(Zeroizing::new(escaped.replace('/', "\\/").into_bytes()));
            let go = escaped.replace('&', "\\u0026").replace('<', "\\u003c").replace('>', "\\u003e");
            add(Zeroizing::new(go.into_bytes()));
        }
        for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
            for text in [&part, &form] {
                for (before, shared_letters) in [(0, 0), (1, 2), (2, 3)] {
                    add(within_base64(engine, text, before, shared_letters));
                }
            }
        }
    }
    spellings
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

/// Most values of headers are shorter than most secrets.
fn stands_in(text: &[u8], spelling: &[u8]) -> bool {
    text.len() >= spelling.len() && memmem::find(text, spelling).is_some()
}

fn replace(bytes: &[u8], secret: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(bytes.len());
    let mut written = 0;
    for found in memmem::find_iter(bytes, secret) {
        out.extend_from_slice(&bytes[written..found]);
        out.extend_from_slice(REDACTED);
        written = found + secret.len();
    }
    out.extend_from_slice(&bytes[written..]);
    out.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::{Entry, Secret};

    #[test]
    fn every_occurrence_is_replaced() {
        assert_eq!(replace(b"a s3cr3t and s3cr3t", b"s3cr3t"), &b"a [secret] and [secret]"[..]);
    }

    #[test]
    fn a_login_is_taken_out_in_each_form_in_which_it_is_sent() {
        let login = Redaction::of_login(Some("keeper"), &Secret::new("hunter2 of mail"));
        let plain = STANDARD_NO_PAD.encode("\0keeper\0hunter2 of mail");
        let (user, password) = (STANDARD_NO_PAD.encode("keeper"), STANDARD_NO_PAD.encode("hunter2 of mail"));
        for told in [
            "no hunter2 of mail for keeper",
            &plain,
            &user,
            &password,
            "redis://keeper:hunter2%20of%20mail@h",
        ] {
            let redacted = login.text(told.to_owned());
            assert!(redacted.contains("[secret]"), "{told}: {redacted}");
            for trace in ["hunter2", "keeper", &plain[..8], &user[..7], &password[..8]] {
                assert!(!redacted.contains(trace), "{told}: {redacted}");
            }
        }
        let of_redis = Redaction::of_login(Some("default"), &Secret::new("hunter2"));
        assert_eq!(of_redis.text("hunter2 is not default".to_owned()), "[secret] is not default");
        assert_eq!(Redaction::default().text("hunter2".to_owned()), "hunter2");
    }

    #[test]
    fn the_beginning_of_a_secret_does_not_stand_at_a_cut() {
        let handles = Handles::default();
        let entry = |secret: &str| Entry {
            name: "S".into(),
            secret: Secret::new(secret),
            destinations: Vec::new(),
            body: None,
        };
        handles.issue(entry("s3cr3t-value"));
        for cut in 1.."s3cr3t-value".len() {
            let told =
                handles.redact_cut(Bytes::from(format!("{}{}", "x".repeat(40), &"s3cr3t-value"[..cut])));
            assert!(!told.contains(&b's') && told.starts_with(b"xxxx"), "{told:?}");
        }
        let whole = handles.redact_cut(Bytes::from(format!("s3cr3t-value{}", "x".repeat(40))));
        assert!(whole.starts_with(b"[secret]x"), "{whole:?}");
    }

    #[test]
    fn a_secret_is_found_as_it_was_written_into_a_request() {
        let handles = Handles::default();
        let secret = Secret::new("k&y \"1\"/\u{fc}+");
        handles.issue(Entry { name: "S".into(), secret, destinations: Vec::new(), body: None });
        for told in [
            "k&y \"1\"/\u{fc}+",
            "/path/k%26y%20%221%22/%C3%BC%2B/end",
            "Location: /a/k&y%20%221%22/%C3%BC+",
            "encodeURIComponent: k%26y%20%221%22%2F%C3%BC%2B",
            "key=k%26y+%221%22%2F%C3%BC%2B",
            "{\"a\":\"k&y \\\"1\\\"/\u{fc}+\"}",
            "{\"php\":\"k&y \\\"1\\\"\\/\u{fc}+\"}",
            "{\"go\":\"k\\u0026y \\\"1\\\"/\u{fc}+\"}",
            "<b>k&amp;y &quot;1&quot;/\u{fc}+</b>",
        ] {
            let redacted = handles.redact_text(told.to_owned());
            assert!(redacted.contains("[secret]") && !redacted.contains('1'), "{told}: {redacted}");
        }
    }

    #[test]
    fn what_a_secret_url_has_after_its_origin_is_secret_too() {
        let handles = Handles::default();
        let secret = Secret::new("https://Hooks.example.com/services/T0/B0?token=abcdefgh");
        handles.issue(Entry { name: "S".into(), secret, destinations: Vec::new(), body: None });
        let told = |text: &str| handles.redact_text(text.to_owned());
        assert_eq!(told("Cannot POST /services/T0/B0"), "Cannot POST [secret]");
        assert_eq!(told("no token=abcdefgh here"), "no [secret] here");
        assert_eq!(told("at https://hooks.example.com/services/T0/B0?token=abcdefgh"), "at [secret]");
        assert_eq!(told("https://hooks.example.com is down"), "https://hooks.example.com is down");
    }

    #[test]
    fn a_secret_within_base64_is_found_wherever_it_begins() {
        let secret = "correct horse";
        for user in ["", "a", "ab", "abc", "abcd"] {
            let header = STANDARD_NO_PAD.encode(format!("{user}{secret}."));
            let found =
                spellings(secret).iter().filter(|it| memmem::find(header.as_bytes(), it).is_some()).count();
            assert_eq!(found, 1, "{header}");
        }
        assert_eq!(spellings("abc"), [] as [Zeroizing<Vec<u8>>; 0], "too short to be told from chance");
    }
}
