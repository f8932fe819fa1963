//! wasi:http's outgoing requests, sent through the same egress as the buffered import.

use std::sync::Arc;

use bytes::Bytes;
use http_body::Frame;
use http_body_util::{BodyExt as _, Full, Limited, StreamBody};
use wasmtime_wasi_http::{Error, ForbiddenHeaderFilter, RequestOptions, WasiBody, WasiHttpHooks};

use crate::{
    egress::{self, Bounds, Egress, EgressError, Permit, forbidden_header},
    guest::{Call, Phase},
};

/// The hooks of wasi:http for one guest; they follow its present call.
#[derive(Default)]
pub(crate) struct GuestRequests {
    call: Option<Allowed>,
}

#[derive(Clone)]
struct Allowed {
    permit: Arc<Permit>,
    egress: Arc<Egress>,
    bounds: Bounds,
    max_request_bytes: usize,
}

impl GuestRequests {
    /// Takes over what the present call may do.
    pub(crate) fn enter(&mut self, call: &mut Call) {
        call.waited = true;
        self.call = (call.phase == Phase::Run).then(|| Allowed {
            permit: Arc::clone(&call.permit),
            egress: Arc::clone(&call.egress),
            bounds: call.bounds(),
            max_request_bytes: call.limits.transfer_bytes(),
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

    fn send_request(
        &mut self,
        request: ::http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Io,
    ) -> Sending {
        let allowed = self.call.clone();
        Box::new(async move {
            let Some(allowed) = allowed else { return Err(Error::HttpRequestDenied) };
            let response = allowed.send(request, options).await?;
            let io: Io = Box::new(async { Ok(()) });
            Ok((response, io))
        })
    }
}

impl Allowed {
    async fn send(
        self,
        request: ::http::Request<WasiBody>,
        options: Option<RequestOptions>,
    ) -> Result<::http::Response<WasiBody>, Error> {
        let (head, body) = request.into_parts();
        let body = tokio::time::timeout_at(
            tokio::time::Instant::from_std(self.bounds.deadline),
            Limited::new(body, self.max_request_bytes).collect(),
        )
        .await
        .map_err(|_| Error::ConnectionWriteTimeout)?
        .map_err(|_| Error::HttpRequestBodySize(None))?
        .to_bytes();
        let mut headers = Vec::with_capacity(head.headers.len());
        for (name, value) in &head.headers {
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
            method: head.method.as_str().to_owned(),
            url: head.uri.to_string(),
            headers,
            body: (!body.is_empty()).then(|| into_body(body)),
            timeout_ms: timeout.map(|timeout| u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX)),
            ..egress::Request::default()
        };
        let response = self.egress.send(&self.permit, &request, self.bounds).await.map_err(Error::from)?;
        let mut answer = ::http::Response::new(body_of(&response, self.bounds.response_bytes));
        *answer.status_mut() =
            ::http::StatusCode::from_u16(response.status).map_err(|_| Error::HttpProtocolError)?;
        *answer.headers_mut() = response.headers;
        Ok(answer)
    }
}

/// The body; one that was cut ends with an error, after the status and what was read of it.
fn body_of(response: &egress::Response, limit: u64) -> WasiBody {
    if !response.truncated {
        return Full::new(response.body.clone()).map_err(Error::from).boxed_unsync();
    }
    let cut = futures::stream::iter([
        Ok(Frame::data(response.body.clone())),
        Err(Error::HttpResponseBodySize(Some(limit))),
    ]);
    StreamBody::new(cut).boxed_unsync()
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
            EgressError::Timeout => Self::ConnectionReadTimeout,
            EgressError::Protocol(_) => Self::HttpProtocolError,
        }
    }
}
