//! Sending one hop. A request that the destination has not processed is sent again at once: nothing has happened by it, so it is no
//! attempt. So is a request that met the end of a connection which the destination had kept idle, if it may be repeated.

use std::{
    error::Error,
    io,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Version, header};
use http_body_util::Full;
use hyper::{body::Incoming, ext::on_informational};
use hyper_util::client::legacy::{self, connect::capture_connection};
use rustix::io::Errno;

use super::{
    Client, EgressError, Permit, failure,
    http_stream::{Flood, MAX_INTERIM, Traffic},
    idle::Use,
    request::Hop,
};

/// How often a request is sent again that a server says it did not process. A server that closes each connection after ten
/// requests, of which a hundred came at once, refuses the last of them ten times.
const MAX_REFUSALS: u32 = 30;
/// How often it is sent again when its connection was gone before it. If new connections are too, that is the receiver's answer.
const MAX_UNSENT: u32 = 4;
/// After so many times there is a pause before each: the server's settings, which say what it takes at once, may be on their way.
const WITHOUT_PAUSE: u32 = 3;
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// How the HTTP client tells that it gave up a request before it had a connection for it, or got it back from one unsent: its type of
/// error says so to itself only. Two requests that connect at once and are offered HTTP/2 end so, and one whose connection closed while
/// it was handed over.
const NEVER_SENT: [&str; 3] =
    ["client error (Canceled)", "checked out connection was closed", "request was canceled"];

/// Why a request has had no effect.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Unprocessed {
    /// The server says so (RFC 9113, 8.7): by GOAWAY, or by refusing the stream.
    Refused,
    /// No byte of it was sent.
    Unsent,
    /// This process may open no more files, and so no connection: that is the host's failure and passes.
    NoFile,
}

impl Unprocessed {
    fn of(error: &legacy::Error) -> Option<Self> {
        let mut unsent = None;
        let mut cause: Option<&(dyn Error + 'static)> = Some(error);
        while let Some(inner) = cause {
            if let Some(http2) = inner.downcast_ref::<h2::Error>() {
                let refused = http2.is_reset() && http2.reason() == Some(h2::Reason::REFUSED_STREAM);
                // Streams that the server may have processed do not end with its GOAWAY.
                return (http2.is_remote() && (http2.is_go_away() || refused))
                    .then_some(Self::Refused)
                    .or(unsent);
            }
            if inner.downcast_ref::<io::Error>().is_some_and(is_lack_of_files) {
                return Some(Self::NoFile);
            }
            let is_canceled = inner.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_canceled);
            if is_canceled || NEVER_SENT.contains(&&*inner.to_string()) {
                unsent = Some(Self::Unsent);
            }
            cause = inner.source();
        }
        unsent
    }
}

/// Whether the process, or the system, has no more files to open (POSIX).
fn is_lack_of_files(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}

/// Sends it until it is answered, or fails otherwise than by not having been processed. The destination counts as used until
/// what is returned beside the answer is dropped.
pub(super) async fn send(permit: &Permit, hop: &Hop) -> Result<(http::Response<Incoming>, Use), EgressError> {
    let client = permit.client(&hop.origin);
    let mut repeats = Repeats::default();
    loop {
        let used = client.enter(&hop.origin).map_err(EgressError::Connect)?;
        let request = request(client, hop)?;
        let sent = if repeats.on_new_connection {
            client.unpooled().map_err(EgressError::Connect)?.request(request).await
        } else {
            used.http().request(request).await
        };
        let error = match sent {
            Ok(answer) => {
                if answer.version() == Version::HTTP_2 {
                    used.set_multiplexed();
                }
                taken(hop, &answer)?;
                return Ok((answer, used));
            }
            Err(error) => error,
        };
        drop(used);
        if !repeats.allow(client, hop, &error) {
            return Err(failure::of(permit, hop, &error));
        }
        tracing::debug!(destination = &*hop.shown, ?repeats, "a request is sent again within its attempt");
        if let Some(paused) = (repeats.refused + repeats.unsent).checked_sub(WITHOUT_PAUSE + 1) {
            tokio::time::sleep(Duration::from_millis(1 << paused.min(7)).min(LONGEST_PAUSE)).await;
        }
    }
}

/// How often one request was sent again, and why.
#[derive(Clone, Copy, Default, Debug)]
struct Repeats {
    refused: u32,
    unsent: u32,
    /// The connection was closed under it, so the next one is new. Once, since a new connection has not been idle.
    on_new_connection: bool,
}

impl Repeats {
    fn allow(&mut self, client: &Client, hop: &Hop, error: &legacy::Error) -> bool {
        match Unprocessed::of(error) {
            Some(Unprocessed::Refused) => counted(&mut self.refused, MAX_REFUSALS),
            Some(Unprocessed::NoFile) => {
                client.give_way();
                counted(&mut self.refused, MAX_REFUSALS)
            }
            Some(Unprocessed::Unsent) => counted(&mut self.unsent, MAX_UNSENT),
            None => {
                let may = !self.on_new_connection && met_a_close(error) && is_repeatable(hop);
                self.on_new_connection |= may;
                may
            }
        }
    }
}

/// Headers by which a receiver knows a request that it has had: of Standard Webhooks, and of draft-ietf-httpapi-idempotency-key-header.
const IDEMPOTENCY_KEYS: [&str; 2] = ["webhook-id", "idempotency-key"];

/// Whether a request may be sent again although the receiver may have processed it (RFC 9110, 9.2.2): its method, or a key that it carries, makes
/// the second harmless.
fn is_repeatable(hop: &Hop) -> bool {
    hop.method.is_idempotent() || IDEMPOTENCY_KEYS.iter().any(|key| hop.headers.contains_key(*key))
}

/// Whether a connection that had been kept was closed before any byte of an answer. A server closes idle connections at any time, and a request may be
/// on its way then (RFC 9112, 9.5). HTTP/2 says which requests it did not process.
fn met_a_close(error: &legacy::Error) -> bool {
    let Some(connected) = error.connect_info().filter(|connected| !connected.is_negotiated_h2()) else {
        return false;
    };
    if !Traffic::of(connected).is_some_and(|traffic| traffic.is_reused_and_silent()) {
        return false;
    }
    let mut cause = error.source();
    while let Some(inner) = cause {
        let is_incomplete =
            inner.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_incomplete_message);
        if is_incomplete || inner.downcast_ref::<io::Error>().is_some_and(is_close) {
            return true;
        }
        cause = inner.source();
    }
    false
}

fn is_close(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof)
}

/// Tells the connection that it has answered. Its answer does not count if there was a flood before it: whether the flood was seen in time
/// is chance.
fn taken(hop: &Hop, answer: &http::Response<Incoming>) -> Result<(), EgressError> {
    let Some(traffic) = answer.extensions().get::<Traffic>() else { return Ok(()) };
    traffic.note_answer();
    traffic.flood().map_or(Ok(()), |flood| Err(EgressError::Protocol(format!("{}: {flood}", hop.shown))))
}

/// Counts one more, unless there were as many as there may be.
fn counted(count: &mut u32, most: u32) -> bool {
    let may = *count < most;
    *count += u32::from(may);
    may
}

fn request(client: &Client, hop: &Hop) -> Result<http::Request<Full<Bytes>>, EgressError> {
    let uri = hop.url.as_str().parse::<http::Uri>().map_err(|_| {
        EgressError::InvalidRequest(format!("{}: HTTP can not be asked for this URL", hop.shown))
    })?;
    let mut request = http::Request::new(Full::new(hop.body.clone().unwrap_or_default()));
    *request.method_mut() = hop.method.clone();
    *request.uri_mut() = uri;
    let headers: &mut HeaderMap = request.headers_mut();
    *headers = hop.headers.clone();
    headers.entry(header::ACCEPT).or_insert(HeaderValue::from_static("*/*"));
    headers.entry(header::USER_AGENT).or_insert_with(|| client.user_agent().clone());
    // A length of 0 is written where a body is expected (RFC 9110, 8.6): some servers answer 411 without it.
    if hop.body.as_ref().is_none_or(Bytes::is_empty)
        && matches!(hop.method, Method::POST | Method::PUT | Method::PATCH)
    {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    bound_interim_answers(&mut request);
    Ok(request)
}

/// Ends the connection that brings too many interim answers to this request. With HTTP/2 they are not counted, and end by their bytes.
fn bound_interim_answers(request: &mut http::Request<Full<Bytes>>) {
    let connection = capture_connection(request);
    let count = AtomicU32::new(0);
    on_informational(request, move |_| {
        if count.fetch_add(1, Relaxed) >= MAX_INTERIM
            && let Some(traffic) = connection.connection_metadata().as_ref().and_then(Traffic::of)
        {
            traffic.end(Flood::Interim);
        }
    });
}
