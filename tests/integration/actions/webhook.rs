//! `examples/actions/webhook.toml`: batches to one receiver; raw bodies, with an access token and a client certificate, to
//! another.

use std::fs;

use aftercommit_tests::{Answer, Receiver};
use serde_json::{Value, json};
use standardwebhooks::Webhook;

use super::{
    certificate::Authority,
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
