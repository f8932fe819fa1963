//! Connections that a receiver keeps, and closes under a request.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use crate::fixture::{component, configure, details, run, runtime_with, settings};

/// What happens to the second request of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Second {
    /// Its connection is closed.
    Closed,
    /// Its connection is reset.
    Reset,
    /// Its connection is closed after this.
    Said(&'static [u8]),
}

/// Answers the first request of each connection; counts requests and connections.
struct Receiver {
    port: u16,
    requests: Arc<AtomicUsize>,
    connections: Arc<AtomicUsize>,
}

impl Receiver {
    /// The first connection answers its first request; the later ones do too, or close at it.
    async fn start(second: Second, answers_again: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (requests, connections) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let started = Self { port, requests: Arc::clone(&requests), connections: Arc::clone(&connections) };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let number = connections.fetch_add(1, SeqCst);
                tokio::spawn(serve(stream, second, Arc::clone(&requests), number == 0 || answers_again));
            }
        });
        started
    }

    fn counts(&self) -> (usize, usize) {
        (self.requests.load(SeqCst), self.connections.load(SeqCst))
    }
}

async fn serve(mut stream: TcpStream, second: Second, requests: Arc<AtomicUsize>, answers: bool) {
    if request(&mut stream).await {
        requests.fetch_add(1, SeqCst);
        if !answers || stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.is_err() {
            return;
        }
    }
    if request(&mut stream).await {
        requests.fetch_add(1, SeqCst);
        match second {
            Second::Closed => {}
            Second::Reset => stream.set_zero_linger().unwrap(),
            Second::Said(bytes) => stream.write_all(bytes).await.unwrap(),
        }
    }
}

/// Reads one request whole; its body is as long as it says.
async fn request(stream: &mut TcpStream) -> bool {
    let mut seen = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&seen).to_ascii_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
            if body.len() >= length.map_or(0, |length| length.trim().parse().unwrap()) {
                return true;
            }
        }
        if !matches!(stream.read_buf(&mut seen).await, Ok(1..)) {
            return false;
        }
    }
}

/// Sends the same request twice; returns what the second ends with: a status, or an error.
async fn twice(receiver: &Receiver, method: &str, headers: &[(&str, &str)]) -> Value {
    let runtime = runtime_with(settings(), &[]);
    let source = aftercommit_runtime::ComponentSource::File(component("test/hostile"));
    let plugin = runtime.load("h", source, None).await.unwrap();
    let origin = format!("http://127.0.0.1:{}", receiver.port);
    let request = json!({"url": origin, "method": method, "headers": headers, "body": "x"});
    let grants = json!({"http": [origin], "private_network": true});
    let action = configure(&plugin, json!({"do": "http", "request": request, "grants": grants})).await;
    assert_eq!(details(&run(&action).await)["status"], 200);
    details(&run(&action).await)
}

#[tokio::test]
async fn a_request_that_may_be_repeated_is_sent_once_more_on_a_new_connection() {
    for second in [Second::Closed, Second::Reset] {
        for (method, headers) in [
            ("GET", &[][..]),
            ("PUT", &[]),
            ("DELETE", &[]),
            ("POST", &[("webhook-id", "msg_1")]),
            ("PATCH", &[("Idempotency-Key", "1")]),
        ] {
            let receiver = Receiver::start(second, true).await;
            let told = twice(&receiver, method, headers).await;
            assert_eq!(told["status"], 200, "{second:?} {method}: {told}");
            assert_eq!(receiver.counts(), (3, 2), "{second:?} {method}");
        }
    }
}

#[tokio::test]
async fn a_request_that_may_have_had_an_effect_is_sent_once() {
    for (second, method, headers) in [
        (Second::Closed, "POST", &[][..]),
        (Second::Reset, "PATCH", &[]),
        // The receiver has begun to answer.
        (Second::Said(b"HTTP"), "GET", &[]),
        (Second::Said(b"HTTP/1.1 100 Continue\r\n\r\n"), "POST", &[("webhook-id", "msg_1")]),
    ] {
        let receiver = Receiver::start(second, true).await;
        let told = twice(&receiver, method, headers).await;
        assert!(told["error"].is_string(), "{second:?} {method}: {told}");
        assert_eq!(receiver.counts(), (2, 1), "{second:?} {method}");
    }
}

/// A new connection that is closed has not been idle: that is the receiver's answer.
#[tokio::test]
async fn a_request_is_repeated_on_one_new_connection_only() {
    let receiver = Receiver::start(Second::Closed, false).await;
    let told = twice(&receiver, "POST", &[("webhook-id", "msg_1")]).await;
    assert!(told["error"].is_string(), "{told}");
    assert_eq!(receiver.counts(), (3, 2));
}
