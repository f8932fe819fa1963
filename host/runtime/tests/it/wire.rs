//! A server that keeps every byte that it was sent, and answers byte for byte as it is told.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// What a connection is answered once a request's head, and the body that it tells of, is there.
#[derive(Clone)]
pub(crate) enum Say {
    /// These bytes, then the end of the connection.
    Once(Vec<u8>),
    /// The first, then the second again and again, until the other side has gone.
    ForEver(Vec<u8>, Vec<u8>),
    /// The first, then the second every few milliseconds, until the other side has gone.
    Drip(Vec<u8>, Vec<u8>),
    /// The bytes, then nothing.
    Hang(Vec<u8>),
}

/// Between two drops.
const DRIP: Duration = Duration::from_millis(5);

/// The server.
pub(crate) struct Wire {
    port: u16,
    connections: Arc<AtomicUsize>,
    /// Everything that arrived, one text a connection that has ended.
    ended: watch::Receiver<Vec<String>>,
}

impl Wire {
    pub(crate) async fn start(say: Say) -> Self {
        Self::start_with_port(|_| say).await
    }

    /// A server that says something of its own port.
    pub(crate) async fn start_with_port(say: impl FnOnce(u16) -> Say) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let say = say(port);
        let connections = Arc::new(AtomicUsize::new(0));
        let (tell, ended) = watch::channel(Vec::new());
        let (count, tell) = (Arc::clone(&connections), Arc::new(tell));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, SeqCst);
                let (say, tell) = (say.clone(), Arc::clone(&tell));
                tokio::spawn(async move {
                    let seen = Mutex::new(Vec::new());
                    serve(stream, say, &seen).await;
                    let seen = String::from_utf8_lossy(&seen.into_inner().unwrap()).into_owned();
                    tell.send_modify(|all| all.push(seen));
                });
            }
        });
        Self { port, connections, ended }
    }

    /// An answer that ends the connection.
    pub(crate) async fn answering(head_and_body: &str) -> Self {
        Self::start(Say::Once(format!("HTTP/1.1 {head_and_body}").into_bytes())).await
    }

    pub(crate) fn origin(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(crate) fn authority(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(SeqCst)
    }

    /// What came on the first so many connections, once they have ended.
    pub(crate) async fn ended(&self, count: usize) -> Vec<String> {
        let mut ended = self.ended.clone();
        let all = ended.wait_for(|all| all.len() >= count).await.unwrap();
        all.clone()
    }
}

async fn serve(mut stream: TcpStream, say: Say, seen: &Mutex<Vec<u8>>) {
    if !request(&mut stream, seen).await {
        return;
    }
    match say {
        Say::Once(bytes) => {
            // Whoever has gone already has had enough.
            let _ = stream.write_all(&bytes).await;
            let _ = stream.shutdown().await;
        }
        Say::ForEver(first, then) => {
            if stream.write_all(&first).await.is_err() {
                return;
            }
            while stream.write_all(&then).await.is_ok() {}
            return;
        }
        Say::Drip(first, then) => {
            if stream.write_all(&first).await.is_err() {
                return;
            }
            while stream.write_all(&then).await.is_ok() {
                tokio::time::sleep(DRIP).await;
            }
            return;
        }
        Say::Hang(bytes) => {
            let _ = stream.write_all(&bytes).await;
        }
    }
    // What else the other side sends until it closes.
    while more(&mut stream, seen).await {}
}

/// Reads a head and as much of a body as it tells of.
async fn request(stream: &mut TcpStream, seen: &Mutex<Vec<u8>>) -> bool {
    loop {
        let complete = {
            let seen = String::from_utf8_lossy(&seen.lock().unwrap()).into_owned();
            seen.split_once("\r\n\r\n").is_some_and(|(head, body)| {
                let told = head.to_ascii_lowercase();
                let length = told.lines().find_map(|line| line.strip_prefix("content-length:"));
                body.len() >= length.map_or(0, |length| length.trim().parse().unwrap_or(0))
            })
        };
        if complete {
            return true;
        }
        if !more(stream, seen).await {
            return false;
        }
    }
}

async fn more(stream: &mut TcpStream, seen: &Mutex<Vec<u8>>) -> bool {
    let mut bytes = vec![0; 16 << 10];
    match stream.read(&mut bytes).await {
        Ok(0) | Err(_) => false,
        Ok(count) => {
            seen.lock().unwrap().extend_from_slice(&bytes[..count]);
            true
        }
    }
}
