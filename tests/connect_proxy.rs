//! A forward proxy for tests: tunnels by `CONNECT` (RFC 9110, 9.3.6).

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// A proxy on loopback that looks names up in a table of its own; it ends when dropped.
pub struct ConnectProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

struct Shared {
    /// Authorities as clients name them, and the ports on loopback that they are.
    names: HashMap<String, u16>,
    /// The value of `Proxy-Authorization` that it wants.
    login: Mutex<Option<String>>,
    heads: Mutex<Vec<String>>,
}

impl ConnectProxy {
    /// Starts one that knows these names, each `HOST:PORT`, and wants no login.
    pub async fn start(names: impl IntoIterator<Item = (String, u16)>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port on loopback");
        let address = listener.local_addr().expect("a bound address");
        let shared = Arc::new(Shared {
            names: names.into_iter().collect(),
            login: Mutex::default(),
            heads: Mutex::default(),
        });
        let of_proxy = Arc::clone(&shared);
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = Arc::clone(&of_proxy);
                // A client that goes away ends its tunnel.
                tokio::spawn(async move { drop(shared.tunnel(stream).await) });
            }
        });
        Self { address, shared, server }
    }

    /// From now on wants this `Proxy-Authorization`.
    pub fn want_login(&self, login: &str) {
        *self.shared.login.lock().unwrap_or_else(PoisonError::into_inner) = Some(login.to_owned());
    }

    /// Its URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The heads of all requests so far.
    #[must_use]
    pub fn heads(&self) -> Vec<String> {
        self.shared.heads.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Shared {
    async fn tunnel(&self, mut client: TcpStream) -> io::Result<()> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(client.read_u8().await?);
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        self.heads.lock().unwrap_or_else(PoisonError::into_inner).push(head.clone());
        let wanted = self.login.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let header = |(name, value): (&str, &str)| {
            name.eq_ignore_ascii_case("proxy-authorization").then(|| value.trim().to_owned())
        };
        if wanted.is_some() && head.lines().filter_map(|line| line.split_once(':')).find_map(header) != wanted
        {
            return client.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n").await;
        }
        let authority = head.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next());
        let Some(port) = authority.and_then(|authority| self.names.get(authority)) else {
            return client.write_all(b"HTTP/1.1 502 Bad Gateway\r\n\r\n").await;
        };
        let mut server = TcpStream::connect(("127.0.0.1", *port)).await?;
        client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
        copy_bidirectional(&mut client, &mut server).await.map(drop)
    }
}

impl Drop for ConnectProxy {
    fn drop(&mut self) {
        self.server.abort();
    }
}
