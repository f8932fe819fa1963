//! From an origin to an HTTP connection to it: name, address, the tunnel of a proxy, TLS.

use std::{
    error::Error,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{HeaderMap, HeaderValue, Uri, header};
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::{
    client::legacy::{
        Client,
        connect::{HttpConnector, proxy::Tunnel},
    },
    rt::{TokioExecutor, TokioIo, TokioTimer},
};
use rustls::ClientConfig;
use tokio::{net::TcpStream, time::timeout};
use tower_service::Service;

use super::{
    http_stream::{HTTP2_WINDOW_BYTES, HttpStream},
    idle::IDLE,
    names::GuardedResolver,
    route::Proxy,
};

/// Sends requests, and keeps connections. It repeats nothing by itself: see [`sending`](super::sending).
pub(super) type HttpClient = Client<Connector, Full<Bytes>>;

type BoxError = Box<dyn Error + Send + Sync>;
type Tcp = HttpConnector<GuardedResolver>;
/// To the origin, or to the proxy.
type FirstStream = MaybeHttpsStream<TokioIo<TcpStream>>;
/// To the origin, over the proxy if there is one.
type OriginStream = MaybeHttpsStream<FirstStream>;

/// Part of the request's own timeout, but no connection is waited for longer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A peer that is gone without a word is found after the first of these and as often as the second says (TCP keep-alive).
const KEEPALIVE: Duration = Duration::from_secs(15);
const KEEPALIVE_PROBES: u32 = 3;
/// Bytes that the peer's system does not acknowledge end the connection (RFC 5482).
#[cfg(target_os = "linux")]
const UNACKNOWLEDGED: Duration = Duration::from_secs(30);
/// Headers of a response; most clients take more than the 100 that are hyper's default. Their bytes are bounded too: by hyper
/// to some 400 KiB with HTTP/1.1, and by [`MAX_HTTP2_HEADERS_BYTES`] with HTTP/2.
const MAX_HEADERS: usize = 1000;
/// As many as other clients take, where h2's default is 16 KiB.
const MAX_HTTP2_HEADERS_BYTES: u32 = 256 << 10;

/// There was no connection in time.
#[derive(Debug, thiserror::Error)]
#[error("no connection after {CONNECT_TIMEOUT:?}")]
struct ConnectTimeout;

/// Connects to origins.
#[derive(Clone, Debug)]
pub(super) struct Connector(HttpsConnector<FirstHop>);

/// Connects to the origin's address, or asks a proxy for a tunnel to it.
#[derive(Clone, Debug)]
enum FirstHop {
    Direct(Tcp),
    Proxy(Box<Tunnel<HttpsConnector<Tcp>>>),
}

impl Connector {
    pub(super) fn new(
        resolver: GuardedResolver,
        tls: ClientConfig,
        proxy: Option<(Proxy, ClientConfig)>,
        user_agent: &HeaderValue,
    ) -> Self {
        let mut tcp = HttpConnector::new_with_resolver(resolver);
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(KEEPALIVE));
        tcp.set_keepalive_interval(Some(KEEPALIVE));
        tcp.set_keepalive_retries(Some(KEEPALIVE_PROBES));
        #[cfg(target_os = "linux")]
        tcp.set_tcp_user_timeout(Some(UNACKNOWLEDGED));
        let first = match proxy {
            None => FirstHop::Direct(tcp),
            Some((Proxy { uri, login }, its_tls)) => {
                let mut tunnel = Tunnel::new(uri, HttpsConnector::from((tcp, Arc::new(its_tls))));
                if let Some(login) = login {
                    tunnel = tunnel.with_auth(login);
                }
                let headers = HeaderMap::from_iter([(header::USER_AGENT, user_agent.clone())]);
                FirstHop::Proxy(Box::new(tunnel.with_headers(headers)))
            }
        };
        Self(HttpsConnector::from((first, Arc::new(tls))))
    }

    /// A client of its own, which keeps so many unused connections.
    pub(super) fn client(self, most_idle: usize) -> HttpClient {
        Client::builder(TokioExecutor::new())
            .retry_canceled_requests(false)
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(most_idle)
            // A response whose head other clients understand has a status, and that counts.
            .http1_max_headers(MAX_HEADERS)
            .http1_allow_spaces_after_header_name_in_responses(true)
            .http1_allow_obsolete_multiline_headers_in_responses(true)
            .http1_ignore_invalid_headers_in_responses(true)
            .http2_max_header_list_size(MAX_HTTP2_HEADERS_BYTES)
            .http2_initial_connection_window_size(HTTP2_WINDOW_BYTES)
            .http2_initial_stream_window_size(HTTP2_WINDOW_BYTES)
            .build(self)
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<HttpStream<TokioIo<OriginStream>>>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, origin: Uri) -> Self::Future {
        let connecting = self.0.call(origin);
        Box::pin(async move {
            let stream = timeout(CONNECT_TIMEOUT, connecting).await.map_err(|_| ConnectTimeout)??;
            Ok(TokioIo::new(HttpStream::new(TokioIo::new(stream))))
        })
    }
}

impl Service<Uri> for FirstHop {
    type Response = FirstStream;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<FirstStream, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        match self {
            Self::Direct(tcp) => tcp.poll_ready(cx).map_err(Into::into),
            Self::Proxy(tunnel) => tunnel.poll_ready(cx).map_err(Into::into),
        }
    }

    fn call(&mut self, origin: Uri) -> Self::Future {
        match self {
            Self::Direct(tcp) => {
                let connecting = tcp.call(origin);
                Box::pin(async move { Ok(MaybeHttpsStream::Http(connecting.await?)) })
            }
            Self::Proxy(tunnel) => {
                let connecting = tunnel.call(origin);
                Box::pin(async move { Ok(connecting.await?) })
            }
        }
    }
}
