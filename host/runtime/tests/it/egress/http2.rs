//! HTTP/2 as servers close it, and TLS servers that are not trusted.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use aftercommit_runtime::{Attempt, ComponentSource, ConfiguredAction, RuntimeSettings};
use futures::future::join_all;
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::fixture::{component, configure, run, runtime_with, settings};

/// Frames of RFC 9113, 6.
pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PING: u8 = 6;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const REFUSED_STREAM: u32 = 7;

/// How a server closes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Close {
    /// After so many requests it says which was the last, answers nothing beyond it and reads on, as nginx does with
    /// `keepalive_requests`.
    After(u32),
    /// The first stream of each connection is refused.
    RefusesFirst,
    /// Every stream is refused.
    RefusesAll,
}

/// A server that speaks HTTP/2 frame by frame, and answers 200.
struct Server {
    port: u16,
    served: Arc<Mutex<Vec<Vec<u8>>>>,
    connections: Arc<AtomicUsize>,
    pem: String,
}

impl Server {
    async fn start(close: Close) -> Self {
        let (listener, acceptor, pem) = tls("localhost", |_| {}, &[b"h2"]).await;
        let started = Self {
            port: listener.local_addr().unwrap().port(),
            served: Arc::default(),
            connections: Arc::default(),
            pem,
        };
        let (served, connections) = (Arc::clone(&started.served), Arc::clone(&started.connections));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, served) = (acceptor.clone(), Arc::clone(&served));
                connections.fetch_add(1, SeqCst);
                tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        // A client that goes ends it.
                        let _ = serve(stream, close, &served).await;
                    }
                });
            }
        });
        started
    }

    async fn action(&self) -> ConfiguredAction {
        action(self.port, vec![self.pem.clone().into_bytes()]).await
    }
}

/// A webhook to `localhost`.
pub(super) async fn action(port: u16, extra_ca_pem: Vec<Vec<u8>>) -> ConfiguredAction {
    let runtime = runtime_with(RuntimeSettings { extra_ca_pem, max_instances: 64, ..settings() }, &[]);
    let plugin = runtime.load("webhook", ComponentSource::File(component("webhook")), None).await.unwrap();
    let url = format!("https://localhost:{port}/");
    configure(&plugin, json!({"url": url, "grants": {"private_network": true}})).await
}

/// A listener, and a certificate for a name that is its own authority.
pub(super) async fn tls(
    name: &str,
    change: impl FnOnce(&mut CertificateParams),
    protocols: &[&[u8]],
) -> (TcpListener, TlsAcceptor, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    change(&mut params);
    let certificate = params.self_signed(&key).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key.into())
        .unwrap();
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    (listener, TlsAcceptor::from(Arc::new(config)), certificate.pem())
}

pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

async fn serve(
    mut stream: TlsStream<TcpStream>,
    close: Close,
    served: &Mutex<Vec<Vec<u8>>>,
) -> std::io::Result<()> {
    stream.read_exact(&mut [0; 24]).await?;
    stream.write_all(&frame(SETTINGS, 0, 0, &[])).await?;
    let (mut first, mut body) = (None, Vec::new());
    // A client's streams have odd numbers (RFC 9113, 5.1.1).
    let last = match close {
        Close::After(most) => 2 * most - 1,
        Close::RefusesFirst | Close::RefusesAll => u32::MAX,
    };
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await?;
        let [a, b, c, kind, flags, id @ ..] = head;
        let id = u32::from_be_bytes(id);
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        stream.read_exact(&mut payload).await?;
        let closed = id > last;
        match kind {
            HEADERS if !closed => {}
            DATA if !closed => body.extend_from_slice(&payload),
            SETTINGS if flags == 0 => {
                stream.write_all(&frame(SETTINGS, 1, 0, &[])).await?;
                continue;
            }
            PING if flags == 0 => {
                stream.write_all(&frame(PING, 1, 0, &payload)).await?;
                continue;
            }
            _ => continue,
        }
        let refused = match close {
            Close::After(_) => false,
            Close::RefusesFirst => *first.get_or_insert(id) == id,
            Close::RefusesAll => true,
        };
        if refused && kind == HEADERS {
            stream.write_all(&frame(RST_STREAM, 0, id, &REFUSED_STREAM.to_be_bytes())).await?;
        }
        if kind == HEADERS && id == last {
            // All streams up to this one are still answered.
            let last = [id.to_be_bytes(), [0; 4]].concat();
            stream.write_all(&frame(GOAWAY, 0, 0, &last)).await?;
        }
        if flags & END_STREAM == 0 || refused {
            continue;
        }
        served.lock().unwrap().push(std::mem::take(&mut body));
        // `:status: 200` (RFC 7541, A).
        stream.write_all(&frame(HEADERS, 4 | END_STREAM, id, &[0x88])).await?;
    }
}

/// At once, as a busy host does.
async fn many(action: &ConfiguredAction, count: usize) -> Vec<Attempt> {
    join_all((0..count).map(|_| run(action))).await
}

#[tokio::test]
async fn a_server_that_closes_after_ten_requests_costs_no_attempt() {
    let server = Server::start(Close::After(10)).await;
    let action = server.action().await;
    for _ in 0..3 {
        for attempt in many(&action, 40).await {
            assert_eq!(attempt.result.unwrap().status, Some(200));
        }
    }
    // Each arrived once.
    assert_eq!(server.served.lock().unwrap().len(), 120);
    assert!(server.connections.load(SeqCst) >= 12);
}

#[tokio::test]
async fn a_stream_that_is_refused_is_sent_again() {
    let server = Server::start(Close::RefusesFirst).await;
    let action = server.action().await;
    for attempt in many(&action, 20).await {
        assert_eq!(attempt.result.unwrap().status, Some(200));
    }
    assert_eq!(server.served.lock().unwrap().len(), 20);
}

#[tokio::test]
async fn a_server_that_refuses_everything_is_given_up() {
    let server = Server::start(Close::RefusesAll).await;
    let failure = run(&server.action().await).await.result.unwrap_err();
    assert_eq!(failure.problem.code.as_str(), "protocol", "{failure}");
    assert!(failure.problem.message.contains("the receiver ended the HTTP/2 stream"), "{failure}");
    assert!(server.served.lock().unwrap().is_empty());
}

/// Only some of these become right by waiting; all say what it is and who can put it right.
#[tokio::test]
async fn a_certificate_that_is_not_trusted_says_why() {
    let said = async |name: &str, change: fn(&mut CertificateParams), trusted: bool| {
        let (listener, acceptor, pem) = tls(name, change, &[b"http/1.1"]).await;
        let action = action(
            listener.local_addr().unwrap().port(),
            if trusted { vec![pem.into_bytes()] } else { vec![] },
        );
        let action = action.await;
        let server = async {
            let (stream, _) = listener.accept().await.unwrap();
            // The client ends it.
            let _ = acceptor.accept(stream).await;
            std::future::pending::<()>().await;
        };
        let attempt = tokio::select! { attempt = run(&action) => attempt, () = server => unreachable!() };
        let failure = attempt.result.unwrap_err();
        let is_early = failure.problem.message.contains("not valid yet");
        assert_eq!(failure.problem.code.as_str(), if is_early { "tls" } else { "certificate" }, "{failure}");
        failure.problem.message
    };
    let own = said("localhost", |_| {}, false).await;
    assert!(own.contains("self-signed") && own.contains("`ca_file` of the destination"), "{own}");
    let authority = |params: &mut CertificateParams| {
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    };
    let own = said("localhost", authority, false).await;
    assert!(own.contains("self-signed"), "{own}");
    let other = said("other.example", |_| {}, true).await;
    assert!(
        other.contains("other names than the one in the URL") && other.contains("other.example"),
        "{other}"
    );
    let old = said("localhost", |params| params.not_after = date_time_ymd(2020, 1, 1), true).await;
    assert!(old.contains("has expired"), "{old}");
    let early = |params: &mut CertificateParams| {
        params.not_before = date_time_ymd(2090, 1, 1);
        params.not_after = date_time_ymd(2091, 1, 1);
    };
    let early = said("localhost", early, true).await;
    assert!(early.contains("is not valid yet"), "{early}");
}

#[tokio::test]
async fn a_receiver_that_speaks_no_tls_says_so() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let action = action(listener.local_addr().unwrap().port(), Vec::new()).await;
    let server = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.read(&mut [0; 1024]).await;
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        std::future::pending::<()>().await;
    };
    let attempt = tokio::select! { attempt = run(&action) => attempt, () = server => unreachable!() };
    let failure = attempt.result.unwrap_err();
    assert!(failure.problem.message.contains("without TLS; is its URL one of http?"), "{failure}");
}
