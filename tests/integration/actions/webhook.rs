//! `examples/actions/webhook.toml`: batches to one receiver; raw bodies, with an access token and a client certificate, to
//! another.

use std::fs;

use aftercommit_core::{EntityEvent, EventKind};
use aftercommit_runtime::PreparedEvent;
use aftercommit_tests::{Answer, Receiver};
use serde_json::{Value, json};
use standardwebhooks::Webhook;

use super::{
    certificate::Authority,
    component::{action, told},
    example::{PRIVATE, example, logged},
};
use crate::shop::{SECRET, Shop};

#[tokio::test(flavor = "multi_thread")]
async fn the_example_tells_many_at_once_and_books_each_with_a_certificate() {
    let (receiver, tokens, authority) = (Receiver::start().await, Receiver::start().await, Authority::new());
    let ledger = Receiver::start_tls(authority.server_for_clients_of(&authority, &["http/1.1"])).await;
    tokens.respond(|_| Answer::status(200).json(&json!({"access_token": "t0ken", "expires_in": 3600})));
    ledger.respond(|request| {
        let right = request.header("authorization") == "Bearer t0ken";
        Answer::status(if right { 201 } else { 403 })
    });
    let client = authority.client();
    let mut shop = Shop::open("").await;
    let trusted = shop.path("ca.pem");
    fs::write(&trusted, &authority.pem).unwrap();
    for (name, value) in [
        ("ORDERS_URL", receiver.url("/orders")),
        ("LEDGER_URL", format!("https://localhost:{}/lines", ledger.port())),
        ("TOKEN_URL", tokens.url("/token")),
        ("CLIENT_SECRET", "s3cret-of-the-client".to_owned()),
        ("CLIENT_CERTIFICATE", client.certificate.clone()),
        ("CLIENT_KEY", client.key.clone()),
        ("SSL_CERT_FILE", trusted.display().to_string()),
    ] {
        shop.set_env(name, value);
    }
    shop.observe(&example("webhook", &[("url_env", PRIVATE.to_owned())]));
    let host = shop.start_host();
    shop.sql("INSERT INTO orders VALUES (7, 'a \"quoted\" one', 9007199254740993), (8, 'new', 2)").await;
    let mut log = logged(&shop, 4).await;
    assert!(host.stop());

    let told = receiver.received();
    Webhook::new(SECRET).unwrap().verify(&told[0].body, &told[0].headers).unwrap();
    let elements: Vec<Value> = serde_json::from_slice(&told[0].body).unwrap();
    assert_eq!((told.len(), elements.len()), (1, 2), "{elements:?}");
    assert_ne!(elements[0]["webhook_id"], elements[1]["webhook_id"]);

    let booked = ledger.received();
    let mut lines: Vec<_> = booked.iter().map(|line| String::from_utf8_lossy(&line.body)).collect();
    lines.sort_unstable();
    assert_eq!(lines, ["7;a \"quoted\" one;9007199254740993\n", "8;new;2\n"]);
    assert!(booked.iter().all(|line| line.header("content-type") == "text/csv; charset=utf-8"));
    let form = String::from_utf8_lossy(&tokens.received()[0].body).into_owned();
    assert_eq!((tokens.count(), &*form), (1, "grant_type=client_credentials&scope=ledger.write"));

    log.sort_unstable();
    let done = |observer: &str, status: u16| format!("{observer} succeeded - - {status}");
    let (booked, told) = (done("orders-booked", 201), done("orders-told", 200));
    assert_eq!(log, [booked.clone(), booked, told.clone(), told]);
    for secret in ["s3cret-of-the-client", "t0ken", "PRIVATE KEY", SECRET] {
        assert!(!shop.host_log().contains(secret), "{}", shop.host_log());
    }
}

#[tokio::test]
async fn a_raw_body_is_signed_as_it_is_sent() {
    let receiver = Receiver::start().await;
    let written = json!({
        "url": receiver.url("/lines"), "raw_body_template": "{{name}}\t{{name}}\r\n", "signing_secrets": ["${secret:S}"],
        "grants": {"private_network": true},
    });
    let action = action("webhook", written, &[("S", SECRET)]).await;
    let name = "O'Neil \"&\" Étape\n";
    assert_eq!(told(&action.run(EventKind::Created, json!({"name": name})).await), "done");
    let request = &receiver.received()[0];
    assert_eq!(request.body, format!("{name}\t{name}\r\n").as_bytes());
    assert_eq!(request.header("content-type"), "text/plain; charset=utf-8");
    Webhook::new(SECRET).unwrap().verify(&request.body, &request.headers).unwrap();
}

#[tokio::test]
async fn events_for_another_address_do_not_share_a_request() {
    let receiver = Receiver::start().await;
    receiver.respond(|request| Answer::status(if request.path == "/b" { 410 } else { 200 }));
    let written = json!({
        "url": receiver.url("/{{to}}"), "headers": {"X-Key": "{{key}}"}, "body_template": r#"{"n":{{n}}}"#, "batch": {},
        "grants": {"private_network": true},
    });
    let action = action("webhook", written, &[]).await;
    let event = |to: &str, key: &str, n: Value| {
        let row = json!({"to": to, "key": key, "n": n});
        PreparedEvent::new(EntityEvent::new(EventKind::Created, "Order", 7, row))
    };
    let events = [
        event("a", "k", json!(1)),
        event("b", "k", json!(2)),
        event("a", "k", json!("no number")),
        event("a", "l", json!(4)),
        event("a", "k", json!(5)),
    ];
    let attempts = action.run_batch(&events).await;
    let told: Vec<_> = attempts.iter().map(told).collect();
    assert_eq!(told, ["done", "permanent: endpoint_gone", "permanent: template", "done", "done"]);
    let sent: Vec<(String, String, Vec<i64>)> = receiver
        .received()
        .iter()
        .map(|request| {
            let elements: Vec<Value> = serde_json::from_slice(&request.body).unwrap();
            let numbers = elements.iter().map(|element| element["n"].as_i64().unwrap()).collect();
            (request.path.clone(), request.header("x-key").to_owned(), numbers)
        })
        .collect();
    let request =
        |path: &str, key: &str, numbers: &[i64]| (path.to_owned(), key.to_owned(), numbers.to_vec());
    assert_eq!(sent, [request("/a", "k", &[1, 5]), request("/b", "k", &[2]), request("/a", "l", &[4])]);
}

/// A receiver that does not answer costs the requests after it, and not those before.
#[tokio::test]
async fn a_request_that_hangs_leaves_the_others_their_results() {
    let receiver = Receiver::start().await;
    receiver.respond(|request| Answer {
        after: std::time::Duration::from_secs(if request.path == "/hangs" { 600 } else { 0 }),
        ..Answer::status(200)
    });
    let written = json!({
        "url": receiver.url("/{{to}}"), "batch": {}, "timeout_ms": 2000, "grants": {"private_network": true},
    });
    let action = action("webhook", written, &[]).await;
    let event =
        |to: &str| PreparedEvent::new(EntityEvent::new(EventKind::Created, "Order", 7, json!({"to": to})));
    let attempts = action.run_batch(&[event("fine"), event("hangs"), event("late")]).await;
    let told: Vec<_> = attempts.iter().map(told).collect();
    assert_eq!(told, ["done", "transient: timeout", "transient: timeout"]);
    assert_eq!(receiver.count(), 2, "nothing is begun that can not end");
}
