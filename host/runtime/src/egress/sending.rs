//! Sending one hop. A request that the destination has not processed is sent again at once: nothing has happened by it, so it is no
//! attempt.

use std::{error::Error as _, io, time::Duration};

use http::{HeaderMap, HeaderValue, Method, Version, header};
use rustix::io::Errno;

use super::{EgressError, Permit, failure, idle::Use, request::Hop};

/// How often a request is sent again that a server says it did not process. A server that closes each connection after ten
/// requests, of which a hundred came at once, refuses the last of them ten times.
const MAX_REFUSALS: u32 = 30;
/// How often it is sent again when its connection was gone before it. If new connections are too, that is the receiver's answer.
const MAX_UNSENT: u32 = 4;
/// After so many times there is a pause before each: the server's settings, which say what it takes at once, may be on their way.
const WITHOUT_PAUSE: u32 = 3;
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// How the client under `reqwest` tells that it gave up a request before it had a connection for it, or got it back from one unsent: its type of
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
    fn of(error: &reqwest::Error) -> Option<Self> {
        let mut unsent = None;
        let mut cause = error.source();
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
pub(super) async fn send(permit: &Permit, hop: &Hop) -> Result<(reqwest::Response, Use), EgressError> {
    let client = permit.client(&hop.origin);
    let (mut refused, mut unsent) = (0, 0);
    loop {
        let used = client.enter(&hop.origin).map_err(EgressError::Connect)?;
        let error = match used.http().execute(request(hop)).await {
            Ok(answer) => {
                if answer.version() == Version::HTTP_2 {
                    used.set_multiplexed();
                }
                return Ok((answer, used));
            }
            Err(error) => error,
        };
        drop(used);
        let may_repeat = match Unprocessed::of(&error) {
            Some(Unprocessed::Refused) => counted(&mut refused, MAX_REFUSALS),
            Some(Unprocessed::NoFile) => {
                client.give_way();
                counted(&mut refused, MAX_REFUSALS)
            }
            Some(Unprocessed::Unsent) => counted(&mut unsent, MAX_UNSENT),
            None => false,
        };
        if !may_repeat {
            return Err(failure::of(permit, hop, error));
        }
        tracing::debug!(
            destination = &*hop.shown,
            refused,
            unsent,
            "a request was not processed and is sent again"
        );
        if let Some(paused) = (refused + unsent).checked_sub(WITHOUT_PAUSE + 1) {
            tokio::time::sleep(Duration::from_millis(1 << paused.min(7)).min(LONGEST_PAUSE)).await;
        }
    }
}

/// Counts one more, unless there were as many as there may be.
fn counted(count: &mut u32, most: u32) -> bool {
    let may = *count < most;
    *count += u32::from(may);
    may
}

fn request(hop: &Hop) -> reqwest::Request {
    let mut request = reqwest::Request::new(hop.method.clone(), hop.url.clone());
    let mut headers: HeaderMap = hop.headers.clone();
    headers.entry(header::ACCEPT).or_insert(HeaderValue::from_static("*/*"));
    *request.headers_mut() = headers;
    match &hop.body {
        Some(body) => *request.body_mut() = Some(body.clone().into()),
        // A length of 0 is written where a body is expected (RFC 9110, 8.6): some servers answer 411 without it.
        None if matches!(hop.method, Method::POST | Method::PUT | Method::PATCH) => {
            request.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        None => {}
    }
    request
}
