//! What names lead to: answers that change from one look to the next, and answers of several addresses.

use std::{
    collections::VecDeque,
    io,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use aftercommit_core::SystemClock;
use futures::future::BoxFuture;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use super::{
    Bounds, Clients, Egress, EgressError, Permit, Request, Services, Who, names::Names, redirects::Redirects,
};
use crate::{
    capability::{Effective, Need, Needs, PrivateNetwork},
    hostapi::ProviderTokens,
};

/// Answers a name's looks one after the other; the last answer stays.
#[derive(Debug)]
struct Script {
    answers: Mutex<VecDeque<Vec<IpAddr>>>,
    looks: AtomicUsize,
}

impl Names for Script {
    fn look_up<'n>(&'n self, _: &'n str, port: u16) -> BoxFuture<'n, io::Result<Vec<SocketAddr>>> {
        self.looks.fetch_add(1, SeqCst);
        let mut answers = self.answers.lock().unwrap();
        let answer = if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() };
        let addresses = answer.unwrap_or_default().into_iter().map(|address| SocketAddr::new(address, port));
        Box::pin(std::future::ready(Ok(addresses.collect())))
    }
}

/// Two servers on the same port of two addresses of loopback: one may be connected to, the other may not.
struct Pair {
    port: u16,
    allowed: Arc<AtomicUsize>,
    forbidden: Arc<AtomicUsize>,
}

const ALLOWED: &str = "127.0.0.2";
const FORBIDDEN: &str = "127.0.0.1";

impl Pair {
    async fn start() -> Self {
        loop {
            let first = TcpListener::bind((ALLOWED, 0)).await.unwrap();
            let port = first.local_addr().unwrap().port();
            // Another program may have the same port of the other address.
            let Ok(second) = TcpListener::bind((FORBIDDEN, port)).await else { continue };
            return Self { port, allowed: serve(first), forbidden: serve(second) };
        }
    }
}

/// Answers every request on a connection of its own, and counts the connections.
fn serve(listener: TcpListener) -> Arc<AtomicUsize> {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counted.fetch_add(1, SeqCst);
            let mut request = [0; 4096];
            if stream.read(&mut request).await.is_ok() {
                let answer = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
                // A client that has gone is no matter.
                let _ = stream.write_all(answer).await;
            }
        }
    });
    count
}

/// An egress where `rebind.example` has these addresses, look by look.
fn egress(pair: &Pair, answers: &[&[&str]]) -> (Egress, Permit, Arc<Script>) {
    let answers = answers.iter().map(|look| look.iter().map(|address| address.parse().unwrap()).collect());
    let script = Arc::new(Script { answers: Mutex::new(answers.collect()), looks: AtomicUsize::new(0) });
    let clients = Clients::new("test", &[]).unwrap().with_names(Arc::clone(&script) as Arc<dyn Names>);
    let effective = Effective {
        needs: Needs::default().with(Need::Http),
        origins: vec![format!("http://rebind.example:{}", pair.port).parse().unwrap()],
        private_network: PrivateNetwork::Ranges(vec![format!("{ALLOWED}/32").parse().unwrap()]),
        ..Effective::default()
    };
    let permit = Permit::new(Arc::<Who>::default(), effective, &clients);
    let egress = Egress {
        clients,
        services: Services::default(),
        clock: Arc::new(SystemClock),
        provider_tokens: ProviderTokens::default(),
    };
    (egress, permit, script)
}

async fn send(egress: &Egress, permit: &Permit, pair: &Pair) -> Result<u16, EgressError> {
    let request = Request {
        method: "GET".to_owned(),
        url: format!("http://rebind.example:{}/", pair.port),
        ..Request::default()
    };
    let bounds = Bounds { deadline: Instant::now() + Duration::from_mins(1), response_bytes: 1000 };
    egress.send(permit, &request, bounds).await.map(|response| response.status)
}

#[tokio::test]
async fn a_name_that_changes_is_decided_at_each_connection_and_asked_once_for_it() {
    let pair = Pair::start().await;
    let (egress, permit, script) = egress(&pair, &[&[ALLOWED], &[FORBIDDEN], &[ALLOWED]]);
    assert_eq!(send(&egress, &permit, &pair).await, Ok(200));
    let denied = send(&egress, &permit, &pair).await.unwrap_err();
    assert!(matches!(denied, EgressError::Denied(ref why) if why.contains("loopback")), "{denied:?}");
    assert_eq!(send(&egress, &permit, &pair).await, Ok(200));
    assert_eq!(script.looks.load(SeqCst), 3, "one look a connection");
    assert_eq!((pair.allowed.load(SeqCst), pair.forbidden.load(SeqCst)), (2, 0));
}

#[tokio::test]
async fn of_several_addresses_only_those_that_are_allowed_are_tried() {
    let pair = Pair::start().await;
    for mixed in
        [&[FORBIDDEN, ALLOWED][..], &[ALLOWED, FORBIDDEN], &["::ffff:127.0.0.1", "::1", ALLOWED, "10.0.0.1"]]
    {
        let (egress, permit, _) = egress(&pair, &[mixed]);
        assert_eq!(send(&egress, &permit, &pair).await, Ok(200), "{mixed:?}");
    }
    assert_eq!((pair.allowed.load(SeqCst), pair.forbidden.load(SeqCst)), (3, 0));
}

#[tokio::test]
async fn an_address_that_carries_a_forbidden_one_is_forbidden() {
    let pair = Pair::start().await;
    for carrier in [
        "127.0.0.1",
        "::1",
        "::ffff:127.0.0.1",
        "::127.0.0.1",
        "64:ff9b::127.0.0.1",
        "64:ff9b:1::127.0.0.1",
        "2002:7f00:1::",
        "2001:0:7f00:1::",
        "0.0.0.0",
        "::",
        "169.254.169.254",
        "fd00:ec2::254",
        "fe80::1",
    ] {
        let (egress, permit, _) = egress(&pair, &[&[carrier]]);
        let denied = send(&egress, &permit, &pair).await.unwrap_err();
        assert!(matches!(denied, EgressError::Denied(_)), "{carrier}: {denied:?}");
    }
    assert_eq!((pair.allowed.load(SeqCst), pair.forbidden.load(SeqCst)), (0, 0));
}

#[tokio::test]
async fn a_name_without_an_address_is_told() {
    let pair = Pair::start().await;
    let (egress, permit, _) = egress(&pair, &[&[]]);
    assert!(matches!(send(&egress, &permit, &pair).await, Err(EgressError::Dns(_))));
}

/// Both origins are granted, as one that was for something else may be.
#[tokio::test]
async fn a_redirect_does_not_leave_tls() {
    let pair = Pair::start().await;
    let (_, mut permit, _) = egress(&pair, &[]);
    permit.effective.origins =
        ["https://a.example", "http://a.example", "https://b.example"].map(|it| it.parse().unwrap()).into();
    let next = |url: &str, location: &str| {
        let request = Request { url: url.to_owned(), max_redirects: 3, ..Request::default() };
        let hop = permit.hop(&request, http::Method::POST, permit.target(url).unwrap(), true).unwrap();
        let answer = http::Response::builder().status(308).header("location", location).body("").unwrap();
        let target = Redirects::of(&request).next(&permit, &hop, &answer).unwrap();
        target.map(|target| target.shown().to_owned())
    };
    assert_eq!(next("https://a.example/hook", "http://a.example/hook"), None);
    assert_eq!(next("https://a.example/hook", "//a.example/other").unwrap(), "https://a.example/other");
    assert_eq!(next("https://a.example/hook", "https://b.example/").unwrap(), "https://b.example/");
    assert_eq!(next("http://a.example/hook", "https://a.example/hook?x").unwrap(), "https://a.example/hook");
}
