//! Reading the body of a response. The status has arrived before it and is the answer, so a body that ends early, late or never
//! is cut and is no error: who only needs the status has it.

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, header};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::time::{Instant, timeout_at};

use super::http_stream::Traffic;

/// Why a body is not whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Cut {
    /// It is longer than the action's limit.
    TooLong,
    /// The connection ended before the body, or what came is no body.
    Early,
    /// It had not ended when its time was over.
    Late,
    /// It came in a coding that nobody asked for, and may hold a secret that is not found in it: it is withheld.
    Packed,
}

/// Whether a body is coded so that what it holds cannot be looked for (RFC 9110, 8.4; RFC 9112, 7).
pub(super) fn is_packed(headers: &HeaderMap) -> bool {
    let codings =
        |name| headers.get_all(name).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    let is_plain = |coding: &[u8]| {
        let coding = coding.trim_ascii();
        coding.is_empty()
            || [&b"identity"[..], b"chunked"].iter().any(|plain| coding.eq_ignore_ascii_case(plain))
    };
    !codings(header::CONTENT_ENCODING).chain(codings(header::TRANSFER_ENCODING)).all(is_plain)
}

/// When the body of a response whose head arrived now must have ended, in an exchange that ends at `deadline`. Half of the time is
/// left to the guest, which has to say what the status means.
pub(super) fn deadline(deadline: Instant) -> Instant {
    let now = Instant::now();
    now + deadline.saturating_duration_since(now) / 2
}

/// The body up to `room` bytes and until `deadline`, and why there is no more, if there is.
pub(super) async fn read(
    answer: &mut http::Response<Incoming>,
    room: u64,
    deadline: Instant,
) -> (Bytes, Option<Cut>) {
    let room = usize::try_from(room).unwrap_or(usize::MAX);
    let traffic = answer.extensions().get::<Traffic>().cloned().unwrap_or_default();
    // Most bodies come in one piece, which is not copied.
    let (mut one, mut several) = (Bytes::new(), BytesMut::new());
    let cut = loop {
        let frame = match timeout_at(deadline, answer.frame()).await {
            Ok(Some(Ok(frame))) => frame,
            Ok(None) => break None,
            Ok(Some(Err(_))) => break Some(Cut::Early),
            Err(_) => break Some(Cut::Late),
        };
        // A frame that is there already is taken without a look at the time, and one may be empty.
        if Instant::now() >= deadline {
            break Some(Cut::Late);
        }
        // Trailers are left out.
        let Ok(mut chunk) = frame.into_data() else { continue };
        if !chunk.is_empty() {
            traffic.note_use();
        }
        let left = room - one.len() - several.len();
        let too_long = chunk.len() > left;
        chunk.truncate(left);
        if one.is_empty() && several.is_empty() {
            one = chunk;
        } else {
            if several.is_empty() {
                several = BytesMut::from(std::mem::take(&mut one));
            }
            several.extend_from_slice(&chunk);
        }
        if too_long {
            break Some(Cut::TooLong);
        }
    };
    (if several.is_empty() { one } else { several.freeze() }, cut)
}
