//! Where a destination sends a request on to.

use serde_json::{Value, json};

use super::way::{GuestRequest, Told, Way};
use crate::{
    fixture::{configure, plugin, plugin_with, run},
    heard::listen,
    receiver::{Receiver, answer, ok},
    wire::Wire,
};

/// What a redirect leads to, and what becomes of the request; `PORT` is the port of a server that is not granted, `OWN` that
/// of the one that redirects.
const LOCATIONS: &[(&str, Fate)] = &[
    ("http://127.0.0.1:PORT/", Fate::Denied),
    ("//127.0.0.1:PORT/", Fate::Denied),
    ("\\\\127.0.0.1:PORT\\", Fate::Denied),
    ("http:\\\\127.0.0.1:PORT/", Fate::Denied),
    ("http://2130706433:PORT/", Fate::Denied),
    ("http://0x7f.1:PORT/", Fate::Denied),
    ("http://localhost:OWN/", Fate::Denied),
    ("http://[::ffff:127.0.0.1]:OWN/", Fate::Denied),
    ("https://127.0.0.1:OWN/", Fate::Denied),
    ("http://169.254.169.254/latest/meta-data/", Fate::Denied),
    ("http://user:password@127.0.0.1:OWN/", Fate::Refused),
    ("http://127.0.0.1:OWN@127.0.0.1:PORT/", Fate::Refused),
    ("ftp://127.0.0.1:PORT/", Fate::Refused),
    ("file:///etc/passwd", Fate::Refused),
    ("gopher://127.0.0.1:PORT/_x", Fate::Refused),
    ("data:text/plain,x", Fate::Refused),
    ("javascript:alert(1)", Fate::Refused),
    ("unix:/run/docker.sock", Fate::Refused),
    ("http://[::1", Fate::Refused),
    ("http://127.0.0.1:99999/", Fate::Refused),
];

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    Denied,
    Refused,
}

async fn redirecting(location: &str) -> Wire {
    Wire::answering(&format!(
        "307 Elsewhere\r\nlocation: {location}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    ))
    .await
}

#[tokio::test]
async fn each_hop_is_decided_as_the_first_was() {
    let other = Wire::answering("200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let heard = listen();
    for (location, fate) in LOCATIONS {
        // Its own port is known only once it runs: a path leads to where that is told.
        let (first, own) = own_port(location, &other).await;
        let grants = json!({"http": [first.origin()], "private_network": true});
        heard.audit();
        let asked = GuestRequest { max_redirects: 3, ..GuestRequest::get(first.origin()) };
        let told = Way::Buffered.send(&asked, &grants).await;
        let audited = heard.audit().len();
        match (fate, &told) {
            (Fate::Denied, Told::Denied(_)) => assert_eq!(audited, 1, "{own}"),
            (Fate::Refused, Told::Refused(_)) => assert_eq!(audited, 0, "{own}"),
            _ => panic!("{own}: {told:?}"),
        }
        // wasi:http is told of the redirect and nothing follows it.
        let told = Way::Wasi.send(&asked, &grants).await;
        let Told::Answer(answer) = told else { panic!("{own}: {told:?}") };
        assert_eq!(answer["status"], 307, "{own}");
        assert_eq!(first.connections(), 2, "{own}");
    }
    assert_eq!(other.connections(), 0);
}

/// A server on a port of its own that redirects there, with the ports put in.
async fn own_port(location: &str, other: &Wire) -> (Wire, String) {
    use crate::wire::Say;
    let location = location.replace("PORT", &other.port().to_string());
    let first = Wire::start_with_port(|port| {
        let location = location.replace("OWN", &port.to_string());
        let head = format!(
            "HTTP/1.1 307 Elsewhere\r\nlocation: {location}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        );
        Say::Once(head.into_bytes())
    })
    .await;
    (first, location)
}

/// A server that answers its first path with a redirect and all others with 200.
async fn moved(status: &'static str, location: String) -> Receiver {
    Receiver::start(move |seen| match seen.path.as_str() {
        "/hook" => answer(status, &format!("location: {location}\r\n"), ""),
        _ => ok(""),
    })
    .await
}

/// A `GET` in its place would be answered 200 by any site, and the event would be nowhere.
#[tokio::test]
async fn no_event_becomes_an_empty_get() {
    let plugin = plugin("webhook").await;
    for status in ["301 Moved", "302 Found", "303 Other", "307 Temporary", "308 Permanent"] {
        for method in ["POST", "PUT", "PATCH", "DELETE", "GET"] {
            let receiver = moved(status, "/there".to_owned()).await;
            let url = format!("{}/hook", receiver.origin());
            let written = json!({"url": url, "method": method, "body_template": "{\"a\":1}", "follow_redirects": 3,
                "grants": {"private_network": true}});
            let attempt = run(&configure(&plugin, written).await).await;
            let seen = receiver.seen();
            let what = format!("{method} {status}: {attempt:?}");
            let refused = match (&status[..3], method) {
                ("301" | "302", "POST") => true,
                ("303", method) => method != "GET",
                _ => false,
            };
            assert!(seen.iter().all(|seen| seen.method == method && seen.body == r#"{"a":1}"#), "{what}");
            match (refused, &attempt.result) {
                (true, Err(failure)) => {
                    assert_eq!((seen.len(), failure.problem.status), (1, status[..3].parse().ok()), "{what}");
                    let message = &failure.problem.message;
                    assert!(message.contains("it leads to another path of the same origin"), "{what}");
                }
                (false, Ok(outcome)) => {
                    assert_eq!((seen.len(), seen[1].path.as_str()), (2, "/there"), "{what}");
                    let there = format!("redirected to {}/there)", receiver.origin());
                    assert!(outcome.summary.ends_with(&there), "{what}");
                }
                _ => panic!("{what}"),
            }
        }
    }
}

/// Whoever counts a redirect as success has it, also where it would have been followed with another method.
#[tokio::test]
async fn a_redirect_that_is_not_followed_is_an_answer() {
    let receiver = moved("303 Other", "/there".to_owned()).await;
    let written = json!({"url": format!("{}/hook", receiver.origin()), "follow_redirects": 3, "success_codes": ["303"],
        "grants": {"private_network": true}});
    let attempt = run(&configure(&plugin("webhook").await, written).await).await;
    assert_eq!(attempt.result.unwrap().status, Some(303));
}

/// A receiver that takes the event without them would take it from anybody.
#[tokio::test]
async fn an_event_does_not_arrive_without_its_credentials() {
    let plugin = plugin_with("webhook", &[TOKEN, ("KEY", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")]).await;
    for (more, follows) in [
        (json!({"headers": {"Authorization": "Bearer of-mine"}}), false),
        (json!({"headers": {"Cookie": "a=b"}}), false),
        (json!({"headers": {"X-Key": "${secret:TOKEN}"}}), false),
        (json!({"headers": {"X-Key": "${secret:TOKEN}"}, "method": "GET"}), true),
        (json!({"headers": {"X-Key": "no secret"}}), true),
        // A signature is made for this event and is no secret.
        (json!({"signing_secrets": ["${secret:KEY}"]}), true),
    ] {
        let other = Receiver::start(|_| ok("")).await;
        let receiver = moved("307 Elsewhere", format!("{}/there", other.origin())).await;
        let mut written = json!({"url": format!("{}/hook", receiver.origin()), "follow_redirects": 3,
            "grants": {"private_network": true, "http": [other.origin()]}});
        written.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let attempt = run(&configure(&plugin, written).await).await;
        assert_eq!(other.seen().len(), usize::from(follows), "{more}: {attempt:?}");
        match attempt.result {
            Ok(outcome) => assert!(follows && outcome.status == Some(200), "{more}"),
            Err(failure) => {
                let told = format!("it leads to {}: configure the URL at its end", other.origin());
                assert!(!follows && failure.problem.message.ends_with(&told), "{failure}");
            }
        }
        for seen in other.seen() {
            assert_eq!(seen.header("x-key").unwrap_or("no secret"), "no secret");
        }
    }
}

const TOKEN: (&str, &str) = ("TOKEN", "s3cr3t/v&lue+");

/// The secret is granted towards the first origin only: the guest's `service` is marked `x-egress`, the collector is not.
async fn memory(path: &str, service: &Wire, collector: &str) -> Value {
    use crate::fixture::details;
    let written = json!({
        "service": service.origin(), "path": path, "secret": "${secret:TOKEN}", "body": "{}", "broken": [],
        "collector": "", "end": "one", "grants": {"http": [collector], "private_network": true},
    });
    details(&run(&configure(&plugin_with("test/memory", &[TOKEN]).await, written).await).await)
}

/// Many servers repeat path and query when they redirect; so a secret would reach whom it was not granted towards.
#[tokio::test]
async fn a_redirect_does_not_carry_a_secret_to_another_origin() {
    for repeated in
        ["?key=s3cr3t/v%26lue%2B", "s3cr3t/v&lue+", "?key=s3cr3t%2Fv%26lue%2b", "?u=dXNlcjpzM2NyM3QvdiZsdWUr"]
    {
        let other = Wire::answering("200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
        let first = redirecting(&format!("{}/{repeated}", other.origin())).await;
        let heard = listen();
        let told = memory("/?key=SECRET", &first, &other.origin()).await.to_string();
        assert!(told.contains("Denied") && told.contains("`TOKEN` is not granted"), "{repeated}: {told}");
        let log = heard.text();
        assert!(log.contains("a request was denied"), "{log}");
        for text in [told, log] {
            assert!(!text.contains("s3cr3t"), "{repeated}: {text}");
        }
        assert_eq!(other.connections(), 0, "{repeated}");
        assert!(first.ended(1).await[0].starts_with("GET /?key=s3cr3t/v%26lue%2B HTTP/1.1"));
    }
}

/// An error names where a redirect leads, and that may be the secret that was sent.
#[tokio::test]
async fn a_redirect_that_is_denied_does_not_tell_the_secret() {
    let first = redirecting("http://evil.example/s3cr3t/v&lue+/x").await;
    let heard = listen();
    let told = memory("/header", &first, "http://other.example").await.to_string();
    assert!(told.contains("Denied") && told.contains("not shown"), "{told}");
    for text in [told, heard.text()] {
        assert!(!text.contains("s3cr3t"), "{text}");
    }
    assert!(first.ended(1).await[0].contains("x-token: s3cr3t/v&lue+"));
}
