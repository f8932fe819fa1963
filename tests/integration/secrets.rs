//! A secret that is used in every way is nowhere but on the wire: not in the database, not in the log at its most talkative,
//! not in what a command prints.

use std::{fs, net::SocketAddr, path::Path, time::Duration};

use aftercommit_tests::{Answer, Received, Receiver};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use crate::{
    actions::built,
    shop::{Database, Shop},
};

/// With letters that URLs, JSON and HTML write differently.
const TOKEN: &str = "s3cr3t/k&y<7>+value";
/// What stands in every spelling of it, and nowhere else.
const TRACE: &str = "s3cr3t";
/// With which the host logs in to its servers, as one user.
const MAIL_PASSWORD: &str = "s3cr3t of mail";
const REDIS_PASSWORD: &str = "s3cr3t-of-redis";
const USER: &str = "shopkeeper";
/// What a secret URL has after its origin.
const PATH: &str = "/services/T0/h1dd3n?sig=h1dd3n2";

/// A failure that repeats all it was sent, in its status line's place too.
fn repeat(seen: &Received) -> Answer {
    let body = String::from_utf8_lossy(&seen.body);
    let headers: Vec<_> = seen.headers.iter().map(|(name, value)| format!("{name}: {value:?}")).collect();
    let told = format!("Cannot {} {}\n{}\n{body}", seen.method, seen.path, headers.join("\n"));
    Answer::status(503)
        .header("x-token", seen.header("x-token"))
        .header("location", seen.path.clone())
        .header("x-authorization", seen.header("authorization"))
        .text(told)
}

/// What a login is, encoded as it is sent.
fn encoded(password: &str) -> String {
    BASE64_STANDARD.encode(format!("\0{USER}\0{password}"))
}

fn assert_silent(what: &str, bytes: &[u8]) {
    let token = BASE64_STANDARD.encode(TOKEN);
    let (mail, redis) = (encoded(MAIL_PASSWORD), encoded(REDIS_PASSWORD));
    for trace in [TRACE, "h1dd3n", &token[..20], &mail[..30], &redis[..30]] {
        let at = bytes.windows(trace.len()).position(|window| window == trace.as_bytes());
        let near = at.map(|at| String::from_utf8_lossy(&bytes[at.saturating_sub(300)..at + 20]).into_owned());
        assert_eq!(near, None, "{what}");
    }
}

/// A server that says the first line at once, if there is one, and each other when it is spoken to.
async fn server(first: &'static str, lines: Vec<String>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let lines = lines.clone();
            tokio::spawn(async move {
                stream.write_all(first.as_bytes()).await?;
                for line in lines {
                    if stream.read(&mut [0; 4096]).await? == 0 {
                        break;
                    }
                    stream.write_all(line.as_bytes()).await?;
                }
                std::io::Result::Ok(())
            });
        }
    });
    at
}

/// All files below a folder.
fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { all.extend(files(&path)) } else { all.push(path) }
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_nowhere_but_on_the_wire() {
    let config = config().await;
    let shop = Shop::open(&config).await;
    let folder = shop.path("");
    is_silent(shop, || {
        let files = files(&folder);
        assert!(
            files.iter().any(|file| file.ends_with("shop.db"))
                && files.iter().any(|file| file.ends_with("host.log"))
        );
        for file in files {
            assert_silent(&file.display().to_string(), &fs::read(&file).unwrap());
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nor_is_it_in_postgresql() {
    let config = config().await;
    let shop = Shop::on_postgres(&config).await;
    let log = shop.path("host.log");
    is_silent(shop, || assert_silent("the log", &fs::read(&log).unwrap())).await;
}

/// A plugin that uses a secret in every way, and a mail server that repeats what it is told.
async fn config() -> String {
    let bad = format!(
        "535 bad password {MAIL_PASSWORD} of {USER} ({}, {})\r\n",
        encoded(MAIL_PASSWORD),
        BASE64_STANDARD.encode(MAIL_PASSWORD)
    );
    let mail = server("220 hi\r\n", vec!["250-hi\r\n250 AUTH PLAIN\r\n".to_owned(), bad]).await;
    format!(
        "[plugins.memory]\nsource = \"file:{}\"\n[smtp]\nhost = \"127.0.0.1\"\nport = {}\ntls = \"none\"\n\
         username = \"{USER}\"\npassword_env = \"MAIL_PASSWORD\"\nfrom = \"shop@example.com\"\n",
        built("test/memory").display(),
        mail.port()
    )
}

/// Uses secrets in every way, and looks for them. `last` looks once more when the host has ended.
async fn is_silent<D: Database>(mut shop: Shop<D>, last: impl FnOnce()) {
    let collector = Receiver::start().await;
    shop.receiver.respond(repeat);
    shop.set_env("TOKEN", TOKEN);
    shop.set_env("HOOK_URL", shop.receiver.url(PATH));
    shop.set_env("MAIL_PASSWORD", MAIL_PASSWORD);
    let bad = format!("-WRONGPASS {USER}:{REDIS_PASSWORD} {}\r\n", encoded(REDIS_PASSWORD));
    let redis = server("", vec![bad]).await;
    shop.set_env("AFTERCOMMIT_REDIS_DEFAULT_URL", format!("redis://{USER}:{REDIS_PASSWORD}@{redis}"));
    shop.set_env("AFTERCOMMIT_LOG", "trace");
    let (service, collecting) = (shop.receiver.url(""), collector.url(""));
    let observer = |name: &str| {
        format!(
            "[[observers]]\nname = \"{name}\"\nentity_type = \"Order\"\nevent_kind = \"created\"\n[observers.retry]\nmax_attempts = 2\n\
             initial_delay_ms = 1\n[[observers.actions]]\n"
        )
    };
    let mut observers = vec![format!(
        "{}type = \"webhook\"\nurl = \"${{secret:HOOK_URL}}\"\nheaders = {{ x-token = \"${{secret:TOKEN}}\" }}\n\
         signing_secrets = [\"${{secret:WEBHOOK_SECRET}}\"]\ngrants = {{ private_network = true }}\n",
        observer("hook")
    )];
    for end in ["return", "fail", "panic"] {
        observers.push(observer(end));
        observers.push(format!(
            "type = \"memory\"\nservice = \"{service}\"\nsecret = \"${{secret:TOKEN}}\"\nbody = '{{\"k\":\"${{secret:TOKEN}}\"}}'\n\
             broken = []\ncollector = \"{collecting}\"\nend = \"{end}\"\n\
             grants = {{ http = [\"{collecting}\"], private_network = true }}\nlimits = {{ result_bytes = 1000000, cpu_ms = 60000 }}\n"
        ));
    }
    observers.push(format!(
        "{}type = \"cache\"\nkey_pattern = \"order:{{{{entity_id}}}}\"\naction = \"invalidate\"\n",
        observer("cache")
    ));
    observers.push(format!(
        "{}type = \"email\"\nto = \"anna@example.com\"\nsubject = \"Order\"\nbody_template = \"x\"\n",
        observer("email")
    ));
    shop.observe(&observers.concat());
    let host = shop.start_host();
    shop.sql("INSERT INTO orders VALUES (7, 'of ${secret:TOKEN}', 150)").await;
    shop.eventually(Duration::from_mins(2), "all has ended", async |shop| {
        shop.count("SELECT count(*) FROM observer_dlq_items").await == 5
            && shop.count("SELECT count(*) FROM tb_observer_log WHERE status = 'succeeded'").await == 1
    })
    .await;

    let seen = shop.receiver.received();
    assert!(seen.iter().any(|it| it.path == PATH && it.header("x-token") == TOKEN), "the webhook was sent");
    assert!(
        seen.iter().filter(|it| format!("{it:?}").contains(TRACE)).count() > 20,
        "it was used in many ways"
    );
    let told: String =
        shop.value("SELECT message FROM tb_observer_log WHERE observer = 'hook' LIMIT 1").await;
    assert!(told.contains("Cannot POST [secret]"), "{told}");
    let repeated: String =
        shop.value("SELECT message FROM tb_observer_log WHERE observer = 'fail' LIMIT 1").await;
    assert!(repeated.contains("[secret]"), "{repeated}");
    for (observer, words) in
        [("email", "bad password [secret] of [secret]"), ("cache", "WRONGPASS [secret]:[secret]")]
    {
        let message = format!("SELECT message FROM tb_observer_log WHERE observer = '{observer}' LIMIT 1");
        let message: String = shop.value(&message).await;
        assert!(message.contains(words) && !message.contains(USER), "{message}");
    }
    assert!(shop.host_log().contains("TRACE"), "the log tells all");
    let rows = shop.database.dump().await.unwrap();
    assert!(rows.contains("of ${secret:TOKEN}") && rows.contains("Cannot POST [secret]"), "{rows}");
    assert_silent("the tables", rows.as_bytes());

    for command in [
        &["observers", "list"][..],
        &["observers", "show", "hook"],
        &["observers", "show", "fail"],
        &["observers", "show", "email"],
        &["deliveries", "list"],
        &["dlq", "list"],
        &["events", "list"],
        &["plugin", "list"],
    ] {
        assert_silent(&format!("{command:?}"), shop.run(command).as_bytes());
        assert_silent(&format!("{command:?} as JSON"), shop.json(command).to_string().as_bytes());
    }
    for item in shop.json(&["dlq", "list"]).as_array().unwrap() {
        assert_silent(
            "an item of the dead letter queue",
            shop.run(&["dlq", "show", item["id"].as_str().unwrap()]).as_bytes(),
        );
    }
    assert!(host.stop(), "{}", shop.host_log());
    last();
}
