//! Commands to real Redis servers, and to servers that misbehave.

use std::{
    collections::BTreeMap,
    fs,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use aftercommit_runtime::{
    ComponentSource, ConfiguredAction, RedisSettings, RuntimeSettings, ServiceSettings, SmtpEncryption,
    SmtpSettings,
};
use aftercommit_tests::{Certificate, RedisServer};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    sync::Notify,
};

use crate::fixture::{component, configure, details, run, runtime_with, settings};

/// A host with these Redis servers. The guest also wants a mail server, which nobody connects to.
pub(crate) fn host(redis: &[(&str, RedisSettings)]) -> RuntimeSettings {
    let redis: BTreeMap<_, _> =
        redis.iter().map(|(name, settings)| ((*name).to_owned(), settings.clone())).collect();
    let smtp = Some(SmtpSettings::new("localhost", 1, SmtpEncryption::None));
    RuntimeSettings { services: ServiceSettings { smtp, redis, ..ServiceSettings::default() }, ..settings() }
}

fn at(url: &str) -> RedisSettings {
    RedisSettings::from_url(url).unwrap()
}

/// Runs one command after the other, each as an action of its own over the same connections.
struct Client {
    runtime: aftercommit_runtime::Runtime,
    more: Value,
}

impl Client {
    fn new(redis: &[(&str, RedisSettings)], more: Value) -> Self {
        Self { runtime: runtime_with(host(redis), &[]), more }
    }

    fn of(settings: RedisSettings) -> Self {
        Self::new(&[("cache", settings)], json!({"grants": {"redis": ["cache"]}}))
    }

    async fn action(&self, connection: &str, command: &[&str]) -> ConfiguredAction {
        let source = ComponentSource::File(component("test/services"));
        let plugin = self.runtime.load("services", source, None).await.unwrap();
        let mut written = json!({"connection": connection, "command": command});
        written.as_object_mut().unwrap().extend(self.more.as_object().unwrap().clone());
        configure(&plugin, written).await
    }

    async fn ask_of(&self, connection: &str, command: &[&str]) -> Value {
        details(&run(&self.action(connection, command).await).await)
    }

    async fn ask(&self, command: &[&str]) -> Value {
        self.ask_of("default", command).await
    }
}

#[tokio::test]
async fn commands_reach_the_granted_connections_and_no_others() {
    let server = RedisServer::start();
    let (first, second) = (format!("{}/1", server.url()), format!("{}/2", server.url()));
    let servers = [("one", at(&first)), ("two", at(&second))];
    let client = Client::new(&servers, json!({"grants": {"redis": ["one"]}}));
    assert_eq!(client.ask_of("one", &["SET", "k", "v \r\n"]).await, json!({"reply": [{"status": "OK"}]}));
    assert_eq!(client.ask_of("default", &["get", "k"]).await, json!({"reply": [{"text": "v \r\n"}]}));
    assert_eq!(client.ask(&["GET", "absent"]).await, json!({"reply": [{"nil": null}]}));
    assert_eq!(server.ask(&["-n", "1", "DBSIZE"]), "1", "the database of the URL is the one that is used");
    for name in ["two", "three", "", "on\u{0}e"] {
        let got = client.ask_of(name, &["GET", "k"]).await;
        assert_eq!(got["error"], "denied", "{got}");
    }
    let none = Client::new(&servers, json!({}));
    let got = none.ask(&["GET", "k"]).await;
    assert!(got["message"].as_str().unwrap().contains("grants.redis"), "{got}");
}

#[tokio::test]
async fn every_kind_of_reply_comes_back_flat() {
    let server = RedisServer::start();
    let client = Client::of(at(&server.url()));
    assert_eq!(client.ask(&["RPUSH", "l", "a", "b"]).await, json!({"reply": [{"integer": 2}]}));
    let list = json!({"reply": [{"array": 2}, {"text": "a"}, {"text": "b"}]});
    assert_eq!(client.ask(&["LRANGE", "l", "0", "-1"]).await, list);
    let got = client.ask(&["GET", "l"]).await;
    assert!(got["reply"][0]["error"].as_str().unwrap().starts_with("WRONGTYPE"), "{got}");
    assert_eq!(server.ask(&["SETBIT", "b", "0", "1"]), "0");
    assert_eq!(client.ask(&["GET", "b"]).await, json!({"reply": [{"bytes": [128]}]}));
    let scan = client.ask(&["SCAN", "0", "COUNT", "100"]).await;
    assert_eq!((&scan["reply"][0], &scan["reply"][2]), (&json!({"array": 2}), &json!({"array": 2})));
}

#[tokio::test]
async fn commands_that_are_not_about_data_are_denied_unsent() {
    let server = RedisServer::start();
    let client = Client::of(at(&server.url()));
    for command in [
        &["SELECT", "1"][..],
        &["SUBSCRIBE", "c"],
        &["BLPOP", "l", "0"],
        &["MULTI"],
        &["FLUSHALL"],
        &["EVAL", "return 1", "0"],
        &["CONFIG", "GET", "*"],
        &["KEYS", "*"],
        &["GET\r\nFLUSHALL", "k"],
        &["CLIENT", "REPLY", "OFF"],
    ] {
        let got = client.ask(command).await;
        assert_eq!(got["error"], "denied", "{command:?}: {got}");
    }
    assert!(!server.ask(&["INFO", "commandstats"]).contains("cmdstat_select"));
}

#[tokio::test]
async fn a_user_logs_in_and_a_wrong_password_is_a_reply_that_shows_none() {
    let server = RedisServer::start_with(&[
        "--user",
        "default",
        "off",
        "--user",
        "app",
        "on",
        ">s3 cret/7",
        "~a:*",
        "+@all",
    ]);
    let url = |password: &str| format!("redis://app:{password}@127.0.0.1:{}/3", server.port());
    let client = Client::of(at(&url("s3%20cret%2F7")));
    assert_eq!(client.ask(&["SET", "a:1", "x"]).await["reply"][0]["status"], "OK");
    let got = client.ask(&["SET", "b:1", "x"]).await;
    assert!(got["reply"][0]["error"].as_str().unwrap().starts_with("NOPERM"), "{got}");
    let got = Client::of(at(&url("hunter2"))).ask(&["GET", "a:1"]).await;
    assert!(got["reply"][0]["error"].as_str().unwrap().starts_with("WRONGPASS"), "{got}");
    assert!(!got.to_string().contains("hunter2"), "{got}");
    let got = Client::of(at(&server.url())).ask(&["GET", "a:1"]).await;
    assert!(got["reply"][0]["error"].as_str().unwrap().starts_with("NOAUTH"), "{got}");
}

#[tokio::test]
async fn tls_is_checked_against_the_named_authority() {
    let certificate = Certificate::new();
    let server = RedisServer::start_tls(&certificate);
    let mut settings = at(&format!("rediss://localhost:{}", server.port()));
    let got = Client::of(settings.clone()).ask(&["PING"]).await;
    assert_eq!(got["error"], "connect", "{got}");
    assert!(got["message"].as_str().unwrap().contains("certificate"), "{got}");
    settings.ca_file = Some(certificate.ca());
    assert_eq!(Client::of(settings).ask(&["PING"]).await["reply"][0]["status"], "PONG");
}

#[tokio::test]
async fn the_file_of_authorities_is_followed_when_it_rotates() {
    let (own, other) = (Certificate::new(), Certificate::new());
    let server = RedisServer::start_tls(&own);
    let folder = tempfile::tempdir().unwrap();
    let ca_file = folder.path().join("ca.pem");
    let mut settings = at(&format!("rediss://localhost:{}", server.port()));
    settings.ca_file = Some(ca_file.clone());
    fs::copy(other.ca(), &ca_file).unwrap();
    let client = Client::of(settings);
    assert_eq!(client.ask(&["PING"]).await["error"], "connect");
    fs::copy(own.ca(), &ca_file).unwrap();
    assert_eq!(client.ask(&["PING"]).await["error"], "connect", "it is read when the host looks");
    client.runtime.changed_secrets();
    assert_eq!(client.ask(&["PING"]).await["reply"][0]["status"], "PONG");
    // A file that is half written changes nothing.
    fs::write(&ca_file, "-----BEGIN CERTIFICATE-----\nMII").unwrap();
    client.runtime.changed_secrets();
    assert_eq!(client.ask(&["PING"]).await["reply"][0]["status"], "PONG");
    // Nor does a connection outlive the authority that it was made by.
    fs::copy(other.ca(), &ca_file).unwrap();
    client.runtime.changed_secrets();
    assert_eq!(client.ask(&["PING"]).await["error"], "connect");
}

#[tokio::test]
async fn one_connection_serves_many_calls_and_one_that_the_server_closed_none() {
    let server = RedisServer::start();
    let client = Client::of(at(&server.url()));
    let received = || {
        let info = server.ask(&["INFO", "stats"]);
        let line =
            info.lines().find_map(|line| line.strip_prefix("total_connections_received:").map(str::to_owned));
        line.unwrap().trim().parse::<u32>().unwrap()
    };
    client.ask(&["SET", "k", "1"]).await;
    let before = received();
    for _ in 0..10 {
        assert_eq!(client.ask(&["GET", "k"]).await["reply"][0]["text"], "1");
    }
    // Each question to the server is a connection, too.
    assert_eq!(received(), before + 1, "every call made a connection");
    for _ in 0..3 {
        let killed: u32 = server.ask(&["CLIENT", "KILL", "TYPE", "normal"]).parse().unwrap();
        assert!(killed > 0, "the connection was not kept");
        assert_eq!(client.ask(&["GET", "k"]).await["reply"][0]["text"], "1");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_calls_share_few_connections_and_each_gets_its_own_reply() {
    let server = RedisServer::start();
    let mut settings = at(&server.url());
    settings.max_connections = 2;
    let client = Client::of(settings);
    let words: Vec<String> = (0..40).flat_map(|n| [format!("k{n}"), format!("v{n}")]).collect();
    let words: Vec<&str> = std::iter::once("MSET").chain(words.iter().map(String::as_str)).collect();
    assert_eq!(server.ask(&words), "OK");
    let mut actions = Vec::new();
    for n in 0..40 {
        actions.push(client.action("default", &["GET", &format!("k{n}")]).await);
    }
    let replies = futures::future::join_all(actions.iter().map(run)).await;
    for (n, attempt) in replies.iter().enumerate() {
        assert_eq!(details(attempt)["reply"][0]["text"], format!("v{n}"));
    }
    let clients = server.ask(&["CLIENT", "LIST", "TYPE", "normal"]);
    // The two, and the one that asks.
    assert!(clients.lines().count() <= 3, "{clients}");
}

#[tokio::test]
async fn a_server_that_comes_back_is_used_again() {
    let mut server = RedisServer::start();
    let client = Client::of(at(&server.url()));
    assert_eq!(client.ask(&["PING"]).await["reply"][0]["status"], "PONG");
    server.kill();
    assert_eq!(client.ask(&["PING"]).await["error"], "connect");
    server.start_again();
    assert_eq!(client.ask(&["PING"]).await["reply"][0]["status"], "PONG");
}

#[tokio::test]
async fn a_large_reply_is_refused_and_the_next_is_read() {
    let server = RedisServer::start();
    assert_eq!(server.ask(&["SETRANGE", "big", "2000000", "x"]), "2000001");
    let grants = json!({"grants": {"redis": ["cache"]}, "limits": {"response_bytes": 10_000}});
    let client = Client::new(&[("cache", at(&server.url()))], grants);
    assert_eq!(client.ask(&["GET", "big"]).await["error"], "reply-too-large");
    assert_eq!(client.ask(&["STRLEN", "big"]).await["reply"][0]["integer"], 2_000_001);
}

/// A server that answers each connection's commands with what it is told, the first when it is told.
struct Odd {
    url: String,
    connections: Arc<AtomicUsize>,
}

impl Odd {
    async fn start(answers: &[&str], late: Option<Arc<Notify>>) -> Self {
        let answers: Vec<String> = answers.iter().map(|&answer| answer.to_owned()).collect();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("redis://{}", listener.local_addr().unwrap());
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (number, late) = (count.fetch_add(1, Ordering::SeqCst) + 1, late.clone());
                let answers = answers.clone();
                tokio::spawn(async move {
                    let _ = stream.read(&mut [0; 1000]).await;
                    if let Some(late) = late.filter(|_| number == 1) {
                        late.notified().await;
                    }
                    for answer in answers {
                        let answer = answer.replace("NUMBER", &number.to_string());
                        let _ = stream.write_all(answer.as_bytes()).await;
                        // Kept open, as by a server that has more to say.
                        let _ = stream.read(&mut [0; 1000]).await;
                    }
                });
            }
        });
        Self { url, connections }
    }
}

#[tokio::test]
async fn a_reply_that_comes_too_late_is_never_another_commands() {
    let late = Arc::new(Notify::new());
    let server = Odd::start(&[":NUMBER\r\n"], Some(Arc::clone(&late))).await;
    let short = json!({"grants": {"redis": ["cache"]}, "timeout_ms": 200});
    let client = Client::new(&[("cache", at(&server.url))], short);
    let attempt = run(&client.action("default", &["GET", "first"]).await).await;
    // Either the host's import or the host itself sees first that the time is over.
    let timed_out = match &attempt.result {
        Ok(_) => details(&attempt)["error"] == "timeout",
        Err(failure) => failure.problem.code.as_str() == "timeout" && failure.is_transient(),
    };
    assert!(timed_out, "{attempt:?}");
    late.notify_one();
    // The same connections, and all the time that a busy machine may need.
    let client = Client { runtime: client.runtime, more: json!({"grants": {"redis": ["cache"]}}) };
    assert_eq!(client.ask(&["GET", "second"]).await["reply"][0]["integer"], 2);
    assert_eq!(server.connections.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn servers_that_do_not_keep_to_the_protocol_are_told() {
    for (answer, expected) in [
        ("*4294967295\r\n", "reply-too-large"),
        ("$99999999999\r\n", "reply-too-large"),
        ("HTTP/1.1 400 Bad Request\r\n\r\n", "protocol"),
        ("+OK\r\n+OK\r\n", "protocol"),
        ("$-7\r\n", "protocol"),
    ] {
        let server = Odd::start(&[answer], None).await;
        let got = Client::of(at(&server.url)).ask(&["GET", "k"]).await;
        assert_eq!(got["error"], expected, "{answer:?}: {got}");
    }
}

/// What the host logs in with is the operator's, not the guest's.
#[tokio::test]
async fn a_server_that_repeats_the_login_does_not_tell_it_to_the_guest() {
    let heard = crate::heard::listen();
    let (user, password) = ("shopkeeper", "hunter2+of/redis");
    let encoded = BASE64_STANDARD.encode(format!("{user}:{password}"));
    let data = format!("*2\r\n${}\r\n{password}\r\n+{password} {encoded}\r\n", password.len());
    for answers in [
        &[format!("-WRONGPASS {user}:{password} is wrong\r\n")][..],
        &["+OK\r\n".to_owned(), format!("-NOPERM User {user} with {encoded} may not\r\n")],
        &["+OK\r\n".to_owned(), data],
        &["+OK\r\n".to_owned(), format!(":{password}\r\n")],
        &[format!("{password}\r\n")],
    ] {
        let server = Odd::start(&answers.iter().map(String::as_str).collect::<Vec<_>>(), None).await;
        let url = server.url.replace("//", &format!("//{user}:hunter2%2Bof%2Fredis@"));
        let attempt = run(&Client::of(at(&url)).action("default", &["GET", "k"]).await).await;
        let told = format!("{attempt:?}{}", heard.text());
        for trace in ["hunter2", user, &encoded[3..20]] {
            assert!(!told.contains(trace), "{answers:?}: {told}");
        }
        let repeated = answers.iter().any(|answer| answer.starts_with(['-', '*']));
        assert_eq!(told.contains("[secret]"), repeated, "{answers:?}: {told}");
    }
}

/// An address that leads to one server, and after a failover to another. Connections that were made stay where they are.
struct Address {
    url: String,
    target: Arc<std::sync::Mutex<String>>,
    accepted: Arc<AtomicUsize>,
}

impl Address {
    async fn of(server: &RedisServer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("redis://{}", listener.local_addr().unwrap());
        let target = Arc::new(std::sync::Mutex::new(host_of(server)));
        let accepted = Arc::<AtomicUsize>::default();
        tokio::spawn({
            let (target, accepted) = (Arc::clone(&target), Arc::clone(&accepted));
            async move {
                while let Ok((mut client, _)) = listener.accept().await {
                    accepted.fetch_add(1, Ordering::SeqCst);
                    let to = target.lock().unwrap().clone();
                    tokio::spawn(async move {
                        let mut server = tokio::net::TcpStream::connect(to).await.unwrap();
                        let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                    });
                }
            }
        });
        Self { url, target, accepted }
    }

    fn lead_to(&self, server: &RedisServer) {
        *self.target.lock().unwrap() = host_of(server);
    }
}

/// Host and port.
fn host_of(server: &RedisServer) -> String {
    server.url().trim_start_matches("redis://").to_owned()
}

#[tokio::test]
async fn a_failover_behind_an_address_is_noticed_by_what_the_old_primary_answers() {
    let (old, new) = (RedisServer::start(), RedisServer::start());
    let address = Address::of(&old).await;
    let client = Client::of(at(&address.url));
    assert_eq!(client.ask(&["SET", "k", "1"]).await, json!({"reply": [{"status": "OK"}]}));
    assert_eq!(address.accepted.load(Ordering::SeqCst), 1);

    let port = host_of(&new).rsplit(':').next().unwrap().to_owned();
    assert_eq!(old.ask(&["REPLICAOF", "127.0.0.1", &port]), "OK");
    let refused = client.ask(&["SET", "k", "2"]).await;
    assert!(refused["reply"][0]["error"].as_str().unwrap().starts_with("READONLY"), "{refused}");
    assert_eq!(
        address.accepted.load(Ordering::SeqCst),
        2,
        "it was tried once more, on a connection of its own"
    );

    // A kept connection to the one that is a replica now.
    assert_eq!(old.ask(&["REPLICAOF", "NO", "ONE"]), "OK");
    assert_eq!(client.ask(&["SET", "k", "3"]).await, json!({"reply": [{"status": "OK"}]}));
    assert_eq!(old.ask(&["REPLICAOF", "127.0.0.1", &port]), "OK");
    address.lead_to(&new);
    assert_eq!(client.ask(&["SET", "k", "4"]).await, json!({"reply": [{"status": "OK"}]}));
    assert_eq!(new.ask(&["GET", "k"]), "4");
    assert_eq!(client.ask(&["SET", "k", "5"]).await, json!({"reply": [{"status": "OK"}]}));
    assert_eq!(address.accepted.load(Ordering::SeqCst), 4, "and that connection is kept");
}
