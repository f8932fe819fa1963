//! One exchange: the request, its redirects, and the response read up to its limit.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use hyper::body::Incoming;
use tokio::time::{Instant, timeout_at};

use super::{
    Bounds, Cut, Egress, EgressError, Permit, Request, Response, body, redirects::Redirects, request::method,
    retry_after, sending,
};
use crate::calling::contacts::Contact;

impl Egress {
    /// Sends a request for an action.
    pub(crate) async fn send(
        &self,
        permit: &Permit,
        request: &Request,
        bounds: Bounds,
    ) -> Result<Response, EgressError> {
        let budget = Instant::from_std(bounds.deadline);
        let deadline = match request.timeout_ms {
            Some(own) => budget.min(Instant::now() + Duration::from_millis(own.into())),
            None => budget,
        };
        timeout_at(deadline, self.exchange(permit, request, bounds.response_bytes, deadline))
            .await
            .unwrap_or(Err(EgressError::Timeout))
            .map_err(|error| error.without_secrets(permit))
    }

    async fn exchange(
        &self,
        permit: &Permit,
        request: &Request,
        response_bytes: u64,
        deadline: Instant,
    ) -> Result<Response, EgressError> {
        let first = permit.target(&request.url)?;
        let mut hop = permit.hop(request, method(&request.method)?, first, true)?;
        let mut redirects = Redirects::of(request);
        loop {
            let sent = sending::send(permit, &hop).await;
            let (answer, _used) =
                sent.map_err(|error| if redirects.followed { error.after_a_hop() } else { error })?;
            if let Some(target) = redirects.next(permit, &hop, &answer)? {
                hop = permit.hop(request, hop.method, target, redirects.with_secrets)?;
                continue;
            }
            let withhold = hop.may_repeat && body::is_packed(answer.headers());
            let mut response = self.read(answer, response_bytes, body::deadline(deadline), withhold).await;
            response.redirected_to = redirects.followed.then_some(hop.shown);
            return Ok(if request.verbatim { response } else { response.without_secrets(permit) });
        }
    }

    /// The status is the answer. What a destination says beyond the limit, or does not say in time, is not read.
    async fn read(
        &self,
        mut answer: http::Response<Incoming>,
        limit: u64,
        deadline: Instant,
        withhold: bool,
    ) -> Response {
        let status = answer.status().as_u16();
        let headers = std::mem::take(answer.headers_mut());
        let retry_after_ms = headers
            .get(header::RETRY_AFTER)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| retry_after::milliseconds(value, self.clock.now()));
        let (headers, room) = fitting(headers, limit);
        let (body, cut) = match room {
            _ if withhold => (Bytes::new(), Some(Cut::Packed)),
            Some(room) => body::read(&mut answer, room, deadline).await,
            None => (Bytes::new(), Some(Cut::TooLong)),
        };
        Response { status, headers, body, cut, retry_after_ms, redirected_to: None }
    }
}

impl EgressError {
    /// Whom the exchange has reached that ended so.
    pub(crate) const fn contact(&self) -> Contact {
        match self {
            Self::Certificate(_) => Contact::Untrusted,
            _ => Contact::Other,
        }
    }

    /// A hop before has taken the request and redirected it.
    fn after_a_hop(self) -> Self {
        match self {
            Self::Certificate(why) => Self::Tls(why),
            other => other,
        }
    }

    /// What a peer or a library says of a failure may repeat what was sent.
    fn without_secrets(self, permit: &Permit) -> Self {
        let told = |text| permit.handles.redact_text(text);
        match self {
            Self::InvalidRequest(why) => Self::InvalidRequest(told(why)),
            Self::Denied(why) => Self::Denied(told(why)),
            Self::Dns(why) => Self::Dns(told(why)),
            Self::Connect(why) => Self::Connect(told(why)),
            Self::Tls(why) => Self::Tls(told(why)),
            Self::Certificate(why) => Self::Certificate(told(why)),
            Self::Protocol(why) => Self::Protocol(told(why)),
            Self::Timeout => Self::Timeout,
        }
    }
}

impl Response {
    fn without_secrets(mut self, permit: &Permit) -> Self {
        let mut told = HeaderMap::with_capacity(self.headers.len());
        for (name, value) in &self.headers {
            // Who repeats a secret as a name has said nothing else.
            if !permit.handles.found_in(name.as_str().as_bytes()).is_empty() {
                continue;
            }
            let value = permit.handles.redact(Bytes::copy_from_slice(value.as_bytes()));
            if let Ok(value) = HeaderValue::from_maybe_shared(value) {
                told.append(name, value);
            }
        }
        self.headers = told;
        self.body = if self.cut.is_some() {
            permit.handles.redact_cut(self.body)
        } else {
            permit.handles.redact(self.body)
        };
        self
    }
}

/// The headers that have room, and the room that they leave for the body. No room when there are more.
fn fitting(headers: HeaderMap, limit: u64) -> (HeaderMap, Option<u64>) {
    let sizes = headers.iter().map(|(name, value)| (name.as_str().len() + value.len()) as u64);
    if let Some(room) = limit.checked_sub(sizes.sum()) {
        return (headers, Some(room));
    }
    let mut fitting = HeaderMap::new();
    let mut room = limit;
    for (name, value) in &headers {
        let Some(left) = room.checked_sub((name.as_str().len() + value.len()) as u64) else { break };
        room = left;
        fitting.append(name, value.clone());
    }
    (fitting, None)
}
