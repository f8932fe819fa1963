//! Receivers that send without end what is no answer, as fast as they can. Each loses its connection, and none holds a thread of the host:
//! the runtime of these tests has two, and the receivers have threads of their own.

use std::{net::SocketAddr, sync::mpsc};

use aftercommit_core::Failure;
use aftercommit_runtime::{ConfiguredAction, RuntimeSettings};
use futures::future::join_all;
use serde_json::json;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpListener,
    sync::watch,
};
use tokio_rustls::TlsAcceptor;

use super::http2::{DATA, HEADERS, PING, SETTINGS, frame, tls};
use crate::{
    fixture::{component, configure, run, runtime_with, settings},
    receiver::{Receiver, ok},
};

/// Frames of RFC 9113, 6.
const PRIORITY: u8 = 2;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;
/// The receivers that flood at the same time.
const FLOODS: usize = 8;

/// What a receiver speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Spoken {
    Plain,
    Tls,
    Http2,
}

/// What it sends on each connection: this once, then that again and again.
#[derive(Clone, Debug)]
struct Sent {
    once: Vec<u8>,
    again: Vec<u8>,
}

/// A receiver that sends as soon as it was asked.
struct Flooding {
    spoken: Spoken,
    port: u16,
    pem: String,
    /// Connections that the host has closed.
    closed: watch::Receiver<usize>,
}

impl Flooding {
    fn start(spoken: Spoken, sent: Sent) -> Self {
        let (tell_started, started) = mpsc::channel();
        let (tell_closed, closed) = watch::channel(0);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let protocol: &[u8] = if spoken == Spoken::Http2 { b"h2" } else { b"http/1.1" };
                let (listener, acceptor, pem) = tls("localhost", |_| {}, &[protocol]).await;
                tell_started.send((listener.local_addr().unwrap(), pem)).unwrap();
                accept(&listener, &acceptor, spoken, &sent, &tell_closed).await;
            });
        });
        let (address, pem): (SocketAddr, String) = started.recv().unwrap();
        Self { spoken, port: address.port(), pem, closed }
    }

    async fn action(&self) -> ConfiguredAction {
        let settings = RuntimeSettings {
            extra_ca_pem: vec![self.pem.clone().into_bytes()],
            max_instances: 64,
            ..settings()
        };
        let runtime = runtime_with(settings, &[]);
        let source = aftercommit_runtime::ComponentSource::File(component("webhook"));
        let plugin = runtime.load("webhook", source, None).await.unwrap();
        let scheme = if self.spoken == Spoken::Plain { "http" } else { "https" };
        let url = format!("{scheme}://localhost:{}/", self.port);
        configure(&plugin, json!({"url": url, "timeout_ms": 20_000, "grants": {"private_network": true}}))
            .await
    }

    /// Waits until the host has closed so many connections.
    async fn closed(&self, count: usize) {
        self.closed.clone().wait_for(|closed| *closed >= count).await.unwrap();
    }
}

async fn accept(
    listener: &TcpListener,
    acceptor: &TlsAcceptor,
    spoken: Spoken,
    sent: &Sent,
    closed: &watch::Sender<usize>,
) {
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, sent, closed) = (acceptor.clone(), sent.clone(), closed.clone());
        tokio::spawn(async move {
            if spoken == Spoken::Plain {
                flood(stream, spoken, &sent).await;
            } else if let Ok(stream) = acceptor.accept(stream).await {
                flood(stream, spoken, &sent).await;
            }
            closed.send_modify(|closed| *closed += 1);
        });
    }
}

/// Reads the request, then sends until the other side has gone. What else it is sent it reads and leaves out.
async fn flood(mut stream: impl AsyncRead + AsyncWrite + Unpin, spoken: Spoken, sent: &Sent) {
    if spoken == Spoken::Http2 {
        let _ = stream.read_exact(&mut [0; 24]).await;
        let _ = stream.write_all(&frame(SETTINGS, 0, 0, &[])).await;
    }
    let asked =
        if spoken == Spoken::Http2 { request_frame(&mut stream).await } else { request(&mut stream).await };
    if !asked || stream.write_all(&sent.once).await.is_err() {
        return;
    }
    let (mut reader, mut writer) = tokio::io::split(stream);
    let many = sent.again.repeat((256 << 10) / sent.again.len().max(1));
    let write = async { while !many.is_empty() && writer.write_all(&many).await.is_ok() {} };
    let mut bytes = vec![0; 64 << 10];
    let read = async { while matches!(reader.read(&mut bytes).await, Ok(1..)) {} };
    if many.is_empty() {
        read.await;
    } else {
        tokio::select! { () = write => {}, () = read => {} }
    }
}

/// Reads frames up to the head of a request.
async fn request_frame(stream: &mut (impl AsyncRead + Unpin)) -> bool {
    loop {
        let mut head = [0; 9];
        if stream.read_exact(&mut head).await.is_err() {
            return false;
        }
        let [a, b, c, kind, ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        if stream.read_exact(&mut payload).await.is_err() {
            return false;
        }
        if kind == HEADERS {
            return true;
        }
    }
}

/// Reads the head of a request; its body is left out with what follows.
async fn request(stream: &mut (impl AsyncRead + Unpin)) -> bool {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        if !matches!(stream.read_buf(&mut head).await, Ok(1..)) {
            return false;
        }
    }
    true
}

/// The first stream of a connection.
const STREAM: u32 = 1;

/// `:status` and these letters, as a literal that is not indexed (RFC 7541, 6.2.2).
fn status(code: &str) -> Vec<u8> {
    [&[0x08, 3], code.as_bytes()].concat()
}

fn interim(spoken: Spoken) -> Vec<u8> {
    match spoken {
        Spoken::Http2 => frame(HEADERS, END_HEADERS, STREAM, &status("100")),
        _ => b"HTTP/1.1 100 Continue\r\n\r\n".to_vec(),
    }
}

/// An interim answer of some 16 KiB.
fn large_interim(spoken: Spoken) -> Vec<u8> {
    let value = "x".repeat(80);
    if spoken == Spoken::Http2 {
        // A literal header field with a new name.
        let field = [&[0, 4], &b"link"[..], &[80], value.as_bytes()].concat();
        return frame(HEADERS, END_HEADERS, STREAM, &[status("103"), field.repeat(180)].concat());
    }
    let headers: Vec<String> = (0..180).map(|number| format!("link-{number}: {value}\r\n")).collect();
    format!("HTTP/1.1 103 Early Hints\r\n{}\r\n", headers.concat()).into_bytes()
}

fn answer(spoken: Spoken) -> Vec<u8> {
    match spoken {
        // `:status: 200`, and the end of the stream.
        Spoken::Http2 => frame(HEADERS, END_HEADERS | 1, STREAM, &[0x88]),
        _ => b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_vec(),
    }
}

/// Several receivers flood at once; beside them another is sent to. Returns how the floods end.
async fn beside_a_good_one(spoken: Spoken, sent: &Sent) -> Vec<Result<Option<u16>, Failure>> {
    let floods: Vec<Flooding> = (0..FLOODS).map(|_| Flooding::start(spoken, sent.clone())).collect();
    let hostile = join_all(floods.iter().map(Flooding::action)).await;
    let receiver = Receiver::start(|_| ok("")).await;
    let good = {
        let runtime = runtime_with(settings(), &[]);
        let source = aftercommit_runtime::ComponentSource::File(component("webhook"));
        let plugin = runtime.load("webhook", source, None).await.unwrap();
        configure(&plugin, json!({"url": receiver.origin(), "grants": {"private_network": true}})).await
    };
    let flooded = tokio::spawn(async move {
        let ended = join_all(hostile.iter().map(run)).await;
        ended.into_iter().map(|attempt| attempt.result.map(|outcome| outcome.status)).collect::<Vec<_>>()
    });
    // One after the other, until the floods have ended, and ten at least.
    let mut count = 0;
    while count < 10 || !flooded.is_finished() {
        assert_eq!(run(&good).await.result.unwrap().status, Some(200), "{spoken:?}");
        count += 1;
    }
    for flood in &floods {
        flood.closed(1).await;
    }
    flooded.await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn interim_answers_without_end_hold_no_thread() {
    for spoken in [Spoken::Plain, Spoken::Tls, Spoken::Http2] {
        for again in [interim(spoken), large_interim(spoken)] {
            let sent = Sent { once: Vec::new(), again };
            for ended in beside_a_good_one(spoken, &sent).await {
                let failure = ended.unwrap_err();
                assert!(failure.is_transient(), "{failure}");
                assert_eq!(failure.problem.code.as_str(), "protocol", "{spoken:?}: {failure}");
                let expected = if spoken == Spoken::Http2 {
                    "the receiver sent more than 2 MiB that belong to no answer"
                } else {
                    "the receiver sent more than 32 interim (1xx) answers before a final one"
                };
                assert!(failure.problem.message.contains(expected), "{spoken:?}: {failure}");
            }
        }
    }
}

#[tokio::test]
async fn some_interim_answers_are_passed_over() {
    for spoken in [Spoken::Plain, Spoken::Tls, Spoken::Http2] {
        for one in [interim(spoken), large_interim(spoken)] {
            for count in [1, 31, 32] {
                let once = [one.repeat(count), answer(spoken)].concat();
                let receiver = Flooding::start(spoken, Sent { once, again: Vec::new() });
                let attempt = run(&receiver.action().await).await;
                assert_eq!(attempt.result.unwrap().status, Some(200), "{spoken:?} {count}");
            }
        }
    }
    // Also where an answer follows at once.
    let once = [interim(Spoken::Plain).repeat(33), answer(Spoken::Plain)].concat();
    let receiver = Flooding::start(Spoken::Plain, Sent { once, again: Vec::new() });
    let failure = run(&receiver.action().await).await.result.unwrap_err();
    assert!(failure.problem.message.contains("more than 32 interim"), "{failure}");
}

/// What comes after an answer belongs to no request: the connection is closed, and not used again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_connection_that_is_flooded_is_closed() {
    for spoken in [Spoken::Plain, Spoken::Tls, Spoken::Http2] {
        let receiver = Flooding::start(spoken, Sent { once: answer(spoken), again: interim(spoken) });
        let action = receiver.action().await;
        for count in 1..=3 {
            assert_eq!(run(&action).await.result.unwrap().status, Some(200), "{spoken:?}");
            receiver.closed(count).await;
        }
    }
}

/// Frames that cost the receiver nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http2_frames_without_end_hold_no_thread() {
    let head = frame(HEADERS, END_HEADERS, STREAM, &[0x88]);
    let unfinished = frame(HEADERS, 0, STREAM, &status("100"));
    let none = Vec::new;
    for (what, once, again, expected) in [
        ("SETTINGS", none(), frame(SETTINGS, 0, 0, &[]), None),
        ("PING", none(), frame(PING, 0, 0, &[0; 8]), None),
        ("WINDOW_UPDATE", none(), frame(WINDOW_UPDATE, 0, STREAM, &[0, 0, 0, 1]), None),
        ("PRIORITY", none(), frame(PRIORITY, 0, STREAM, &[0, 0, 0, 0, 1]), None),
        ("an unknown frame", none(), frame(0xbe, 0, STREAM, &[]), None),
        ("CONTINUATION", unfinished, frame(CONTINUATION, 0, STREAM, &[]), None),
        ("empty DATA", head, frame(DATA, 0, STREAM, &[]), Some(200)),
    ] {
        for ended in beside_a_good_one(Spoken::Http2, &Sent { once, again }).await {
            match (ended, expected) {
                (Ok(status), Some(_)) => assert_eq!(status, expected, "{what}"),
                (Err(failure), None) => {
                    assert_eq!(failure.problem.code.as_str(), "protocol", "{what}: {failure}");
                }
                (ended, _) => panic!("{what}: {ended:?}"),
            }
        }
    }
}

/// What ends a chunked body without an end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chunk_extensions_and_trailers_without_end_hold_no_thread() {
    let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    for (once, again) in [
        (&b"0\r\n"[..], &b"x-a: xxxxxxxxxxxxxxxx\r\n"[..]),
        (b"2;a=", b"xxxxxxxxxxxxxxxxx"),
        (b"0\r\nx-a: ", b"xxxxxxxxxxxxxxxxx"),
        (b"", b"1;a\r\nx\r\n"),
    ] {
        let sent = Sent { once: [head, once].concat(), again: again.to_vec() };
        for ended in beside_a_good_one(Spoken::Plain, &sent).await {
            assert_eq!(ended.unwrap(), Some(200), "{}", String::from_utf8_lossy(&sent.again));
        }
    }
}
