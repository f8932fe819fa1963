//! Client certificates (mutual TLS): shown to whom they are for, and to nobody else.

use std::sync::Arc;

use aftercommit_core::{EventKind, SystemClock};
use aftercommit_tests::{Answer, Receiver};
use serde_json::{Value, json};

use super::{
    certificate::{Authority, Client},
    component::{Action, action_of, configure, load, told},
};

const PROTOCOLS: &[&str] = &["h2", "http/1.1"];

fn written(url: &str, more: &Value) -> Value {
    let mut written = json!({"url": url, "grants": {"private_network": true}});
    written.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    written
}

fn with_certificate() -> Value {
    json!({"client_certificate": "${secret:CERTIFICATE}", "client_key": "${secret:KEY}"})
}

fn secrets(client: &Client) -> [(&str, &str); 2] {
    [("CERTIFICATE", &client.certificate), ("KEY", &client.key)]
}

async fn sent(action: &Action) -> String {
    told(&action.run(EventKind::Created, json!({})).await)
}

#[tokio::test]
async fn a_receiver_takes_the_right_certificate_only() {
    let (authority, others) = (Authority::new(), Authority::new());
    for protocols in [PROTOCOLS, &["http/1.1"]] {
        let receiver = Receiver::start_tls(authority.server_for_clients_of(&authority, protocols)).await;
        let url = format!("https://localhost:{}/hook", receiver.port());
        let trusted = || vec![authority.pem.clone().into_bytes()];
        for (client, expected) in [(authority.client(), "done"), (others.client(), "transient: tls")] {
            let action =
                configure("webhook", written(&url, &with_certificate()), &secrets(&client), trusted()).await;
            let attempt = action.unwrap().run(EventKind::Created, json!({})).await;
            assert_eq!(told(&attempt), expected, "{attempt:?}");
            assert!(!format!("{attempt:?}").contains("BEGIN"), "{attempt:?}");
        }
        let none = configure("webhook", written(&url, &json!({})), &[], trusted()).await.unwrap();
        let attempt = none.run(EventKind::Created, json!({})).await;
        assert_eq!(told(&attempt), "transient: tls", "{attempt:?}");
        assert_eq!(receiver.count(), 1);
    }
}

/// In one host: whoever has no certificate, or another, does not go on with a connection or a session of who has.
#[tokio::test]
async fn connections_and_sessions_are_shared_by_the_same_certificate_only() {
    let (authority, others) = (Authority::new(), Authority::new());
    let receiver = Receiver::start_tls(authority.server_for_clients_of(&authority, PROTOCOLS)).await;
    let url = format!("https://localhost:{}/hook", receiver.port());
    let (right, wrong) = (authority.client(), others.client());
    let all = [
        ("CERTIFICATE", &*right.certificate),
        ("KEY", &*right.key),
        ("OTHER_CERTIFICATE", &*wrong.certificate),
        ("OTHER_KEY", &*wrong.key),
    ];
    let trusted = vec![authority.pem.clone().into_bytes()];
    let plugin = load("webhook", &all, trusted, Arc::new(SystemClock)).await;
    let other =
        json!({"client_certificate": "${secret:OTHER_CERTIFICATE}", "client_key": "${secret:OTHER_KEY}"});
    let mut actions = Vec::new();
    for more in [with_certificate(), json!({}), other, with_certificate()] {
        actions.push(action_of(&plugin, written(&url, &more)).await.unwrap());
    }
    for _ in 0..3 {
        let mut ends = Vec::new();
        for action in &actions {
            ends.push(sent(action).await);
        }
        assert_eq!(ends, ["done", "transient: tls", "transient: tls", "done"]);
    }
    assert_eq!(receiver.count(), 6);
}

/// All want the same certificate, so each would take it if it were shown.
#[tokio::test]
async fn neither_a_redirect_nor_a_token_endpoint_is_shown_it() {
    let authority = Authority::new();
    let start = || Receiver::start_tls(authority.server_for_clients_of(&authority, PROTOCOLS));
    let (receiver, elsewhere) = (start().await, start().await);
    let at = |receiver: &Receiver, path: &str| format!("https://localhost:{}{path}", receiver.port());
    let (url, away, client) = (at(&receiver, "/hook"), at(&elsewhere, "/"), authority.client());
    receiver.respond(move |_| Answer::status(307).header("location", away.clone()));
    let act = async |more: Value| {
        let mut all = with_certificate();
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let trusted = vec![authority.pem.clone().into_bytes()];
        configure("webhook", written(&url, &all), &secrets(&client), trusted).await.unwrap()
    };
    let grants = json!({"private_network": true, "http": [at(&elsewhere, "")]});
    assert_eq!(sent(&act(json!({"follow_redirects": 1, "grants": grants})).await).await, "transient: tls");
    assert_eq!((receiver.count(), elsewhere.count()), (1, 0));
    let oauth2 =
        json!({"token_url": at(&elsewhere, "/token"), "client_id": "me", "client_secret": "${secret:KEY}"});
    assert_eq!(sent(&act(json!({"oauth2": oauth2})).await).await, "transient: access_token");
    assert_eq!((receiver.count(), elsewhere.count()), (1, 0));
    // What it is for is where it is shown.
    receiver.respond(|_| Answer::status(200));
    assert_eq!(sent(&act(json!({})).await).await, "done");
}

#[tokio::test]
async fn what_is_wrong_is_told_when_it_loads_and_without_the_text() {
    let authority = Authority::new();
    let (client, other) = (authority.client(), authority.client());
    let broken = "-----BEGIN PRIVATE KEY-----\naHVudGVyMg==\n-----END PRIVATE KEY-----\n";
    let all = [
        ("CERTIFICATE", &*client.certificate),
        ("KEY", &*client.key),
        ("OTHER_KEY", &*other.key),
        ("BROKEN", broken),
        ("WORD", "hunter2"),
    ];
    let refused = async |url: &str, more: Value| {
        let error = configure("webhook", written(url, &more), &all, Vec::new()).await;
        let error = error.err().expect("it is refused").to_string();
        for part in ["hunter2", "aHVudGVyMg", "-----"] {
            assert!(!error.contains(part), "{error}");
        }
        error
    };
    let pair = |certificate: &str, key: &str| json!({"client_certificate": format!("${{secret:{certificate}}}"), "client_key": format!("${{secret:{key}}}")});
    let url = "https://example.com/hook";
    for (more, expected) in [
        (
            json!({"client_certificate": "${secret:CERTIFICATE}"}),
            "/client_certificate: a client certificate needs its private key",
        ),
        (json!({"client_key": "${secret:KEY}"}), "/client_key: a client's private key needs its certificate"),
        (pair("CERTIFICATE", "OTHER_KEY"), "/client_key: the secret is not the key of the certificate"),
        (pair("CERTIFICATE", "WORD"), "/client_key: the secret holds no private key without a password"),
        (pair("CERTIFICATE", "BROKEN"), "/client_key: the secret is not an RSA, ECDSA or ed25519 key"),
        (pair("WORD", "KEY"), "/client_certificate: the secret holds no certificate"),
        (pair("CERTIFICATE", "ABSENT"), "/client_key: there is no secret `ABSENT`"),
    ] {
        let told = refused(url, more).await;
        assert!(told.starts_with(expected), "{told}");
    }
    let literal = json!({"client_certificate": "${secret:CERTIFICATE}", "client_key": broken});
    assert_eq!(refused(url, literal).await, "/client_key: must be a secret (write ${secret:NAME})");
    for url in ["http://example.com/hook", "https://{{host}}/hook"] {
        let told = refused(url, with_certificate()).await;
        assert!(told.starts_with("/url: a client certificate is shown to an https origin only"), "{told}");
    }
}
