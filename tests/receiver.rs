//! An HTTP receiver for tests and benchmarks: records what it gets and answers as it is told.

use std::{
    future::poll_fn,
    io, mem,
    net::{Ipv4Addr, SocketAddr},
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, Version};
use http_body_util::{BodyExt as _, Either, Full};
use hyper::{
    body::{Body, Frame, Incoming, SizeHint},
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};
use tokio_rustls::TlsAcceptor;

/// One request as it came.
#[derive(Clone, Debug)]
pub struct Received {
    /// When its body was complete.
    pub at: Instant,
    /// The method.
    pub method: Method,
    /// Path and query; with HTTP/2 the whole URL.
    pub path: String,
    /// Of HTTP.
    pub version: Version,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// What it was answered, or was about to be.
    pub answered: StatusCode,
}

impl Received {
    /// A header's value, or the empty text.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// What to answer, and after how long.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// Headers.
    pub headers: Vec<(&'static str, String)>,
    /// The pause before it.
    pub after: Duration,
    /// Its body.
    pub body: Bytes,
    /// Instead of the body so many zeros; sent in pieces, without saying the length first.
    pub body_bytes: u64,
    /// No answer at all: the connection is reset.
    pub reset: bool,
}

impl Answer {
    /// An answer at once, without headers. Panics if `status` is none.
    #[must_use]
    pub fn status(status: u16) -> Self {
        Self {
            status: StatusCode::from_u16(status).expect("a status"),
            headers: Vec::new(),
            after: Duration::ZERO,
            body: Bytes::new(),
            body_bytes: 0,
            reset: false,
        }
    }

    /// The same with a JSON body.
    #[must_use]
    pub fn json(mut self, body: &impl ToString) -> Self {
        self.headers.push(("content-type", "application/json".to_owned()));
        self.text(body.to_string())
    }

    /// The same with a body.
    #[must_use]
    pub fn text(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// The same with one more header.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

type Respond = dyn Fn(&Received) -> Answer + Send + Sync;

struct Shared {
    received: Mutex<Vec<Received>>,
    count: watch::Sender<usize>,
    respond: Mutex<Arc<Respond>>,
    /// Requests that are not answered yet, and the most there were at once.
    open: AtomicUsize,
    most_open: AtomicUsize,
}

impl Shared {
    fn received(&self) -> MutexGuard<'_, Vec<Received>> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A receiver on a free port of the loopback interface; it ends when dropped.
pub struct Receiver {
    address: SocketAddr,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

impl Receiver {
    /// Starts one that answers 200.
    pub async fn start() -> Self {
        Self::start_with(serve).await
    }

    /// Starts one that answers 200 on every address of this machine, of which 127.0.0.0/8 has many: each is an origin.
    pub async fn start_on_every_address() -> Self {
        Self::start_at(Ipv4Addr::UNSPECIFIED, serve).await
    }

    async fn start_with<F>(serve: impl FnOnce(TcpListener, Arc<Shared>) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self::start_at(Ipv4Addr::LOCALHOST, serve).await
    }

    async fn start_at<F>(at: Ipv4Addr, serve: impl FnOnce(TcpListener, Arc<Shared>) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind((at, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("a bound address");
        let shared = Arc::new(Shared {
            received: Mutex::default(),
            count: watch::Sender::new(0),
            respond: Mutex::new(Arc::new(|_| Answer::status(200))),
            open: AtomicUsize::new(0),
            most_open: AtomicUsize::new(0),
        });
        let server = tokio::spawn(serve(listener, Arc::clone(&shared)));
        Self { address, shared, server }
    }

    /// Starts one that speaks HTTP/2 over TLS if that is what `tls` negotiates (`h2` in ALPN, RFC 7301), else HTTP/1.1, and
    /// answers 200. With `h2` alone, peers that do not offer it get no connection.
    pub async fn start_tls(tls: Arc<rustls::ServerConfig>) -> Self {
        Self::start_with(move |listener, shared| serve_tls(listener, tls, shared)).await
    }

    /// From now on answers like this.
    pub fn respond(&self, respond: impl Fn(&Received) -> Answer + Send + Sync + 'static) {
        self.shared.most_open.store(0, Relaxed);
        *self.shared.respond.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(respond);
    }

    /// Its port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.address.port()
    }

    /// The URL of a path: `http://127.0.0.1:PORT/path`.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Everything received so far.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        self.shared.received().clone()
    }

    /// Removes what was received since the last call, and returns it as soon as there is something.
    pub async fn take(&self) -> Vec<Received> {
        let mut count = self.shared.count.subscribe();
        loop {
            let taken = mem::take(&mut *self.shared.received());
            if !taken.is_empty() {
                return taken;
            }
            count.changed().await.expect("the receiver lives");
        }
    }

    /// How many requests were received so far.
    #[must_use]
    pub fn count(&self) -> usize {
        *self.shared.count.borrow()
    }

    /// The most requests that waited for their answers at once, since it answers as it does now.
    #[must_use]
    pub fn most_at_once(&self) -> usize {
        self.shared.most_open.load(Relaxed)
    }

    /// Returns everything received once `enough` says so; panics after `at_most`.
    pub async fn wait_until(&self, at_most: Duration, enough: impl Fn(&[Received]) -> bool) -> Vec<Received> {
        let mut count = self.shared.count.subscribe();
        let wait = async {
            while !enough(&self.shared.received()) {
                count.changed().await.expect("the receiver lives");
            }
        };
        let done = tokio::time::timeout(at_most, wait).await;
        assert!(done.is_ok(), "not received within {at_most:?}; {} requests came", self.count());
        self.received()
    }

    /// Returns everything received once there are `count` requests; panics after a minute, which only a busy machine needs.
    pub async fn wait_for(&self, count: usize) -> Vec<Received> {
        self.wait_until(Duration::from_mins(1), |received| received.len() >= count).await
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { return };
        let _ = stream.set_nodelay(true);
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let service = service_fn(move |request| Box::pin(answer(request, Arc::clone(&shared))));
            let mut connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            // A peer that is killed breaks its connection; that is what some tests are for.
            if poll_fn(|context| connection.poll_without_shutdown(context)).await.is_err() {
                // Not closed in order: what is on its way is thrown away, and the peer is told by a RST.
                let _ = connection.into_parts().io.into_inner().set_zero_linger();
            }
        });
    }
}

async fn serve_tls(listener: TcpListener, tls: Arc<rustls::ServerConfig>, shared: Arc<Shared>) {
    let acceptor = TlsAcceptor::from(tls);
    loop {
        let Ok((stream, _)) = listener.accept().await else { return };
        let (acceptor, shared) = (acceptor.clone(), Arc::clone(&shared));
        tokio::spawn(async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            let service = service_fn(move |request| Box::pin(answer(request, Arc::clone(&shared))));
            let stream = TokioIo::new(stream);
            // A peer that goes away ends its connection.
            let _ = if http2 {
                http2::Builder::new(TokioExecutor::new()).serve_connection(stream, service).await
            } else {
                http1::Builder::new().serve_connection(stream, service).await
            };
        });
    }
}

type AnswerBody = Either<Full<Bytes>, Zeros>;

async fn answer(request: Request<Incoming>, shared: Arc<Shared>) -> io::Result<Response<AnswerBody>> {
    let (head, body) = request.into_parts();
    // A request that breaks off in the middle was not received.
    let Ok(body) = body.collect().await else { return Ok(Response::new(Either::Right(Zeros(0)))) };
    let _open = Open::of(&shared);
    let mut received = Received {
        at: Instant::now(),
        method: head.method,
        path: head.uri.to_string(),
        version: head.version,
        headers: head.headers,
        body: body.to_bytes(),
        answered: StatusCode::OK,
    };
    let respond = Arc::clone(&shared.respond.lock().unwrap_or_else(PoisonError::into_inner));
    let answer = respond(&received);
    received.answered = answer.status;
    shared.received().push(received);
    shared.count.send_modify(|count| *count += 1);
    if !answer.after.is_zero() {
        tokio::time::sleep(answer.after).await;
    }
    if answer.reset {
        return Err(io::ErrorKind::ConnectionReset.into());
    }
    let mut response = Response::builder().status(answer.status);
    for (name, value) in answer.headers {
        response = response.header(name, value);
    }
    let body = if answer.body_bytes == 0 {
        Either::Left(Full::new(answer.body))
    } else {
        Either::Right(Zeros(answer.body_bytes))
    };
    Ok(response.body(body).expect("a well-formed answer"))
}

/// A request that is not answered yet.
struct Open<'a>(&'a Shared);

impl<'a> Open<'a> {
    fn of(shared: &'a Shared) -> Self {
        let open = shared.open.fetch_add(1, Relaxed) + 1;
        shared.most_open.fetch_max(open, Relaxed);
        Self(shared)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Relaxed);
    }
}

/// A body of so many zeros.
struct Zeros(u64);

impl Body for Zeros {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Self::Data>>>> {
        static PIECE: [u8; 64 << 10] = [0; 64 << 10];
        if self.0 == 0 {
            return Poll::Ready(None);
        }
        let size = self.0.min(PIECE.len() as u64);
        self.0 -= size;
        let piece = usize::try_from(size).map_or(&PIECE[..], |size| &PIECE[..size]);
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(piece)))))
    }

    fn is_end_stream(&self) -> bool {
        self.0 == 0
    }

    fn size_hint(&self) -> SizeHint {
        // The length of a long body is not told.
        if self.0 == 0 { SizeHint::with_exact(0) } else { SizeHint::default() }
    }
}
