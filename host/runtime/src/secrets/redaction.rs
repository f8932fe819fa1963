//! Takes secrets out of what comes back: a destination may repeat what it was sent, and guests, logs and tables are told
//! what it said.

use std::{ops::Range, sync::Arc};

use bytes::{Bytes, BytesMut};
use memchr::memmem;
use zeroize::Zeroizing;

use super::{
    handle::{Entry, Handles},
    layers,
    provider::Secret,
};

/// What stands in the place of a secret.
const REDACTED: &[u8] = b"[secret]";

impl Handles {
    /// The same bytes without any secret of this action. Bytes that hold none, which is almost all, are not copied.
    pub(crate) fn redact(&self, bytes: Bytes) -> Bytes {
        let all = self.all();
        without(bytes, &all.iter().map(|entry| &entry.secret).collect::<Vec<_>>())
    }

    /// A text for people without any secret of this action.
    pub(crate) fn redact_text(&self, text: String) -> String {
        let told = self.redact(Bytes::from(text));
        String::from_utf8_lossy(&told).into_owned()
    }

    /// The secrets of this action that a text holds.
    pub(crate) fn found_in(&self, text: &[u8]) -> Vec<Arc<Entry>> {
        let mut all = self.all();
        all.retain(|entry| !found(text, &[&entry.secret]).is_empty());
        all
    }

    /// The same for bytes that were cut off at their end, where the beginning of a secret may stand.
    pub(crate) fn redact_cut(&self, bytes: Bytes) -> Bytes {
        let mut bytes = self.redact(bytes);
        let all = self.all();
        let spellings: Vec<_> = all.iter().flat_map(|entry| entry.secret.spellings()).collect();
        if !spellings.is_empty() {
            bytes.truncate(layers::without_open_escape(&bytes));
            bytes.truncate(before_beginning(&bytes, &spellings));
        }
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
        without(bytes, &self.0.iter().collect::<Vec<_>>())
    }

    /// A text for people, or for guests, without them.
    pub(crate) fn text(&self, text: String) -> String {
        if self.0.is_empty() {
            return text;
        }
        String::from_utf8_lossy(&self.bytes(Bytes::from(text))).into_owned()
    }
}

/// The same bytes without these secrets.
fn without(bytes: Bytes, secrets: &[&Secret]) -> Bytes {
    let found = found(&bytes, secrets);
    if found.is_empty() {
        return bytes;
    }
    let mut out = BytesMut::with_capacity(bytes.len());
    let mut written = 0;
    for Range { start, end } in found {
        // What overlaps goes as one.
        if start >= written {
            out.extend_from_slice(&bytes[written..start]);
            out.extend_from_slice(REDACTED);
        }
        written = written.max(end);
    }
    out.extend_from_slice(&bytes[written..]);
    out.freeze()
}

/// Where these secrets stand in a text, as it is and with its escapes undone; in the order of their beginnings.
fn found(text: &[u8], secrets: &[&Secret]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let spellings = || secrets.iter().flat_map(|secret| secret.spellings());
    if spellings().next().is_none() {
        return found;
    }
    for spelling in spellings() {
        found.extend(places(text, spelling).map(|at| at..at + spelling.len()));
    }
    layers::each(text, |layer| {
        for spelling in spellings() {
            for at in places(&layer.text, spelling) {
                let start = layer.places[at];
                // The next byte that does not belong to the same escape.
                let last = layer.places[at + spelling.len() - 1];
                let end = layer.places[at + spelling.len()..].iter().find(|place| **place > last);
                found.push(start..end.copied().unwrap_or(text.len()));
            }
        }
    });
    found.sort_unstable_by_key(|range| range.start);
    found
}

/// Where a spelling stands in a text. Most values of headers are shorter than most secrets.
fn places(text: &[u8], spelling: &[u8]) -> impl Iterator<Item = usize> {
    let mut from = 0;
    std::iter::from_fn(move || {
        let rest = text.get(from..).filter(|rest| rest.len() >= spelling.len())?;
        let at = from + memmem::find(rest, spelling)?;
        from = at + spelling.len();
        Some(at)
    })
}

/// How long a text is without the beginning of a secret at its end.
fn before_beginning(text: &[u8], spellings: &[&Zeroizing<Vec<u8>>]) -> usize {
    let begins = |text: &[u8]| -> usize {
        let beginning = |spelling: &[u8]| {
            (1..spelling.len()).rev().find(|length| text.ends_with(&spelling[..*length])).unwrap_or(0)
        };
        text.len() - spellings.iter().map(|spelling| beginning(spelling)).max().unwrap_or(0)
    };
    let mut kept = begins(text);
    layers::each(text, |layer| {
        if layer.is_at_end {
            let whole = layers::without_open_escape(&layer.text);
            kept = kept.min(layer.places[begins(&layer.text[..whole])]);
        }
    });
    kept
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};

    use super::*;
    use crate::secrets::{Entry, Secret};

    #[test]
    fn every_occurrence_is_replaced() {
        let secret = Secret::new("s3cr3t");
        let told = |text: &'static str| without(Bytes::from(text), &[&secret]);
        assert_eq!(told("a s3cr3t and s3cr3ts3cr3t"), &b"a [secret] and [secret][secret]"[..]);
        assert_eq!(told("a s3cr3 and s3cr"), &b"a s3cr3 and s3cr"[..]);
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

    /// Whatever writes it: each letter may be escaped, or not, in several ways, and one escape within another.
    #[test]
    fn a_secret_is_found_however_its_letters_are_escaped() {
        let handles = Handles::default();
        let secret = Secret::new("k3y/Of+all=\u{fc}");
        handles.issue(Entry { name: "S".into(), secret, destinations: Vec::new(), body: None });
        let percent: String =
            "k3y/Of+all=\u{fc}".bytes().map(|byte| format!("%{byte:02x}")).collect::<Vec<_>>().concat();
        let twice = percent.replace('%', "%25");
        let units = "k3y/Of+all=\u{fc}"
            .encode_utf16()
            .map(|unit| format!("\\u{unit:04X}"))
            .collect::<Vec<_>>()
            .concat();
        let html = "k3y/Of+all=\u{fc}"
            .chars()
            .map(|letter| format!("&#{};", u32::from(letter)))
            .collect::<Vec<_>>()
            .concat();
        let hex = percent.replace('%', "");
        let in_base64 = STANDARD_NO_PAD.encode("x:k3y%2fOf%2ball%3d%c3%bc");
        let wrapped = format!("{}\r\n{}", &in_base64[..20], &in_base64[20..]);
        let within_json = units.replace('\\', "\\\\");
        for told in [
            &percent,
            &twice,
            &units,
            &html,
            &hex,
            &hex.to_ascii_uppercase(),
            &in_base64,
            &wrapped,
            &within_json,
            "K3Y/OF+ALL=\u{fc}",
            "k3y\\/Of\\u002ball=\u{fc}",
            "k3y%2fOf&plus;all&equals;%C3%BC",
            "k3y/Of+\nall=\u{fc}",
        ] {
            let redacted = handles.redact_text(format!("before {told} after"));
            assert!(redacted.starts_with("before ") && redacted.ends_with(" after"), "{told}: {redacted}");
            assert!(redacted.contains("[secret]") && redacted.len() < 32, "{told}: {redacted}");
            // Cut anywhere, nothing of it stands there that is not also a beginning of what is no secret.
            for cut in 1..told.len() {
                let Some(beginning) = told.get(..cut) else { continue };
                let kept = handles.redact_cut(Bytes::from(format!("{}{beginning}", "-".repeat(20))));
                let kept = kept.strip_suffix(REDACTED).unwrap_or(&kept);
                assert!(kept.len() <= 20 + 4 && kept.starts_with(&[b'-'; 20]), "{told} {cut}: {kept:?}");
            }
        }
        for honest in ["100% of \\u0041 &amp; %41", "k3y/Of", "line\r\nline"] {
            assert_eq!(handles.redact_text(honest.to_owned()), honest);
        }
    }

    #[test]
    fn a_secret_is_found_in_base64_of_however_its_letters_are_escaped() {
        let handles = Handles::default();
        let secret = "k3y/Of+all=";
        let entry =
            Entry { name: "S".into(), secret: Secret::new(secret), destinations: Vec::new(), body: None };
        handles.issue(entry);
        let percent = secret.bytes().map(|byte| format!("%{byte:02x}")).collect::<Vec<_>>().concat();
        let units = secret.bytes().map(|byte| format!("\\u{byte:04x}")).collect::<Vec<_>>().concat();
        for escaped in [&percent, &units] {
            let once = STANDARD_NO_PAD.encode(format!("x:{escaped}"));
            let twice = STANDARD_NO_PAD.encode(format!("{{\"a\":\"{once}\"}}"));
            let percent_again = once.replace('A', "%41");
            for told in [&once, &twice, &percent_again] {
                let redacted = handles.redact_text(format!("before {told} after"));
                assert!(
                    redacted.starts_with("before ") && redacted.ends_with(" after"),
                    "{told}: {redacted}"
                );
                assert!(redacted.contains("[secret]") && redacted.len() < 50, "{told}: {redacted}");
            }
            for cut in 1..once.len() {
                let kept = handles.redact_cut(Bytes::from(format!("{} {}", "-".repeat(20), &once[..cut])));
                assert!(kept.len() < 21 + 16 && kept.starts_with(&[b'-'; 20]), "{escaped} {cut}: {kept:?}");
            }
        }
    }
}
