//! WASI 0.2 for programs that expect a system: it is there, it is empty, and its one way out is the same egress.

use serde_json::{Value, json};

use crate::{
    fixture::{configure, details, plugin, plugin_with, run},
    receiver::{Receiver, answer, ok},
};

async fn found(written: Value) -> Value {
    let action = configure(&plugin("test/wasi").await, written).await;
    details(&run(&action).await)
}

fn to(receiver: &Receiver, grants: &Value) -> Value {
    json!({"authority": format!("127.0.0.1:{}", receiver.port()), "path": "/a?b=c", "grants": grants})
}

fn granted(receiver: &Receiver) -> Value {
    json!({"http": [receiver.origin()], "private_network": true})
}

#[tokio::test]
async fn a_guest_finds_nothing_of_the_hosts_system() {
    let receiver = Receiver::start(|_| ok("")).await;
    let found = found(to(&receiver, &json!({}))).await;
    assert!(std::env::vars().next().is_some(), "this process has an environment");
    assert_eq!((&found["environment"], &found["arguments"]), (&json!([]), &json!([])), "{found}");
    assert_eq!(found["folders"], 0, "{found}");
    assert_ne!(found["lookup"], "allowed", "{found}");
}

#[tokio::test]
async fn what_it_prints_is_logged() {
    let receiver = Receiver::start(|_| ok("")).await;
    let mut written = to(&receiver, &json!({}));
    written["print"] = json!("one\ntwo\n");
    let attempt = run(&configure(&plugin("test/wasi").await, written).await).await;
    assert_eq!(attempt.usage.log_lines, 4, "two lines on each stream");
}

#[tokio::test]
async fn wasi_http_goes_out_where_the_grants_allow() {
    let receiver = Receiver::start(|_| answer("202 Accepted", "", "héllo")).await;
    let mut written = to(&receiver, &granted(&receiver));
    written["headers"] = json!([["x-a", "1"]]);
    written["body"] = json!("text");
    let found = found(written).await;
    assert_eq!((&found["http"]["status"], &found["http"]["body"]), (&json!(202), &json!("héllo")));
    let seen = &receiver.seen()[0];
    assert_eq!((seen.method.as_str(), seen.path.as_str(), seen.body.as_str()), ("POST", "/a?b=c", "text"));
    assert_eq!(seen.header("x-a"), Some("1"));
}

#[tokio::test]
async fn wasi_http_is_denied_where_the_buffered_import_is() {
    let receiver = Receiver::start(|_| ok("")).await;
    let port = receiver.port();
    for (grants, authority) in [
        (json!({}), format!("127.0.0.1:{port}")),
        (json!({"http": [receiver.origin()]}), format!("127.0.0.1:{port}")),
        (json!({"http": [format!("http://localhost:{port}")]}), format!("localhost:{port}")),
        (json!({"http": [receiver.origin()]}), format!("0x7f000001:{port}")),
        (json!({"http": [receiver.origin()]}), format!("2130706433:{port}")),
        (granted(&receiver), format!("127.0.0.1:{}", port - 1)),
        (granted(&receiver), format!("user:pw@127.0.0.1:{port}")),
    ] {
        let mut written = to(&receiver, &grants);
        written["authority"] = json!(authority);
        let found = found(written).await;
        assert!(found["http"]["error"].is_string(), "{authority} under {grants}: {found}");
    }
    assert!(receiver.seen().is_empty());
}

#[tokio::test]
async fn a_secret_is_put_in_on_this_way_too_and_only_where_it_was_granted() {
    let (with, without) = (Receiver::start(|_| ok("")).await, Receiver::start(|_| ok("")).await);
    let plugin = plugin_with("test/wasi", &[("S", "s3cr3t")]).await;
    for (receiver, secrets) in [(&with, json!(["S"])), (&without, json!([]))] {
        let grants = json!({"http": [receiver.origin()], "private_network": true, "secrets": secrets});
        let mut written = to(receiver, &grants);
        written["headers"] = json!([["authorization", "Bearer ${secret:S}"]]);
        run(&configure(&plugin, written).await).await;
    }
    assert_eq!(with.seen()[0].header("authorization"), Some("Bearer s3cr3t"));
    let told = |header: Option<&str>| header.is_some_and(|value| value.contains("s3cr3t"));
    assert!(!without.seen().iter().any(|request| told(request.header("authorization"))));
}

/// The status is told, and reading the body ends with an error.
#[tokio::test]
async fn an_answer_that_is_too_large_is_cut_on_this_way_too() {
    let receiver = Receiver::start(|_| ok(&"x".repeat(2 << 20))).await;
    let http = &found(to(&receiver, &granted(&receiver))).await["http"];
    assert_eq!(http["status"], 200, "{http}");
    let head = "content-length".len() + "2097152".len();
    assert_eq!(http["read_bytes"], (1 << 20) - head, "{http}");
    assert!(http["broken"].as_str().is_some_and(|it| it.contains("size exceeds limit")), "{http}");
}
