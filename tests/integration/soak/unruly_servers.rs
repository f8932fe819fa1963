//! Servers that do not answer as they should, whatever the protocol.

use std::{collections::BTreeMap, iter::repeat_with, time::Duration};

use tokio::{
    io::{self, AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::sleep,
};

/// What a server does with each connection.
#[derive(Clone, Copy)]
enum Answer {
    /// Writes this to each request, however often one comes.
    Whole(&'static [u8]),
    /// The same, after a pause.
    Late(Duration, &'static [u8]),
    /// Writes this before anybody asks, and closes.
    Unasked(&'static [u8]),
    /// Writes this before anybody asks, until the client goes away.
    EndlessUnasked(&'static [u8]),
    /// Writes the first once, and the second until the client goes away.
    Endless(&'static [u8], &'static [u8]),
    /// The same, a byte at a time.
    Drip(&'static [u8], &'static [u8]),
    /// Writes this and closes in the middle.
    Cut(&'static [u8]),
    /// Writes this and ends the connection with a RST.
    Reset(&'static [u8]),
    /// Writes up to 8 KiB of anything, and closes.
    Noise,
    /// Reads, and writes nothing.
    Silence,
}

/// Between two bytes of a drip: many within the timeout of a call.
const DRIP: Duration = Duration::from_millis(20);

use Answer::{Cut, Drip, Endless, EndlessUnasked, Late, Noise, Reset, Silence, Unasked, Whole};

/// The servers, each by its name.
const SERVERS: &[(&str, Answer)] = &[
    ("answers-500", Whole(b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 4\r\n\r\nlost")),
    ("answers-429", Whole(b"HTTP/1.1 429 Too Many Requests\r\ncontent-length: 0\r\n\r\n")),
    (
        "asks-for-time",
        Whole(b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n"),
    ),
    ("redirects", Whole(b"HTTP/1.1 307 Temporary Redirect\r\nlocation: /again\r\ncontent-length: 0\r\n\r\n")),
    ("slow", Late(Duration::from_millis(500), b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")),
    ("unasked", Unasked(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\n")),
    (
        "endless-head",
        Endless(b"HTTP/1.1 200 OK\r\n", b"x-header: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n"),
    ),
    (
        "endless-body",
        Endless(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", b"10\r\nzzzzzzzzzzzzzzzz\r\n"),
    ),
    ("endless-continue", Endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n")),
    ("drips-head", Drip(b"", b"HTTP/1.1 200 OK\r\nx: y\r\n")),
    ("drips-body", Drip(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n", b"z")),
    ("cuts-head", Cut(b"HTTP/1.1 200 OK\r\ncontent-le")),
    ("cuts-body", Cut(b"HTTP/1.1 200 OK\r\ncontent-length: 99999\r\n\r\nx")),
    ("closes", Cut(b"")),
    ("resets", Reset(b"")),
    ("resets-body", Reset(b"HTTP/1.1 200 OK\r\ncontent-length: 99999\r\n\r\nx")),
    (NOISE, Noise),
    ("silence", Silence),
    (ENDLESS_REPLY, Endless(b"", b"$1\r\nx\r\n")),
    (ENDLESS_GREETING, EndlessUnasked(b"220-wait for it\r\n")),
];

/// A server of no protocol.
pub(super) const NOISE: &str = "noise";
/// As a Redis or Memcached server would reply, and HTTP is not.
pub(super) const ENDLESS_REPLY: &str = "endless-reply";
/// As a mail server would begin.
pub(super) const ENDLESS_GREETING: &str = "endless-greeting";

/// All of them, each on a free port of loopback; they end when dropped.
pub(super) struct UnrulyServers {
    ports: BTreeMap<&'static str, u16>,
    /// Dropping it ends them.
    _running: JoinSet<()>,
}

impl UnrulyServers {
    pub(super) async fn start() -> Self {
        let (mut ports, mut running) = (BTreeMap::new(), JoinSet::new());
        for &(name, answer) in SERVERS {
            let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port on loopback");
            ports.insert(name, listener.local_addr().expect("a bound address").port());
            running.spawn(serve(listener, answer));
        }
        Self { ports, _running: running }
    }

    /// Host and port.
    pub(super) fn address(&self, name: &str) -> String {
        format!("127.0.0.1:{}", self.ports[name])
    }

    /// Its port.
    pub(super) fn port(&self, name: &str) -> u16 {
        self.ports[name]
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.ports.keys().copied()
    }
}

async fn serve(listener: TcpListener, answer: Answer) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            // A client that goes away is what most of the servers are for.
            accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                connections.spawn(async move { drop(answer.give(stream).await) });
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

impl Answer {
    async fn give(self, mut stream: TcpStream) -> io::Result<()> {
        let mut asked = [0; 4096];
        match self {
            Unasked(bytes) => return stream.write_all(bytes).await,
            EndlessUnasked(piece) => return again(&mut stream, piece).await,
            _ => {}
        }
        while stream.read(&mut asked).await? > 0 {
            match self {
                Unasked(_) | EndlessUnasked(_) | Silence => {}
                Whole(bytes) => stream.write_all(bytes).await?,
                Late(pause, bytes) => {
                    sleep(pause).await;
                    stream.write_all(bytes).await?;
                }
                Endless(begin, piece) => {
                    stream.write_all(begin).await?;
                    again(&mut stream, piece).await?;
                }
                Drip(begin, piece) => {
                    stream.write_all(begin).await?;
                    for byte in piece.iter().cycle() {
                        stream.write_all(&[*byte]).await?;
                        sleep(DRIP).await;
                    }
                }
                Cut(bytes) => return stream.write_all(bytes).await,
                Reset(bytes) => {
                    stream.write_all(bytes).await?;
                    return stream.set_zero_linger();
                }
                Noise => {
                    let noise: Vec<u8> =
                        repeat_with(|| fastrand::u8(..)).take(fastrand::usize(..8192)).collect();
                    return stream.write_all(&noise).await;
                }
            }
        }
        Ok(())
    }
}

/// For ever: the end is an error of the connection.
async fn again(stream: &mut TcpStream, piece: &[u8]) -> io::Result<()> {
    let pieces = piece.repeat(100);
    loop {
        stream.write_all(&pieces).await?;
    }
}
