//! The other end: an HTTP server that checks signatures, and whose billing is out of order until it is repaired.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use aftercommit_core::{Clock as _, SystemClock, Timestamp};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{
    HeaderMap, Request, Response, StatusCode, body::Incoming, server::conn::http1, service::service_fn,
};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use ring::hmac;
use tokio::net::TcpListener;

/// The path that answers 503 until it is repaired.
pub(super) const BILLING: &str = "/billing";

/// One request.
#[derive(Clone, Debug)]
pub(super) struct Received {
    pub(super) at: Timestamp,
    pub(super) path: String,
    /// `webhook-id`, the delivery's id.
    pub(super) id: String,
    pub(super) status: u16,
    pub(super) signature_is_valid: bool,
}

/// The running receiver.
pub(super) struct Receiver {
    pub(super) address: SocketAddr,
    state: Arc<State>,
}

struct State {
    secret: String,
    billing_works: AtomicBool,
    received: Mutex<Vec<Received>>,
}

impl Receiver {
    /// Starts on a free port of the loopback interface; `secret` is the one that signatures are made with.
    pub(super) async fn start(secret: &str) -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let billing_works = AtomicBool::new(false);
        let state = Arc::new(State { secret: secret.to_owned(), billing_works, received: Mutex::default() });
        tokio::spawn(serve(listener, Arc::clone(&state)));
        Ok(Self { address, state })
    }

    /// From now on billing answers 200.
    pub(super) fn repair_billing(&self) {
        self.state.billing_works.store(true, Relaxed);
    }

    pub(super) fn received(&self) -> Vec<Received> {
        self.state.received.lock().clone()
    }
}

async fn serve(listener: TcpListener, state: Arc<State>) {
    while let Ok((stream, _)) = listener.accept().await {
        let state = Arc::clone(&state);
        let service = service_fn(move |request| answer(request, Arc::clone(&state)));
        // A connection that breaks is the host's to notice.
        tokio::spawn(
            async move { http1::Builder::new().serve_connection(TokioIo::new(stream), service).await },
        );
    }
}

async fn answer(request: Request<Incoming>, state: Arc<State>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let Ok(body) = body.collect().await else { return Ok(Response::default()) };
    let path = head.uri.path().to_owned();
    let in_order = path != BILLING || state.billing_works.load(Relaxed);
    let status = if in_order { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let received = Received {
        at: SystemClock.now(),
        path,
        id: header(&head.headers, "webhook-id").to_owned(),
        status: status.as_u16(),
        signature_is_valid: verify(&state.secret, &head.headers, &body.to_bytes()),
    };
    state.received.lock().push(received);
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    Ok(response)
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// Checks a signature as a receiver does (Standard Webhooks 1.0.0).
fn verify(secret: &str, headers: &HeaderMap, body: &[u8]) -> bool {
    let Ok(key) = STANDARD.decode(secret.trim_start_matches("whsec_")) else { return false };
    let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
    let signed = format!("{}.{}.", header(headers, "webhook-id"), header(headers, "webhook-timestamp"));
    let message = [signed.as_bytes(), body].concat();
    header(headers, "webhook-signature")
        .split(' ')
        .filter_map(|signature| STANDARD.decode(signature.strip_prefix("v1,")?).ok())
        .any(|signature| hmac::verify(&key, &message, &signature).is_ok())
}
