//! Takes secrets out of what comes back: a destination may repeat what it was sent, and guests, logs and tables are told
//! what it said.

use bytes::{Bytes, BytesMut};
use memchr::memmem;

use super::handle::Handles;

/// What stands in the place of a secret.
const REDACTED: &[u8] = b"[secret]";

/// Shorter ones stand in honest answers by chance.
const SHORTEST_BYTES: usize = 4;

impl Handles {
    /// The same bytes without any secret of this action. Bytes that hold none, which is almost all, are not copied.
    pub(crate) fn redact(&self, mut bytes: Bytes) -> Bytes {
        for entry in self.all() {
            let secret = entry.secret.expose().as_bytes();
            if secret.len() >= SHORTEST_BYTES && memmem::find(&bytes, secret).is_some() {
                bytes = replace(&bytes, secret);
            }
        }
        bytes
    }
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

    #[test]
    fn every_occurrence_is_replaced() {
        assert_eq!(replace(b"a s3cr3t and s3cr3t", b"s3cr3t"), &b"a [secret] and [secret]"[..]);
    }
}
