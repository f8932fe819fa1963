//! Takes secrets out of what comes back: a destination may repeat what it was sent, and guests, logs and tables are told
//! what it said.

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use bytes::{Bytes, BytesMut};
use memchr::memmem;
use zeroize::Zeroizing;

use super::handle::Handles;

/// What stands in the place of a secret.
const REDACTED: &[u8] = b"[secret]";

/// Shorter ones stand in honest answers by chance.
const SHORTEST_BYTES: usize = 4;

impl Handles {
    /// The same bytes without any secret of this action. Bytes that hold none, which is almost all, are not copied.
    pub(crate) fn redact(&self, mut bytes: Bytes) -> Bytes {
        for entry in self.all() {
            for spelling in entry.secret.spellings() {
                if memmem::find(&bytes, spelling).is_some() {
                    bytes = replace(&bytes, spelling);
                }
            }
        }
        bytes
    }

    /// The same for bytes that were cut off at their end, where the beginning of a secret may stand.
    pub(crate) fn redact_cut(&self, bytes: Bytes) -> Bytes {
        let longest = self.all().iter().flat_map(|entry| entry.secret.spellings()).map(|it| it.len()).max();
        let mut bytes = self.redact(bytes);
        bytes.truncate(bytes.len().saturating_sub(longest.unwrap_or_default().saturating_sub(1)));
        bytes
    }
}

/// How a secret may stand in an answer: as it is, and as a part of something in base64, such as the value of a header
/// for basic authentication (RFC 7617). There are three ways to stand in base64, by the number of bytes before it; the
/// letters at both ends that depend on its neighbours are left out.
pub(super) fn spellings(secret: &str) -> Vec<Zeroizing<Vec<u8>>> {
    if secret.len() < SHORTEST_BYTES {
        return Vec::new();
    }
    let mut spellings = vec![Zeroizing::new(secret.as_bytes().to_vec())];
    for (before, shared_letters) in [(0, 0), (1, 2), (2, 3)] {
        let padded = Zeroizing::new([&[0; 2][..before], secret.as_bytes()].concat());
        let encoded = Zeroizing::new(STANDARD_NO_PAD.encode(&padded));
        let own = encoded.as_bytes().get(shared_letters..padded.len() * 8 / 6).unwrap_or_default();
        spellings.push(Zeroizing::new(own.to_vec()));
    }
    spellings
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
