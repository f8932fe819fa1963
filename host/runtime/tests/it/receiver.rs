//! A small HTTP/1.1 server on loopback that keeps what it received.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
};

/// One request.
#[derive(Clone, Default, Debug)]
pub(crate) struct Received {
    pub(crate) method: String,
    pub(crate) path: String,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Received {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// What to answer: a whole response, or none ever.
type Answer = dyn Fn(&Received) -> Option<String> + Send + Sync;

pub(crate) struct Receiver {
    port: u16,
    seen: Arc<Mutex<Vec<Received>>>,
    connections: Arc<AtomicUsize>,
}

pub(crate) fn ok(body: &str) -> Option<String> {
    answer("200 OK", "", body)
}

#[expect(clippy::unnecessary_wraps, reason = "what a receiver's closure returns")]
pub(crate) fn answer(status: &str, headers: &str, body: &str) -> Option<String> {
    Some(format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\n\r\n{body}", body.len()))
}

impl Receiver {
    pub(crate) async fn start(answer: impl Fn(&Received) -> Option<String> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (seen, connections) = (Arc::default(), Arc::new(AtomicUsize::new(0)));
        let answer: Arc<Answer> = Arc::new(answer);
        let (kept, count) = (Arc::clone(&seen), Arc::clone(&connections));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(stream, Arc::clone(&kept), Arc::clone(&answer)));
            }
        });
        Self { port, seen, connections }
    }

    /// `http://127.0.0.1:PORT`.
    pub(crate) fn origin(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn seen(&self) -> Vec<Received> {
        self.seen.lock().unwrap().clone()
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

async fn serve(stream: TcpStream, seen: Arc<Mutex<Vec<Received>>>, answer: Arc<Answer>) {
    let mut stream = BufReader::new(stream);
    while let Some(received) = read(&mut stream).await {
        let response = answer(&received);
        seen.lock().unwrap().push(received);
        match response {
            Some(response) => {
                if stream.write_all(response.as_bytes()).await.is_err() {
                    return;
                }
            }
            None => std::future::pending().await,
        }
    }
}

async fn read(stream: &mut BufReader<TcpStream>) -> Option<Received> {
    let mut line = String::new();
    if stream.read_line(&mut line).await.ok()? == 0 {
        return None;
    }
    let mut parts = line.split_whitespace();
    let mut received =
        Received { method: parts.next()?.to_owned(), path: parts.next()?.to_owned(), ..Received::default() };
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        received.headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let length = received.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    received.body = String::from_utf8_lossy(&body).into_owned();
    Some(received)
}
