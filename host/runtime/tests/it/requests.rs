//! The way out: what leaves, what is denied, and how it is told.

use std::{collections::HashMap, sync::Arc};

use aftercommit_core::{Clock, FailureClass, Timestamp};
use aftercommit_runtime::{ComponentSource, Runtime};
use serde_json::{Value, json};

use crate::{
    fixture::{Fixed, component, configure, delivery, details, event, plugin, run, settings},
    receiver::{Receiver, answer, ok},
};

/// What a guest gets for a request under the given grants.
async fn request(grants: Value, request: Value) -> Value {
    let plugin = plugin("test/hostile").await;
    let action = configure(&plugin, json!({"do": "http", "request": request, "grants": grants})).await;
    details(&run(&action).await)
}

fn granted(origins: &[String]) -> Value {
    json!({"http": origins, "private_network": true})
}

#[tokio::test]
async fn a_granted_request_arrives_and_its_answer_too() {
    let receiver = Receiver::start(|_| answer("201 Created", "X-Seen: yes\r\n", "héllo")).await;
    let got = request(
        granted(&[receiver.origin()]),
        json!({"method": "PUT", "url": format!("{}/a?b=c", receiver.origin()), "headers": [["X-A", "1"]], "body": "text"}),
    )
    .await;
    assert_eq!((&got["status"], &got["body"]), (&json!(201), &json!("héllo")));
    assert!(got["headers"].as_array().unwrap().contains(&json!(["x-seen", "yes"])));
    let seen = &receiver.seen()[0];
    assert_eq!((seen.method.as_str(), seen.path.as_str(), seen.body.as_str()), ("PUT", "/a?b=c", "text"));
    assert_eq!(seen.header("x-a"), Some("1"));
    assert!(seen.header("user-agent").unwrap().starts_with("aftercommit/"));
}

#[tokio::test]
async fn what_is_not_granted_is_denied() {
    let receiver = Receiver::start(|_| ok("")).await;
    let port = receiver.port();
    let origin = [receiver.origin()];
    let other = [format!("http://127.0.0.1:{}", port - 1)];
    // Not the origin; the address is private; a name that leads there; another scheme.
    for (grants, url) in [
        (granted(&other), receiver.origin()),
        (json!({"http": origin}), receiver.origin()),
        (json!({"http": [format!("http://localhost:{port}")]}), format!("http://localhost:{port}")),
        (json!({"http": origin}), format!("http://0x7f000001:{port}/")),
        (json!({"http": origin}), format!("http://2130706433:{port}/")),
        (
            json!({"http": [format!("http://[::ffff:127.0.0.1]:{port}")]}),
            format!("http://[::ffff:7f00:1]:{port}/"),
        ),
    ] {
        let got = request(grants.clone(), json!({"url": url})).await;
        assert_eq!(got["error"], "denied", "{url} under {grants}: {got}");
    }
    for url in ["ftp://example.com", "http://user:pw@127.0.0.1", "no url", "file:///etc/passwd"] {
        let got = request(granted(&origin), json!({"url": url})).await;
        assert!(matches!(got["error"].as_str(), Some("invalid-request" | "denied")), "{url}: {got}");
    }
    assert!(receiver.seen().is_empty());
}

#[tokio::test]
async fn a_range_grants_its_addresses() {
    let receiver = Receiver::start(|_| ok("")).await;
    let url = json!({"url": format!("http://localhost:{}", receiver.port())});
    let origin = [format!("http://localhost:{}", receiver.port())];
    let got = request(json!({"http": origin, "private_network": ["127.0.0.0/8"]}), url.clone()).await;
    assert_eq!(got["status"], 200, "{got}");
    let got = request(json!({"http": origin, "private_network": ["10.0.0.0/8"]}), url).await;
    assert_eq!(got["error"], "denied", "{got}");
}

#[tokio::test]
async fn wrong_headers_and_methods_are_refused() {
    let receiver = Receiver::start(|_| ok("")).await;
    for (name, value) in [
        ("x", "a\r\nInjected: 1"),
        ("bad name", "x"),
        ("Host", "evil"),
        ("content-length", "0"),
        ("Transfer-Encoding", "x"),
    ] {
        let got = request(
            granted(&[receiver.origin()]),
            json!({"url": receiver.origin(), "headers": [[name, value]]}),
        )
        .await;
        assert_eq!(got["error"], "invalid-request", "{name}: {got}");
    }
    let got =
        request(granted(&[receiver.origin()]), json!({"url": receiver.origin(), "method": "CONNECT"})).await;
    assert_eq!(got["error"], "invalid-request");
    assert!(receiver.seen().is_empty());
}

#[tokio::test]
async fn each_hop_of_a_redirect_is_decided() {
    let target = Receiver::start(|_| ok("there")).await;
    let location = format!("location: {}/next\r\n", target.origin());
    let first = Receiver::start(move |seen| match seen.path.as_str() {
        "/loop" => answer("302 Found", "location: /loop\r\n", ""),
        "/keep" => answer("307 Temporary Redirect", "location: /kept\r\n", ""),
        "/kept" => ok("kept"),
        _ => answer("302 Found", &location, ""),
    })
    .await;
    let url = |path: &str| format!("{}{path}", first.origin());
    let both = granted(&[first.origin(), target.origin()]);
    let got = request(both.clone(), json!({"url": url("/"), "max_redirects": 3})).await;
    assert_eq!(got["body"], "there");
    let got = request(both.clone(), json!({"url": url("/"), "max_redirects": 0})).await;
    assert_eq!(got["status"], 302);
    let got = request(granted(&[first.origin()]), json!({"url": url("/"), "max_redirects": 3})).await;
    assert_eq!(got["error"], "denied", "{got}");
    let got = request(both.clone(), json!({"url": url("/loop"), "max_redirects": 5})).await;
    assert_eq!(got["status"], 302);
    let got =
        request(both, json!({"method": "POST", "body": "b", "url": url("/keep"), "max_redirects": 1})).await;
    assert_eq!(got["body"], "kept");
    assert_eq!(first.seen().last().unwrap().method, "POST");
    assert_eq!(first.seen().last().unwrap().body, "b");
}

#[tokio::test]
async fn failures_have_their_own_kinds() {
    let silent = Receiver::start(|_| None).await;
    let got = request(granted(&[silent.origin()]), json!({"url": silent.origin(), "timeout_ms": 50})).await;
    assert_eq!(got["error"], "timeout", "{got}");
    let garbage = Receiver::start(|_| Some("this is not HTTP\r\n\r\n".to_owned())).await;
    let got = request(granted(&[garbage.origin()]), json!({"url": garbage.origin()})).await;
    assert_eq!(got["error"], "protocol", "{got}");
    let https = format!("https://127.0.0.1:{}", garbage.port());
    let got = request(granted(std::slice::from_ref(&https)), json!({"url": https})).await;
    assert!(matches!(got["error"].as_str(), Some("tls" | "connect")), "{got}");
    let closed = "http://127.0.0.1:1".to_owned();
    let got = request(granted(std::slice::from_ref(&closed)), json!({"url": closed})).await;
    assert_eq!(got["error"], "connect", "{got}");
    let nowhere = "http://nowhere.invalid".to_owned();
    let got =
        request(granted(std::slice::from_ref(&nowhere)), json!({"url": format!("{nowhere}/?key=hidden")}))
            .await;
    assert_eq!(got["error"], "dns", "{got}");
    assert!(!got.to_string().contains("hidden"));
}

/// A chunked response has no length to look at beforehand.
#[tokio::test]
async fn an_endless_response_is_cut() {
    let chunk = format!("4000\r\n{}\r\n", "x".repeat(0x4000));
    let body = chunk.repeat(200);
    let receiver = Receiver::start(move |_| {
        Some(format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{body}"))
    })
    .await;
    let written = json!({
        "do": "http", "request": {"url": receiver.origin()}, "grants": granted(&[receiver.origin()]),
        "limits": {"response_bytes": 100_000},
    });
    let got = details(&run(&configure(&plugin("test/hostile").await, written).await).await);
    assert_eq!((&got["status"], &got["truncated"]), (&json!(200), &json!(true)), "{}", got["message"]);
    let (length, head) = (got["body"].as_str().unwrap().len(), "transfer-encoding".len() + "chunked".len());
    assert_eq!(length, 100_000 - head);
}

/// The receiver has taken the event, whatever it says after that.
#[tokio::test]
async fn a_webhook_that_is_answered_at_length_is_delivered() {
    let long = Receiver::start(|_| answer("202 Accepted", "", &"é".repeat(1 << 20))).await;
    let plugin = plugin("webhook").await;
    let written = json!({"url": long.origin(), "grants": {"private_network": true}});
    let attempt = run(&configure(&plugin, written.clone()).await).await;
    assert_eq!(attempt.result.unwrap().status, Some(202));
    // Not even the headers have room.
    let mut narrow = written;
    narrow["limits"] = json!({"response_bytes": 1});
    let attempt = run(&configure(&plugin, narrow).await).await;
    assert_eq!(attempt.result.unwrap().status, Some(202));
    assert_eq!(long.seen().len(), 2);
}

/// A row may say what is named, not where.
#[tokio::test]
async fn a_value_of_the_row_is_never_a_path() {
    let receiver = Receiver::start(|_| ok("")).await;
    let plugin = plugin("webhook").await;
    let url = format!("{}/tenants/{{{{tenant}}}}", receiver.origin());
    let written = json!({"url": url, "method": "DELETE", "grants": {"private_network": true}});
    let action = configure(&plugin, written).await;
    for (tenant, why) in [
        (json!(".."), "`..`"),
        (json!("%2E%2e"), "`%252E%252e`"),
        (json!("."), "`.`"),
        (json!(""), "`tenant` is null or empty"),
        (json!(null), "`tenant` is null or empty"),
    ] {
        let attempt = action.run(&event(json!({"tenant": tenant})), delivery()).await;
        let failure = attempt.result.unwrap_err();
        assert_eq!((failure.class, failure.problem.code.as_str()), (FailureClass::Permanent, "template"));
        let message = &failure.problem.message;
        assert!(message.starts_with("/url: ") && message.contains(why), "{message}");
    }
    assert!(receiver.seen().is_empty());
    action.run(&event(json!({"tenant": "a/b"})), delivery()).await.result.unwrap();
    assert_eq!(receiver.seen()[0].path, "/tenants/a%2Fb");
}

/// Whatever made the URL: a guest's own code too.
#[tokio::test]
async fn a_dot_segment_is_not_sent() {
    let receiver = Receiver::start(|_| ok("")).await;
    for path in ["/a/../b", "/a/%2e%2E", "/a/./b?c", "/..\\a"] {
        let url = format!("{}{path}", receiver.origin());
        let got = request(granted(&[receiver.origin()]), json!({"url": url})).await;
        assert_eq!(got["error"], "invalid-request", "{path}: {got}");
    }
    assert!(receiver.seen().is_empty());
}

struct Noon;

impl Clock for Noon {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(1_700_000_000_000_000)
    }
}

#[tokio::test]
async fn retry_after_is_counted_from_the_injected_clock() {
    let receiver =
        Receiver::start(|_| answer("429 Too Many", "retry-after: Tue, 14 Nov 2023 22:14:20 GMT\r\n", ""))
            .await;
    let runtime = Runtime::new(settings(), Arc::new(Fixed(HashMap::default())), Arc::new(Noon)).unwrap();
    let plugin = runtime.load("h", ComponentSource::File(component("test/hostile")), None).await.unwrap();
    let written =
        json!({"do": "http", "request": {"url": receiver.origin()}, "grants": granted(&[receiver.origin()])});
    let got = details(&run(&configure(&plugin, written).await).await);
    assert_eq!(got["retry_after_ms"], 60_000);
}

#[tokio::test]
async fn a_webhook_is_delivered_signed_over_one_connection() {
    let receiver = Receiver::start(|_| ok("thanks")).await;
    let plugin =
        crate::fixture::plugin_with("webhook", &[("S", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")]).await;
    let action = configure(
        &plugin,
        json!({"url": format!("{}/hook", receiver.origin()), "signing_secrets": ["${secret:S}"], "grants": {"private_network": true}}),
    )
    .await;
    for _ in 0..5 {
        let attempt = run(&action).await;
        assert_eq!(attempt.result.as_ref().map(|outcome| outcome.status), Ok(Some(200)), "{attempt:?}");
    }
    let seen = receiver.seen();
    assert_eq!(seen.len(), 5);
    assert!(seen[0].header("webhook-signature").unwrap().starts_with("v1,"));
    assert_eq!(receiver.connections(), 1);
}
