//! A secret that is used in every way is nowhere but on the wire: not in the database, not in the log at its most talkative,
//! not in what a command prints.

use std::{fs, path::Path, time::Duration};

use aftercommit_tests::{Answer, Received, Receiver};
use base64::{Engine as _, prelude::BASE64_STANDARD};

use crate::{actions::built, shop::Shop};

/// With letters that URLs, JSON and HTML write differently.
const TOKEN: &str = "s3cr3t/k&y<7>+value";
/// What stands in every spelling of it, and nowhere else.
const TRACE: &str = "s3cr3t";
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

fn assert_silent(what: &str, bytes: &[u8]) {
    let encoded = BASE64_STANDARD.encode(TOKEN);
    for trace in [TRACE, "h1dd3n", &encoded[..20]] {
        let at = bytes.windows(trace.len()).position(|window| window == trace.as_bytes());
        let near = at.map(|at| String::from_utf8_lossy(&bytes[at.saturating_sub(300)..at + 20]).into_owned());
        assert_eq!(near, None, "{what}");
    }
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
    let plugin = format!("[plugins.memory]\nsource = \"file:{}\"\n", built("test/memory").display());
    let mut shop = Shop::open(&plugin).await;
    let collector = Receiver::start().await;
    shop.receiver.respond(repeat);
    shop.set_env("TOKEN", TOKEN);
    shop.set_env("HOOK_URL", shop.receiver.url(PATH));
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
    shop.observe(&observers.concat());
    let host = shop.start_host();
    shop.sql("INSERT INTO orders VALUES (7, 'of ${secret:TOKEN}', 150)").await;
    shop.eventually(Duration::from_mins(2), "all has ended", async |shop| {
        shop.count("SELECT count(*) FROM observer_dlq_items").await == 3
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
    assert!(shop.host_log().contains("TRACE"), "the log tells all");

    for command in [
        &["observers", "list"][..],
        &["observers", "show", "hook"],
        &["observers", "show", "fail"],
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
    let files = files(&shop.path(""));
    assert!(
        files.iter().any(|file| file.ends_with("shop.db"))
            && files.iter().any(|file| file.ends_with("host.log"))
    );
    for file in files {
        assert_silent(&file.display().to_string(), &fs::read(&file).unwrap());
    }
}
