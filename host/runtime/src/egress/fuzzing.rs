//! What the fuzz targets call (`host/fuzz-targets`): each client of the egress against a server on loopback that answers anything.

use std::{
    cell::RefCell,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use aftercommit_core::SystemClock;
use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    runtime::{Builder, Runtime},
};

use super::{
    Bounds, Clients, Egress, Letter, Permit, Request, Services, Who,
    mail::{MailServer, SmtpEncryption, SmtpSettings},
    memcached::{MemcachedServer, MemcachedSettings},
    redis::{RedisServer, RedisSettings},
};
use crate::{
    EnvSecrets,
    capability::{Effective, Need, Needs, PrivateNetwork},
    hostapi::ProviderTokens,
};

/// Longer than any answer here takes.
const DEADLINE: Duration = Duration::from_secs(2);
const RESPONSE_BYTES: u64 = 4096;

/// A server on loopback and the clients that talk to it.
pub struct Peer {
    runtime: Runtime,
    port: u16,
    answer: Arc<Mutex<Answer>>,
    egress: Egress,
    permit: Permit,
}

#[derive(Clone, Default)]
struct Answer {
    bytes: Vec<u8>,
    /// A mail server speaks before it is asked.
    speaks_first: bool,
}

impl Peer {
    /// Runs with the peer of this thread.
    pub fn with(run: impl FnOnce(&Self)) {
        thread_local! {
            static PEER: RefCell<Option<Peer>> = const { RefCell::new(None) };
        }
        PEER.with_borrow_mut(|peer| run(peer.get_or_insert_with(Self::start)));
    }

    fn start() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
        let answer = Arc::<Mutex<Answer>>::default();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("loopback has free ports");
        let port = listener.local_addr().expect("it is bound").port();
        runtime.spawn(serve(listener, Arc::clone(&answer)));
        let (egress, permit) = runtime.block_on(async { client_of(port) });
        Self { runtime, port, answer, egress, permit }
    }

    /// The bytes are all that an HTTP server answers.
    pub fn http(&self, answer: &[u8]) {
        self.answers(answer, false);
        let request = Request {
            method: "POST".to_owned(),
            url: format!("http://127.0.0.1:{}/", self.port),
            max_redirects: 2,
            ..Request::default()
        };
        let ended = self.runtime.block_on(self.egress.send(&self.permit, &request, bounds()));
        if let Ok(response) = ended {
            let headers = response.headers.iter().map(|(name, value)| name.as_str().len() + value.len());
            assert!((headers.sum::<usize>() + response.body.len()) as u64 <= RESPONSE_BYTES);
        }
    }

    /// The bytes are all that a mail server says.
    pub fn smtp(&self, answer: &[u8]) {
        self.answers(answer, true);
        let settings = SmtpSettings::new("127.0.0.1", self.port, SmtpEncryption::None);
        let server = MailServer::new(settings, &[], Arc::new(EnvSecrets)).expect("there are no certificates");
        let letter = Letter {
            sender: Some("shop@example.com".to_owned()),
            to: vec!["ana@example.com".to_owned()],
            text: Some("text".to_owned()),
            ..Letter::default()
        };
        // Noise can be the replies of a server that takes the message.
        let _ = self.runtime.block_on(server.send(
            &self.egress,
            &letter,
            "fuzz",
            SystemTime::UNIX_EPOCH,
            bounds(),
        ));
    }

    /// The bytes are all that a Redis server replies.
    pub fn redis(&self, answer: &[u8]) {
        self.answers(answer, false);
        let url = format!("redis://127.0.0.1:{}", self.port);
        let settings = RedisSettings::from_url(&url).expect("this is a URL");
        let server = RedisServer::new("fuzzed", settings, &[]).expect("there are no certificates");
        let replies = self.runtime.block_on(server.execute("GET", &[b"key"], bounds()));
        if let Ok(replies) = replies {
            assert!(replies.len() as u64 <= RESPONSE_BYTES, "{} parts", replies.len());
        }
    }

    /// The bytes are all that a Memcached server replies.
    pub fn memcached(&self, answer: &[u8]) {
        self.answers(answer, false);
        let url = format!("memcached://127.0.0.1:{}", self.port);
        let server = MemcachedServer::new(MemcachedSettings::from_url(&url).expect("this is a URL"));
        let deleted = self.runtime.block_on(server.delete("key", bounds()));
        if deleted == Ok(true) {
            assert!(answer.starts_with(b"DELETED"), "{}", answer.escape_ascii());
        }
    }

    fn answers(&self, bytes: &[u8], speaks_first: bool) {
        let answer = Answer { bytes: bytes.to_vec(), speaks_first };
        *self.answer.lock() = answer;
    }
}

fn bounds() -> Bounds {
    Bounds { deadline: Instant::now() + DEADLINE, response_bytes: RESPONSE_BYTES }
}

/// Answers each connection with the same bytes and ends it.
async fn serve(listener: TcpListener, answer: Arc<Mutex<Answer>>) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let answer = answer.lock().clone();
        let mut asked = [0; 1024];
        if !answer.speaks_first && stream.read(&mut asked).await.is_err() {
            continue;
        }
        // A client that has gone is no matter.
        let _ = stream.write_all(&answer.bytes).await;
        let _ = stream.shutdown().await;
        tokio::spawn(async move { while matches!(stream.read(&mut asked).await, Ok(1..)) {} });
    }
}

fn client_of(port: u16) -> (Egress, Permit) {
    let clients = Clients::new("fuzz", &[]).expect("there are no certificates");
    let effective = Effective {
        needs: Needs::default().with(Need::Http),
        origins: vec![format!("http://127.0.0.1:{port}").parse().expect("this is an origin")],
        private_network: PrivateNetwork::Granted,
        ..Effective::default()
    };
    let permit = Permit::new(Arc::<Who>::default(), effective, &clients);
    let egress = Egress {
        clients,
        services: Services::default(),
        clock: Arc::new(SystemClock),
        provider_tokens: ProviderTokens::default(),
    };
    (egress, permit)
}
