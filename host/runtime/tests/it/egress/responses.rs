//! Answers that do not end, or are larger than they look.

use std::io::Write as _;

use futures::future::join_all;
use serde_json::{Value, json};

use super::way::{GuestRequest, Told, WAYS, Way};
use crate::{
    fixture::{code, configure, plugin, plugin_with, run},
    wire::{Say, Wire},
};

const HEAD: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";

fn asked(server: &Wire, more: Value) -> (GuestRequest, Value) {
    let grants = json!({"http": [server.origin()], "private_network": true});
    (GuestRequest { more, ..GuestRequest::get(server.origin()) }, grants)
}

/// The server goes on for ever; it is heard up to the limit, and then its connection is closed.
#[tokio::test]
async fn an_endless_body_is_cut_and_its_connection_closed() {
    let chunk = format!("1000\r\n{}\r\n", "x".repeat(0x1000));
    for way in WAYS {
        let server = Wire::start(Say::ForEver(HEAD.into(), chunk.clone().into())).await;
        let (asked, grants) = asked(&server, json!({"limits": {"response_bytes": 100_000}}));
        let Told::Answer(told) = way.send(&asked, &grants).await else { panic!("{way:?}") };
        assert_eq!(told["status"], 200);
        let read = match way {
            Way::Buffered => told["body"].as_str().unwrap().len(),
            Way::Wasi => usize::try_from(told["read_bytes"].as_u64().unwrap()).unwrap(),
        };
        assert_eq!(read, 100_000 - "transfer-encoding".len() - "chunked".len(), "{way:?}");
        // It ends only when the other side is gone.
        server.ended(1).await;
    }
}

/// A head that never ends is no answer, and keeps nobody for longer than the budget.
#[tokio::test]
async fn endless_heads_end_with_the_budget() {
    let rows: [(&str, Say); 4] = [
        (
            "headers",
            Say::ForEver("HTTP/1.1 200 OK\r\n".into(), b"x-a: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n".to_vec()),
        ),
        ("one header", Say::ForEver("HTTP/1.1 200 OK\r\nx-a: ".into(), vec![b'x'; 4096])),
        (
            "interim answers",
            Say::ForEver(Vec::new(), b"HTTP/1.1 103 Early Hints\r\nlink: <x>\r\n\r\n".to_vec()),
        ),
        ("no head", Say::Hang(b"HTTP/1.1 200 OK\r\nx-a: 1\r\n".to_vec())),
    ];
    for (what, say) in rows {
        for way in WAYS {
            let server = Wire::start(say.clone()).await;
            let (asked, grants) = asked(&server, json!({"timeout_ms": 1000}));
            let (guest, written) = (way.guest(), way.written(&asked, &grants));
            let attempt = run(&configure(&plugin(guest).await, written).await).await;
            match &attempt.result {
                // The budget was over, or the client gave up on such a head before.
                Err(_) => assert_eq!(code(&attempt), "timeout", "{what} {way:?}: {attempt:?}"),
                Ok(outcome) => {
                    let details = outcome.details.as_deref().unwrap_or_default();
                    assert!(details.contains("\"error\""), "{what} {way:?}: {details}");
                }
            }
            // The connection is closed: nobody goes on reading it.
            server.ended(1).await;
        }
    }
}

/// Bodies that end early, late or never. None of the late ones ends by the limit of bytes.
fn broken(status: &str) -> Vec<(&'static str, Say)> {
    let told =
        |headers: &str, body: &str| format!("HTTP/1.1 {status}\r\n{headers}\r\n\r\n{body}").into_bytes();
    vec![
        ("no byte", Say::Once(told("content-length: 3", ""))),
        ("two of three bytes", Say::Once(told("content-length: 3", "ok"))),
        ("half a chunk", Say::Once(told("transfer-encoding: chunked", "10\r\nhalf"))),
        ("no last chunk", Say::Once(told("transfer-encoding: chunked", "2\r\nok\r\n"))),
        ("no chunk", Say::Once(told("transfer-encoding: chunked", "this is no length\r\n"))),
        ("hangs", Say::Hang(told("content-length: 100", "half"))),
        ("hangs in a chunk", Say::Hang(told("transfer-encoding: chunked", "10\r\nhalf"))),
        (
            "an event stream",
            Say::Drip(told("content-type: text/event-stream", ""), b"data: tick\n\n".to_vec()),
        ),
        ("drips", Say::Drip(told("content-length: 100000", ""), b"x".to_vec())),
        ("drips in chunks", Say::Drip(told("transfer-encoding: chunked", ""), b"1\r\nx\r\n".to_vec())),
    ]
}

/// Whoever only needs the status has it. The others get what came, and that it is not whole.
#[tokio::test]
async fn a_body_that_ends_early_late_or_never_leaves_the_status() {
    for way in WAYS {
        let sent = broken("202 Accepted").into_iter().map(|(what, say)| async move {
            let server = Wire::start(say).await;
            let (asked, grants) = asked(&server, json!({"timeout_ms": 4000}));
            let Told::Answer(told) = way.send(&asked, &grants).await else { panic!("{what} {way:?}") };
            assert_eq!(told["status"], 202, "{what} {way:?}");
            match way {
                Way::Buffered => assert_eq!(told["truncated"], true, "{what}: {told}"),
                Way::Wasi => {
                    let broken = told["broken"].as_str().unwrap_or_default();
                    assert!(broken.contains("incomplete") || broken.contains("timeout"), "{what}: {told}");
                }
            }
            // Nobody goes on reading it.
            server.ended(1).await;
        });
        join_all(sent).await;
    }
}

#[tokio::test]
async fn a_webhook_is_judged_by_a_status_whatever_follows_it() {
    let plugin = plugin("webhook").await;
    let action = |server: &Wire| {
        let written =
            json!({"url": server.origin(), "timeout_ms": 4000, "grants": {"private_network": true}});
        let plugin = std::sync::Arc::clone(&plugin);
        async move { configure(&plugin, written).await }
    };
    for (status, expected) in
        [("200 OK", Ok(200)), ("410 Gone", Err("endpoint_gone")), ("503 No", Err("http_status"))]
    {
        let sent = broken(status).into_iter().map(|(what, say)| {
            let action = &action;
            async move {
                let server = Wire::start(say).await;
                let attempt = run(&action(&server).await).await;
                let got = attempt.result.as_ref().map(|outcome| outcome.status.unwrap_or_default());
                let got = got.map_err(|failure| failure.problem.code.as_str());
                assert_eq!(got, expected, "{what}: {attempt:?}");
                assert_eq!(server.connections(), 1, "{what}");
            }
        });
        join_all(sent).await;
    }
}

/// A token that came whole is one, however its connection ends; one that did not is asked for again later.
#[tokio::test]
async fn a_token_counts_if_it_came_whole() {
    let receiver = Wire::answering("200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
    let plugin = plugin_with("webhook", &[("CLIENT", "s3cr3t-of-client")]).await;
    for (body, expected) in [
        (r#"{"access_token":"abcdef","expires_in":60}"#, None),
        (r#"{"access_token":"abc"#, Some("its body ended early")),
    ] {
        let endpoint = Wire::answering(&format!("200 OK\r\ncontent-length: 100\r\n\r\n{body}")).await;
        let oauth2 =
            json!({"token_url": endpoint.origin(), "client_id": "me", "client_secret": "${secret:CLIENT}"});
        let written =
            json!({"url": receiver.origin(), "oauth2": oauth2, "grants": {"private_network": true}});
        let attempt = run(&configure(&plugin, written).await).await;
        match expected {
            None => assert_eq!(attempt.result.unwrap().status, Some(200)),
            Some(why) => {
                let failure = attempt.result.unwrap_err();
                assert_eq!(failure.problem.code.as_str(), "access_token");
                assert!(failure.problem.message.contains(why), "{failure}");
            }
        }
    }
}

/// As curl, browsers and others take them.
#[tokio::test]
async fn heads_that_other_clients_take_are_taken() {
    let headers = |count: usize| {
        (0..count).map(|number| format!("x-{number}: {number}\r\n")).collect::<Vec<_>>().concat()
    };
    let (many, plenty) = (headers(101), headers(900));
    for (what, headers, expected) in [
        ("101 headers", many.as_str(), ("x-100", "100")),
        ("900 headers", plenty.as_str(), ("x-899", "899")),
        ("a space before the colon", "x-a : v\r\n", ("x-a", "v")),
        ("no space behind it", "x-a:v\r\n", ("x-a", "v")),
        ("a folded line", "x-a: v\r\n w\r\n\tx\r\n", ("x-a", "v w x")),
        ("a line that is no header", "this is no header\r\nx-a: v\r\n", ("x-a", "v")),
        ("a name that is none", "x{a}: 1\r\nx-a: v\r\n", ("x-a", "v")),
        ("a length with a space before the colon", "content-length : 2\r\nx-a: v\r\n", ("x-a", "v")),
    ] {
        for way in WAYS {
            let length = if headers.contains("content-length") { "" } else { "content-length: 2\r\n" };
            // The third byte belongs to no body.
            let answer = format!("200 OK\r\n{headers}{length}\r\nok!");
            let server = Wire::answering(&answer).await;
            let (asked, grants) = asked(&server, json!({}));
            let told = way.send(&asked, &grants).await;
            let Told::Answer(told) = told else { panic!("{what} {way:?}: {told:?}") };
            assert_eq!((&told["status"], &told["body"]), (&json!(200), &json!("ok")), "{what} {way:?}");
            let got = told["headers"].as_array().unwrap().iter().find(|header| header[0] == expected.0);
            assert_eq!(got.map(|header| header[1].as_str().unwrap()), Some(expected.1), "{what} {way:?}");
        }
    }
    // What says where a body ends is not guessed.
    for headers in
        ["content-length: 2\r\ncontent-length: 3\r\n", "content-length: 2, 3\r\n", "content-length: -2\r\n"]
    {
        let server = Wire::answering(&format!("200 OK\r\n{headers}\r\nok!")).await;
        let (asked, grants) = asked(&server, json!({}));
        let told = Way::Buffered.send(&asked, &grants).await;
        assert!(matches!(told, Told::Refused(_)), "{headers}: {told:?}");
    }
}

/// Some servers answer 411 to a method with content that tells no length (RFC 9110, 8.6).
#[tokio::test]
async fn a_method_that_has_content_tells_that_there_is_none() {
    for way in WAYS {
        for (method, told) in [
            ("POST", true),
            ("PUT", true),
            ("PATCH", true),
            ("GET", false),
            ("DELETE", false),
            ("HEAD", false),
        ] {
            let server = Wire::answering("204 No\r\nconnection: close\r\n\r\n").await;
            let (asked, grants) = asked(&server, json!({}));
            let asked = GuestRequest { method: Some(method.to_owned()), ..asked };
            assert!(way.send(&asked, &grants).await.is_answer(), "{method} {way:?}");
            let sent = server.ended(1).await[0].to_ascii_lowercase();
            assert_eq!(sent.matches("content-length: 0\r\n").count(), usize::from(told), "{way:?}: {sent}");
            assert!(!sent.contains("transfer-encoding"), "{way:?}: {sent}");
        }
    }
}

/// Compression is not asked for, and what comes compressed all the same is handed on as it came: what is not unpacked
/// can not burst.
#[tokio::test]
async fn a_bomb_stays_packed() {
    let bomb = bomb();
    assert!(bomb.len() < 20_000);
    for way in WAYS {
        for (coding, accepts) in
            [("gzip", false), ("gzip", true), ("deflate", true), ("br", true), ("zstd", true)]
        {
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-encoding: {coding}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                bomb.len()
            );
            let server = Wire::start(Say::Once([head.as_bytes(), &bomb].concat())).await;
            let (mut asked, grants) = asked(&server, json!({}));
            if accepts {
                asked.headers.push(("accept-encoding".to_owned(), coding.to_owned()));
            }
            let Told::Answer(told) = way.send(&asked, &grants).await else { panic!("{way:?}") };
            // As the guest reads it: each byte that is no text counts as one sign of three bytes.
            assert!(told["body"].as_str().unwrap().chars().count() <= bomb.len(), "{way:?} {coding}");
            let sent = &server.ended(1).await[0].to_ascii_lowercase();
            assert_eq!(sent.contains("accept-encoding"), accepts, "{sent}");
        }
    }
}

/// Ten megabytes of zeros in gzip's format (RFC 1952), by one block of deflate (RFC 1951) after the other: a literal zero,
/// then copies of 258 bytes from one byte before.
fn bomb() -> Vec<u8> {
    // Fixed codes: 00110000 is a zero, 11000101 a copy of 258 bytes, 00000 from one byte before, 0000000 the end.
    let mut bits = vec![1, 1, 0];
    bits.extend([0, 0, 1, 1, 0, 0, 0, 0]);
    for _ in 0..10_000 {
        bits.extend([1, 1, 0, 0, 0, 1, 0, 1]);
        bits.extend([0; 5]);
    }
    bits.extend([0; 7]);
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
    for byte in bits.chunks(8) {
        let packed = byte.iter().enumerate().fold(0_u8, |all, (place, bit)| all | bit << place);
        out.write_all(&[packed]).unwrap();
    }
    out.extend([0; 8]);
    out
}
