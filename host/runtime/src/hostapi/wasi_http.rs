//! wasi:http's outgoing requests, sent through the same egress as the buffered import.

use std::{pin::pin, sync::Arc};

use bytes::{Bytes, BytesMut};
use http_body::Frame;
use http_body_util::{BodyExt as _, Full, StreamBody};
use tokio::sync::Semaphore;
use wasmtime_wasi_http::{Error, ForbiddenHeaderFilter, RequestOptions, WasiBody, WasiHttpHooks};

use super::held::{Held, Holdings};
use crate::{
    calling::{
        contacts::{Contact, Contacts},
        guest::{Call, Phase},
    },
    egress::{self, Bounds, Cut, Egress, EgressError, Permit, forbidden_header},
};

/// Requests of one guest that are under way at the same time; more wait. The buffered import has one.
const AT_ONCE: usize = 8;
/// What a guest writes to a body at once. Each body that is not sent yet holds one such piece.
const CHUNK_BYTES: usize = 16 << 10;

/// The hooks of wasi:http for one guest; they follow its present call.
pub(crate) struct GuestRequests {
    call: Option<Allowed>,
    /// Requests that the call may still send, and those that it has sent since it was entered.
    left: u64,
    sent: u64,
    places: Arc<Semaphore>,
    holdings: Holdings,
}

#[derive(Clone)]
struct Allowed {
    permit: Arc<Permit>,
    egress: Arc<Egress>,
    bounds: Bounds,
    contacts: Arc<Contacts>,
    places: Arc<Semaphore>,
    holdings: Holdings,
    /// Most bytes of bodies that are held for the guest.
    max_held_bytes: usize,
}

impl Default for GuestRequests {
    fn default() -> Self {
        let places = Arc::new(Semaphore::new(AT_ONCE));
        Self { call: None, left: 0, sent: 0, places, holdings: Holdings::default() }
    }
}

impl GuestRequests {
    /// Takes over what the present call may do. A request counts as a call of the host.
    pub(crate) fn enter(&mut self, call: &mut Call) {
        call.host_calls += std::mem::take(&mut self.sent);
        self.left = call.limits.host_calls.saturating_sub(call.host_calls);
        self.call = (call.phase == Phase::Run).then(|| Allowed {
            permit: Arc::clone(&call.permit),
            egress: Arc::clone(&call.egress),
            bounds: call.bounds(),
            contacts: Arc::clone(&call.contacts),
            places: Arc::clone(&self.places),
            holdings: self.holdings.clone(),
            max_held_bytes: call.limits.transfer_bytes(),
        });
    }
}

type Io = Box<dyn Future<Output = Result<(), Error>> + Send>;
type Sending = Box<dyn Future<Output = Result<(::http::Response<WasiBody>, Io), Error>> + Send>;

impl WasiHttpHooks for GuestRequests {
    fn forbidden_header_filter(&mut self) -> ForbiddenHeaderFilter {
        Arc::new(|name| forbidden_header(name.as_str()))
    }

    fn set_host_header(&mut self) -> bool {
        false
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        CHUNK_BYTES
    }

    fn send_request(
        &mut self,
        request: ::http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Io,
    ) -> Sending {
        let allowed = self.call.clone();
        let too_many = self.left == 0;
        self.left = self.left.saturating_sub(1);
        self.sent += 1;
        Box::new(async move {
            let Some(allowed) = allowed else { return Err(Error::HttpRequestDenied) };
            if too_many {
                let why = "more calls of the host than the action may make (`limits.host_calls`)";
                return Err(Error::InternalError(Some(why.to_owned())));
            }
            let response = allowed.send(request, options).await?;
            let io: Io = Box::new(async { Ok(()) });
            Ok((response, io))
        })
    }
}

impl Allowed {
    /// The whole body of a request. Trailers are left out: few servers know what to do with them.
    async fn collect(&self, body: WasiBody) -> Result<(Bytes, Held), Error> {
        let mut held = self.holdings.none();
        let mut body = pin!(body);
        let mut all = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame?.into_data() else { continue };
            if !held.grow(data.len(), self.max_held_bytes) {
                return Err(Error::HttpRequestBodySize(u64::try_from(self.max_held_bytes).ok()));
            }
            all.extend_from_slice(&data);
        }
        Ok((all.freeze(), held))
    }

    async fn send(
        self,
        request: ::http::Request<WasiBody>,
        options: Option<RequestOptions>,
    ) -> Result<::http::Response<WasiBody>, Error> {
        let (parts, body) = request.into_parts();
        let deadline = tokio::time::Instant::from_std(self.bounds.deadline);
        let (body, _held) = tokio::time::timeout_at(deadline, self.collect(body))
            .await
            .map_err(|_| Error::ConnectionWriteTimeout)??;
        let _place = self.places.acquire().await.expect("the semaphore is never closed");
        let mut headers = Vec::with_capacity(parts.headers.len());
        for (name, value) in &parts.headers {
            // `fetch` sets these itself; here they are the client's.
            if !forbidden_header(name.as_str()) {
                let value = value
                    .to_str()
                    .map_err(|_| Error::HttpRequestHeaderSize { field_name: None, field_size: None })?;
                headers.push((name.as_str().to_owned(), value.to_owned()));
            }
        }
        let timeout = options.and_then(|options| options.first_byte_timeout);
        let request = egress::Request {
            method: parts.method.as_str().to_owned(),
            url: parts.uri.to_string(),
            headers,
            body: (!body.is_empty()).then(|| into_body(body)),
            timeout_ms: timeout.map(|timeout| u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX)),
            ..egress::Request::default()
        };
        let sent = self.egress.send(&self.permit, &request, self.bounds).await;
        self.contacts.note(sent.as_ref().map_or_else(EgressError::contact, |_| Contact::Other));
        self.contacts.denials.note(&sent);
        let response = sent.map_err(Error::from)?;
        let mut held = self.holdings.none();
        let headers: usize =
            response.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        if !held.grow(response.body.len() + headers, self.max_held_bytes) {
            return Err(Error::HttpResponseBodySize(u64::try_from(response.body.len()).ok()));
        }
        let body = body_of(&response, self.bounds.response_bytes, held);
        let mut answer = ::http::Response::new(body);
        *answer.status_mut() =
            ::http::StatusCode::from_u16(response.status).map_err(|_| Error::HttpProtocolError)?;
        *answer.headers_mut() = response.headers;
        Ok(answer)
    }
}

/// The body; one that was cut ends with an error, after the status and what was read of it. It is held until it is dropped.
fn body_of(response: &egress::Response, limit: u64, held: Held) -> WasiBody {
    let Some(cut) = response.cut else {
        let whole = Full::new(response.body.clone()).map_err(Error::from);
        return whole.map_frame(move |frame| keep(frame, &held)).boxed_unsync();
    };
    let why = match cut {
        Cut::TooLong => Error::HttpResponseBodySize(Some(limit)),
        Cut::Early => Error::HttpResponseIncomplete,
        Cut::Late => Error::HttpResponseTimeout,
        Cut::Packed => Error::HttpResponseContentCoding(None),
    };
    let read = futures::stream::iter([Ok(Frame::data(response.body.clone())), Err(why)]);
    StreamBody::new(read).map_frame(move |frame| keep(frame, &held)).boxed_unsync()
}

fn keep(frame: Frame<Bytes>, _held: &Held) -> Frame<Bytes> {
    frame
}

/// Text, where it is text, so that secrets that may stand in a body are put in.
fn into_body(bytes: Bytes) -> egress::Body {
    match String::from_utf8(bytes.into()) {
        Ok(text) => egress::Body::Text(text),
        Err(error) => egress::Body::Bytes(Bytes::from(error.into_bytes())),
    }
}

impl From<EgressError> for Error {
    fn from(error: EgressError) -> Self {
        match error {
            EgressError::InvalidRequest(_) => Self::HttpRequestUriInvalid,
            EgressError::Denied(_) => Self::HttpRequestDenied,
            EgressError::Dns(why) => Self::DnsError { rcode: Some(why), info_code: None },
            EgressError::Connect(_) => Self::ConnectionRefused,
            EgressError::Tls(_) => Self::TlsProtocolError,
            EgressError::Certificate(_) => Self::TlsCertificateError,
            EgressError::Timeout => Self::ConnectionReadTimeout,
            EgressError::Protocol(_) => Self::HttpProtocolError,
        }
    }
}
