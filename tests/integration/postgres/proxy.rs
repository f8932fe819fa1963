//! A proxy between hosts and their server: a TCP port that leads to the server's socket, and can stop doing so.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use aftercommit_tests::Cluster;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, UnixStream, tcp, unix},
    sync::watch,
    task::JoinHandle,
};

/// What the server answers to a commit that is done (PostgreSQL 17, 53.7 "Message Formats", `CommandComplete`).
const COMMITTED: &[u8] = b"COMMIT\0";

/// What happens to connections.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    /// Bytes pass both ways.
    Pass,
    /// Nothing passes, nothing is closed: half open, as after a cable was pulled.
    Stall,
}

/// Answers to commits that are lost, each with its connection.
#[derive(Default)]
struct Losses {
    left: AtomicUsize,
    commits: AtomicUsize,
}

/// Of so many commits the answer to one is lost: who tries again gets through.
const OF_COMMITS: usize = 4;

impl Losses {
    /// Whether the answer to a commit is lost.
    fn take(&self) -> bool {
        let lose = |left: usize| left.checked_sub(1);
        self.commits.fetch_add(1, Relaxed).is_multiple_of(OF_COMMITS)
            && self.left.fetch_update(Relaxed, Relaxed, lose).is_ok()
    }
}

/// A proxy before a server; it ends when dropped.
pub(crate) struct Proxy {
    port: u16,
    /// The fate of the connections made since it was told; those from before keep theirs.
    fate: watch::Sender<Fate>,
    losses: Arc<Losses>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// One that lets everything pass.
    pub(crate) async fn start(cluster: &Cluster) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port on loopback");
        let port = listener.local_addr().expect("a bound address").port();
        let (fate, losses) = (watch::Sender::new(Fate::Pass), Arc::<Losses>::default());
        let socket = cluster.folder().join(".s.PGSQL.5432");
        let accepting = tokio::spawn(accept(listener, socket, fate.subscribe(), Arc::clone(&losses)));
        Self { port, fate, losses, accepting }
    }

    /// The URL of a database through it.
    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}?sslmode=disable", self.port)
    }

    /// From now on nothing passes, on no connection, and none is closed. New ones are taken and get no answer.
    pub(crate) fn stall(&self) {
        self.fate.send_replace(Fate::Stall);
    }

    /// New connections pass again; those that stalled stay as they are.
    pub(crate) fn pass_new(&self) {
        self.fate.send_replace(Fate::Pass);
    }

    /// So many of the next commits, one in four, are done, but their answers are lost together with their connections.
    pub(crate) fn lose_answers_to_commits(&self, count: usize) {
        self.losses.left.store(count, Relaxed);
    }

    /// How many are still to be lost.
    pub(crate) fn answers_to_lose(&self) -> usize {
        self.losses.left.load(Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, socket: PathBuf, fate: watch::Receiver<Fate>, losses: Arc<Losses>) {
    loop {
        let Ok((client, _)) = listener.accept().await else { return };
        let _ = client.set_nodelay(true);
        tokio::spawn(carry(client, socket.clone(), fate.clone(), Arc::clone(&losses)));
    }
}

/// Until either side closes; a stall lasts as long as the proxy.
async fn carry(client: TcpStream, socket: PathBuf, mut fate: watch::Receiver<Fate>, losses: Arc<Losses>) {
    let (from_client, to_client) = client.into_split();
    let passing = async {
        let Ok(server) = UnixStream::connect(socket).await else { return };
        let (from_server, to_server) = server.into_split();
        tokio::select! {
            () = ask(from_client, to_server) => {}
            () = answer(from_server, to_client, &losses) => {}
        }
    };
    let mut passing = Box::pin(passing);
    let stalled = tokio::select! {
        biased;
        stalled = fate.wait_for(|fate| *fate == Fate::Stall) => stalled.is_ok(),
        () = &mut passing => false,
    };
    if stalled {
        // Both sockets stay open, and nobody reads them.
        while fate.changed().await.is_ok() {}
    }
}

async fn ask(mut from: tcp::OwnedReadHalf, mut to: unix::OwnedWriteHalf) {
    let _ = tokio::io::copy(&mut from, &mut to).await;
}

/// Returns before it passes on an answer that is to be lost.
async fn answer(mut from: unix::OwnedReadHalf, mut to: tcp::OwnedWriteHalf, losses: &Losses) {
    let mut piece = vec![0; 64 << 10];
    while let Ok(size @ 1..) = from.read(&mut piece).await {
        let piece = &piece[..size];
        let commits = piece.windows(COMMITTED.len()).any(|bytes| bytes == COMMITTED);
        if (commits && losses.take()) || to.write_all(piece).await.is_err() {
            return;
        }
    }
}
