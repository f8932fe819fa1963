//! Servers that do not speak HTTP as they should.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{self, AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::sleep,
};

/// What they do, each by its name.
pub(super) const KINDS: [&str; 10] =
    ["drips", "closes", "resets", "garbage", "silent", "heads", "endless", "early", "short", "redirects"];

/// One on a free port of loopback; it ends when dropped.
pub(super) struct UnrulyServer {
    address: SocketAddr,
    server: JoinHandle<()>,
}

impl UnrulyServer {
    pub(super) async fn start(kind: &'static str) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port on loopback");
        let address = listener.local_addr().expect("a bound address");
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // A client that goes away is what most of them are for.
                tokio::spawn(async move { drop(misbehave(kind, stream, address).await) });
            }
        });
        Self { address, server }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }
}

impl Drop for UnrulyServer {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn misbehave(kind: &str, mut stream: TcpStream, address: SocketAddr) -> io::Result<()> {
    let mut asked = [0; 4096];
    if kind == "early" {
        return stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\n")
            .await;
    }
    if stream.read(&mut asked).await? == 0 || kind == "closes" {
        return Ok(());
    }
    match kind {
        "drips" => {
            for byte in b"HTTP/1.1 200 OK\r\nx: y\r\n".iter().cycle() {
                stream.write_all(&[*byte]).await?;
                sleep(Duration::from_millis(20)).await;
            }
            Ok(())
        }
        "resets" => stream.set_zero_linger(),
        "garbage" => {
            let noise: Vec<u8> =
                std::iter::repeat_with(|| fastrand::u8(..)).take(fastrand::usize(..8192)).collect();
            stream.write_all(&noise).await
        }
        "heads" => {
            again(&mut stream, b"HTTP/1.1 200 OK\r\n", &[b"x: ", &[b'y'; 1000][..], b"\r\n"].concat()).await
        }
        "endless" => {
            let piece = [b"1000\r\n", &[b'z'; 4096][..], b"\r\n"].concat();
            again(&mut stream, b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", &piece).await
        }
        "short" => {
            stream.write_all(b"HTTP/1.1 503 Busy\r\ncontent-length: 99999\r\nretry-after: 0\r\n\r\nx").await
        }
        "redirects" => {
            let answer = format!(
                "HTTP/1.1 307 Temporary Redirect\r\nlocation: http://{address}/\r\ncontent-length: 0\r\n\r\n"
            );
            stream.write_all(answer.as_bytes()).await
        }
        // Until the client gives up.
        _ => stream.read(&mut asked).await.map(drop),
    }
}

/// Begins an answer and never ends it.
async fn again(stream: &mut TcpStream, begin: &[u8], piece: &[u8]) -> io::Result<()> {
    stream.write_all(begin).await?;
    loop {
        stream.write_all(piece).await?;
    }
}
