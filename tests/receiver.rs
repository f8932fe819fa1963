//! An HTTP receiver for tests and benchmarks: records what it gets and answers as it is told.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

/// One request as it came.
#[derive(Clone, Debug)]
pub struct Received {
    /// When its body was complete.
    pub at: Instant,
    /// The method.
    pub method: Method,
    /// Path and query.
    pub path: String,
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
}

impl Answer {
    /// An answer at once, without headers. Panics if `status` is none.
    #[must_use]
    pub fn status(status: u16) -> Self {
        Self {
            status: StatusCode::from_u16(status).expect("a status"),
            headers: Vec::new(),
            after: Duration::ZERO,
        }
    }
}

type Respond = dyn Fn(&Received) -> Answer + Send + Sync;

struct Shared {
    received: Mutex<Vec<Received>>,
    count: watch::Sender<usize>,
    respond: Mutex<Arc<Respond>>,
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
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port on loopback");
        let address = listener.local_addr().expect("a bound address");
        let shared = Arc::new(Shared {
            received: Mutex::default(),
            count: watch::Sender::new(0),
            respond: Mutex::new(Arc::new(|_| Answer::status(200))),
        });
        let server = tokio::spawn(serve(listener, Arc::clone(&shared)));
        Self { address, shared, server }
    }

    /// From now on answers like this.
    pub fn respond(&self, respond: impl Fn(&Received) -> Answer + Send + Sync + 'static) {
        *self.shared.respond.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(respond);
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

    /// How many requests were received so far.
    #[must_use]
    pub fn count(&self) -> usize {
        *self.shared.count.borrow()
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

    /// Returns everything received once there are `count` requests; panics after 20 seconds.
    pub async fn wait_for(&self, count: usize) -> Vec<Received> {
        self.wait_until(Duration::from_secs(20), |received| received.len() >= count).await
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
            let service = service_fn(move |request| answer(request, Arc::clone(&shared)));
            // A peer that is killed breaks its connection; that is what some tests are for.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    shared: Arc<Shared>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    // A request that breaks off in the middle was not received.
    let Ok(body) = body.collect().await else { return Ok(Response::default()) };
    let mut received = Received {
        at: Instant::now(),
        method: head.method,
        path: head.uri.to_string(),
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
    let mut response = Response::builder().status(answer.status);
    for (name, value) in answer.headers {
        response = response.header(name, value);
    }
    Ok(response.body(Full::default()).expect("a well-formed answer"))
}
