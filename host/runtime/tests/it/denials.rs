//! What a guest was denied is told of its attempt, whatever the guest says of it.

use std::sync::Arc;

use aftercommit_runtime::{
    ComponentSource, Denied, MemcachedSettings, Plugin, RedisSettings, RuntimeSettings,
};
use serde_json::{Value, json};

use crate::{
    fixture::{component, configure, plugin, plugin_with, run, runtime_with},
    receiver::{Receiver, answer, ok},
};

/// What an attempt was denied that succeeded all the same.
async fn denied(plugin: &Arc<Plugin>, written: Value) -> Denied {
    let attempt = run(&configure(plugin, written).await).await;
    assert!(attempt.result.is_ok(), "{attempt:?}");
    attempt.denied
}

fn assert_told(denied: &Denied, parts: &[&str]) {
    assert_eq!((denied.first.len(), denied.more), (1, 0), "{denied:?}");
    for part in parts {
        assert!(denied.first[0].contains(part), "no `{part}` in {denied:?}");
    }
}

#[tokio::test]
async fn a_request_with_its_destination_and_the_reason() {
    let target = Receiver::start(|_| ok("")).await;
    let location = format!("location: {}/there\r\n", target.origin());
    let receiver = Receiver::start(move |_| answer("302 Found", &location, "")).await;
    let (origin, port) = (receiver.origin(), receiver.port());
    let by_name = format!("http://localhost:{port}");
    let buffered = plugin("test/hostile").await;
    let not_granted = "its origin is not granted";
    for (grants, url, told) in [
        (json!({}), format!("{origin}/a?key=x"), [&*format!("{origin}/a"), not_granted]),
        (
            json!({"http": [origin]}),
            format!("{origin}/a?key=x"),
            [&*format!("{origin}/a"), "private_network"],
        ),
        (
            json!({"http": [by_name]}),
            format!("{by_name}/a?key=x"),
            [&*format!("{by_name}/a"), "private_network"],
        ),
        (
            json!({"http": [origin], "private_network": true}),
            format!("{origin}/a?key=x"),
            [&*format!("{}/there", target.origin()), not_granted],
        ),
    ] {
        let request = json!({"url": url, "max_redirects": 1});
        let denied = denied(&buffered, json!({"do": "http", "request": request, "grants": grants})).await;
        assert_told(&denied, &told);
        assert!(!denied.first[0].contains("key"), "{denied:?}");
    }
    let by_wasi = plugin("test/wasi").await;
    let written = json!({"authority": format!("127.0.0.1:{port}"), "path": "/a?b=c", "grants": {}});
    assert_told(&denied(&by_wasi, written).await, &[&format!("{origin}/a"), not_granted]);
    let fine = json!({"do": "http", "request": {"url": origin}, "grants": {"http": [origin], "private_network": true}});
    assert!(denied(&buffered, fine).await.is_empty());
}

#[tokio::test]
async fn as_often_as_it_tries_but_not_more_than_a_few_texts() {
    let plugin = plugin("test/hostile").await;
    let written = json!({"do": "requests", "count": 50, "request": {"url": "http://a.example/"}});
    let action = configure(&plugin, written).await;
    // Each attempt is told its own.
    for attempt in [run(&action).await, run(&action).await] {
        assert_eq!((attempt.denied.first.len(), attempt.denied.more), (1, 49), "{attempt:?}");
    }
}

#[tokio::test]
async fn a_secret_by_its_name() {
    let plugin = plugin_with("test/hostile", &[("TOKEN", "s3cr3t-text")]).await;
    let reveal = json!({"do": "reveal", "secret": "${secret:TOKEN}", "grants": {"secrets": ["TOKEN"]}});
    let told = denied(&plugin, reveal).await;
    assert_told(&told, &["`TOKEN`", "grants.reveal"]);
    assert!(!told.first[0].contains("s3cr3t"), "{told:?}");
    let granted = json!({"do": "reveal", "secret": "${secret:TOKEN}", "grants": {"reveal": ["TOKEN"]}});
    assert!(denied(&plugin, granted).await.is_empty());
    for what in ["hmac", "sign"] {
        let written = json!({"do": what, "secret": "acsecret0000", "message": ""});
        assert_told(&denied(&plugin, written).await, &["not the handle of a secret"]);
    }
}

#[tokio::test]
async fn a_server_of_the_host_or_a_command() {
    let redis = RedisSettings::from_url("redis://127.0.0.1:1").unwrap();
    let mut settings: RuntimeSettings = crate::redis::host(&[("one", redis.clone()), ("two", redis)]);
    let memcached = MemcachedSettings::from_url("memcached://127.0.0.1:1").unwrap();
    settings.services.memcached.insert("pages".to_owned(), memcached);
    let runtime = runtime_with(settings, &[]);
    let source = ComponentSource::File(component("test/services"));
    let services = runtime.load("services", source, None).await.unwrap();
    for (mut written, told) in [
        (json!({"connection": "two", "command": ["GET", "k"]}), ["redis.two", "grants.redis"]),
        (json!({"connection": "one", "command": ["FLUSHALL"]}), ["redis.one", "`FLUSHALL`"]),
        (json!({"connection": "pages", "key": "k"}), ["memcached.pages", "grants.memcached"]),
        (json!({"connection": "pages", "key": "k", "value": "v"}), ["memcached.pages", "grants.memcached"]),
        (json!({"to": ["a@example.com"], "subject": "s", "text": "t"}), ["the mail server", "mail = true"]),
    ] {
        written["grants"] = json!({"redis": ["one"]});
        assert_told(&denied(&services, written).await, &told);
    }
    let hostile = plugin("test/hostile").await;
    for (what, need) in [("redis", "`redis`"), ("mail", "`mail`")] {
        assert_told(&denied(&hostile, json!({"do": what})).await, &["does not declare", need]);
    }
}
