//! Mail, Redis and Memcached: nothing in a message, a command or a key becomes another one, and no other server is reached.

use std::collections::BTreeMap;

use aftercommit_runtime::{
    ComponentSource, MemcachedSettings, RedisSettings, RuntimeSettings, ServiceSettings, SmtpEncryption,
    SmtpSettings,
};
use serde_json::{Value, json};

use crate::{
    fixture::{component, configure, details, run, runtime_with, settings},
    heard::listen,
    wire::Wire,
};

/// Asks for every row with a server that counts connections behind each of the services.
async fn ask(server: &Wire, written: Value) -> Value {
    let smtp = SmtpSettings::new("127.0.0.1", server.port(), SmtpEncryption::None);
    let redis = RedisSettings::from_url(&format!("redis://127.0.0.1:{}", server.port())).unwrap();
    let memcached = MemcachedSettings::from_url(&format!("memcached://127.0.0.1:{}", server.port())).unwrap();
    let both = |name: &str| name.to_owned();
    let services = ServiceSettings {
        smtp: Some(smtp.with_from("shop@example.org").unwrap()),
        redis: BTreeMap::from([(both("granted"), redis.clone()), (both("other"), redis)]),
        memcached: BTreeMap::from([(both("granted"), memcached.clone()), (both("other"), memcached)]),
    };
    let runtime = runtime_with(RuntimeSettings { services, ..settings() }, &[]);
    let plugin =
        runtime.load("services", ComponentSource::File(component("test/services")), None).await.unwrap();
    let mut written = written;
    if written.get("grants").is_none() {
        written["grants"] = json!({"mail": true, "redis": ["granted"], "memcached": ["granted"]});
    }
    details(&run(&configure(&plugin, written).await).await)
}

const EVIL: [&str; 6] = ["\r\n", "\n", "\r", "\0", "\u{b}", "\u{2028}"];

#[tokio::test]
async fn no_field_of_a_mail_holds_a_line_of_its_own() {
    let server = Wire::answering("").await;
    for end in EVIL {
        let address = format!("a@example.com{end}RCPT TO:<evil@example.com>");
        let named = format!("Anna{end}Bcc: evil@example.com <a@example.com>");
        let text = format!("x{end}Bcc: evil@example.com");
        let name = format!("X-A{end}Bcc");
        let rows = [
            json!({"to": [address]}),
            json!({"to": [named]}),
            json!({"cc": [address]}),
            json!({"bcc": [address]}),
            json!({"reply_to": [named]}),
            json!({"sender": address}),
            json!({"sender": named}),
            json!({"subject": text}),
            json!({"headers": [["X-A", text]]}),
            json!({"headers": [[name, "x"]]}),
            json!({"message_id": format!("1@example.com>{end}X-A: x")}),
            json!({"attachment": [format!("a.txt\"{end}X-A: x"), "text/plain"]}),
            json!({"attachment": ["a.txt", format!("text/plain{end}X-A: x")]}),
        ];
        for row in rows {
            let mut written = json!({"to": ["a@example.com"], "subject": "s", "text": "t"});
            written.as_object_mut().unwrap().extend(row.as_object().unwrap().clone());
            let told = ask(&server, written).await;
            assert_eq!(told["error"], "invalid-message", "{row}: {told}");
        }
    }
    for row in [
        json!({"to": ["a@example.com> SIZE=1"]}),
        json!({"to": ["<a@example.com>,<evil@example.com>"]}),
        json!({"to": ["a@example.com, evil@example.com"]}),
        json!({"to": ["@relay.example:a@example.com"]}),
        json!({"to": ["a@[127.0.0.1", ]}),
        json!({"headers": [["Bcc", "evil@example.com"]]}),
        json!({"headers": [["bcc", "evil@example.com"]]}),
        json!({"headers": [["Content-Type", "text/html"]]}),
        json!({"headers": [["X A", "x"]]}),
        json!({"headers": [["X-A:", "x"]]}),
        json!({"headers": [["", "x"]]}),
        json!({"attachment": ["../a.txt", "text/plain"]}),
        json!({"attachment": ["a.txt", "text"]}),
        json!({"to": []}),
    ] {
        let mut written = json!({"to": ["a@example.com"], "subject": "s", "text": "t"});
        written.as_object_mut().unwrap().extend(row.as_object().unwrap().clone());
        if written["to"] == json!([]) {
            written["key"] = Value::Null;
        }
        let told = ask(&server, written).await;
        assert_eq!(told["error"], "invalid-message", "{row}: {told}");
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn a_command_is_one_that_actions_may_send() {
    let server = Wire::answering("").await;
    let heard = listen();
    for command in [
        "FLUSHALL",
        "flushall",
        "GET\r\nFLUSHALL",
        "GET k\r\n*1\r\n$8\r\nFLUSHALL\r\n",
        " GET",
        "GET ",
        "GET\0",
        "\u{ff27}\u{ff25}\u{ff34}",
        "CONFIG",
        "EVAL",
        "SELECT",
        "AUTH",
        "SUBSCRIBE",
        "MULTI",
        "SHUTDOWN",
        "SLAVEOF",
        "MIGRATE",
        "MODULE",
    ] {
        heard.audit();
        let told = ask(&server, json!({"connection": "granted", "command": [command, "k"]})).await;
        assert_eq!(told["error"], "denied", "{command:?}: {told}");
        assert_eq!(heard.audit().len(), 1, "{command:?}");
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn a_connection_is_named_exactly() {
    let server = Wire::answering("").await;
    let heard = listen();
    for name in [
        "other",
        "",
        "Granted",
        "granted ",
        " granted",
        "granted\0",
        "gr\u{e4}nted",
        "../granted",
        "smtp",
        "*",
    ] {
        for call in [json!({"command": ["GET", "k"]}), json!({"key": "k"}), json!({"key": "k", "value": "v"})]
        {
            heard.audit();
            let mut written = call;
            written["connection"] = json!(name);
            let told = ask(&server, written.clone()).await;
            assert_eq!(told["error"], "denied", "{written}: {told}");
            assert_eq!(heard.audit().len(), 1, "{written}");
        }
    }
    // None is granted: not even the one that would be the default.
    for call in
        [json!({"command": ["GET", "k"]}), json!({"key": "k"}), json!({"to": ["a@example.com"], "text": "t"})]
    {
        heard.audit();
        let mut written = call;
        written["connection"] = json!("default");
        written["grants"] = json!({});
        let told = ask(&server, written.clone()).await;
        assert_eq!(told["error"], "denied", "{written}: {told}");
        assert_eq!(heard.audit().len(), 1, "{written}");
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn a_key_is_one_word() {
    let server = Wire::answering("").await;
    let long = "x".repeat(251);
    for key in [
        "",
        "a b",
        "a\r\nflush_all",
        "a\nflush_all",
        "a 0 0 1\r\nx\r\nflush_all\r\n",
        "a\0",
        "a\t",
        "a\u{7f}",
        "a\u{85}b",
        "a\u{a0}b",
        "a\u{3000}b",
        long.as_str(),
    ] {
        for value in [Value::Null, json!("v")] {
            let told = ask(&server, json!({"connection": "granted", "key": key, "value": value})).await;
            assert_eq!(told["error"], "invalid-key", "{key:?}: {told}");
        }
    }
    assert_eq!(server.connections(), 0);
}

/// A value may be anything: its length goes before it.
#[tokio::test]
async fn a_value_is_data_whatever_it_holds() {
    let server = aftercommit_tests::MemcachedServer::start();
    let memcached = MemcachedSettings::from_url(&server.url()).unwrap();
    let smtp = SmtpSettings::new("127.0.0.1", 1, SmtpEncryption::None);
    let memcached = BTreeMap::from([("granted".to_owned(), memcached)]);
    let services = ServiceSettings { smtp: Some(smtp), memcached, ..ServiceSettings::default() };
    let runtime = runtime_with(RuntimeSettings { services, ..settings() }, &[]);
    let plugin =
        runtime.load("services", ComponentSource::File(component("test/services")), None).await.unwrap();
    server.set("kept", "here");
    for (key, value) in [("a", "x\r\nflush_all\r\n"), ("b", "\r\ndelete kept\r\n"), ("c", "STORED\r\n")] {
        let written = json!({"connection": "granted", "key": key, "value": value, "grants": {"memcached": ["granted"]}});
        assert_eq!(
            details(&run(&configure(&plugin, written).await).await),
            json!({"done": true}),
            "{value:?}"
        );
    }
    assert_eq!(server.get("kept").as_deref(), Some("here"));
}
