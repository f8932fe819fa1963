//! Requests within requests: no method, URL, header, body or trailer makes two requests of one, or one for somebody else.

use serde_json::{Value, json};

use super::way::{GuestRequest, Told, WAYS, Way};
use crate::{
    fixture::{configure, details, plugin, run},
    wire::Wire,
};

const OK: &str = "200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

fn granted(server: &Wire) -> Value {
    json!({"http": [server.origin()], "private_network": true})
}

const METHODS: &[&str] = &[
    "CONNECT",
    "connect",
    "TRACE",
    "Trace",
    "TRACK",
    "",
    "G T",
    "GET /evil HTTP/1.1\r\nHost: evil.example\r\n\r\nGET",
    "GET\n",
    "GET\0",
    "G\u{c9}T",
    "GET:",
];

const HEADERS: &[(&str, &str)] = &[
    // A header ends with a line.
    ("x-a", "1\r\nx-injected: 1"),
    ("x-a", "1\nx-injected: 1"),
    ("x-a", "1\rx-injected: 1"),
    ("x-a", "1\r\n\r\nGET /evil HTTP/1.1"),
    ("x-a", "1\r\n folded"),
    ("x-a", "1\n\tfolded"),
    ("x-a", "1\0"),
    ("x-a", "\u{7f}"),
    ("x-a\r\nx-injected", "1"),
    ("x-a\n", "1"),
    ("x-a: 1\r\nx-injected", "1"),
    ("x-a:", "1"),
    ("x a", "1"),
    (" x-a", "1"),
    ("x-a ", "1"),
    ("x-a\0", "1"),
    ("x-\u{e4}", "1"),
    ("(x)", "1"),
    ("", "1"),
    (":authority", "evil.example"),
    (":path", "/evil"),
    // What decides where a message ends, to whom it goes, or what the connection becomes.
    ("host", "evil.example"),
    ("Host", "evil.example"),
    ("HOST", "evil.example"),
    ("content-length", "0"),
    ("Content-Length", "5"),
    ("transfer-encoding", "chunked"),
    ("Transfer-Encoding", "identity"),
    ("connection", "close"),
    ("connection", "upgrade"),
    ("keep-alive", "timeout=1"),
    ("te", "trailers"),
    ("trailer", "x-a"),
    ("upgrade", "h2c"),
    ("upgrade", "websocket"),
    ("http2-settings", "AAMAAABkAARAAAAAAAIAAAAA"),
    ("expect", "100-continue"),
    ("proxy-connection", "keep-alive"),
    ("proxy-authorization", "Basic eDp5"),
];

#[tokio::test]
async fn methods_that_are_none_or_of_the_connection_are_refused() {
    let server = Wire::answering(OK).await;
    for way in WAYS {
        for method in METHODS {
            let asked =
                GuestRequest { method: Some((*method).to_owned()), ..GuestRequest::get(server.origin()) };
            let told = way.send(&asked, &granted(&server)).await;
            assert!(matches!(told, Told::Refused(_)), "{way:?} {method:?}: {told:?}");
        }
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn headers_that_hold_another_or_decide_for_the_host_are_refused() {
    let server = Wire::answering(OK).await;
    for way in WAYS {
        for (name, value) in HEADERS {
            let headers =
                vec![("x-first".to_owned(), "1".to_owned()), ((*name).to_owned(), (*value).to_owned())];
            let asked = GuestRequest { headers, ..GuestRequest::get(server.origin()) };
            let told = way.send(&asked, &granted(&server)).await;
            assert!(matches!(told, Told::Refused(_)), "{way:?} {name:?}: {value:?}: {told:?}");
        }
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn two_lengths_are_refused() {
    let server = Wire::answering(OK).await;
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    for headers in [
        vec![header("content-length", "4"), header("content-length", "40")],
        vec![header("content-length", "4"), header("transfer-encoding", "chunked")],
        vec![header("Content-Length", "4, 40")],
    ] {
        for way in WAYS {
            let body = Some("body".to_owned());
            let method = Some("POST".to_owned());
            let asked =
                GuestRequest { method, headers: headers.clone(), body, ..GuestRequest::get(server.origin()) };
            let told = way.send(&asked, &granted(&server)).await;
            assert!(matches!(told, Told::Refused(_)), "{way:?} {headers:?}: {told:?}");
        }
    }
    assert_eq!(server.connections(), 0);
}

/// One request, to the granted host, and nothing behind it.
fn check(way: Way, what: &str, wire: &str, server: &Wire, body: &str) {
    let (head, rest) = wire.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{way:?} {what}: {wire:?}"));
    assert_eq!(rest, body, "{way:?} {what}");
    let mut lines = head.split("\r\n");
    let first: Vec<&str> = lines.next().unwrap().split(' ').collect();
    assert!(
        matches!(first[..], [_, target, "HTTP/1.1"] if target.starts_with('/')),
        "{way:?} {what}: {head}"
    );
    let names: Vec<String> = lines
        .map(|line| line.split_once(':').unwrap_or_else(|| panic!("{what}: {line}")).0.to_ascii_lowercase())
        .collect();
    let count = |name: &str| names.iter().filter(|known| *known == name).count();
    assert_eq!(count("host"), 1, "{way:?} {what}: {head}");
    assert!(head.contains(&format!("host: {}", server.authority())), "{way:?} {what}: {head}");
    assert!(count("content-length") + count("transfer-encoding") <= 1, "{way:?} {what}: {head}");
    assert_eq!(count("x-injected"), 0, "{way:?} {what}: {head}");
    assert!(
        !head.contains(['\n', '\0']) || head.replace("\r\n", "").find(['\r', '\n', '\0']).is_none(),
        "{head}"
    );
}

/// What is no fault of the guest's is sent as one request; what would be two is one, or none.
#[tokio::test]
async fn whatever_is_sent_is_one_request() {
    const INNER: &str = "GET /evil HTTP/1.1\r\nhost: evil.example\r\nx-injected: 1\r\n\r\n";
    let paths = [
        "/a b",
        "/a\r\nx-injected: 1",
        "/a HTTP/1.1\r\nhost: evil.example\r\nx-injected: 1\r\n\r\n",
        "/a\tb",
        "/a\0b",
        "/\u{e4}?\u{e4}",
        "//evil.example/",
        "/..//../\\evil.example/",
        "/http://evil.example/",
        "/?http://evil.example/",
        "/*",
        "/%0d%0ax-injected:%201",
    ];
    for way in WAYS {
        for path in paths {
            let server = Wire::answering(OK).await;
            let told =
                way.send(&GuestRequest::get(format!("{}{path}", server.origin())), &granted(&server)).await;
            if told.is_answer() {
                check(way, path, &server.ended(1).await[0], &server, "");
            } else {
                assert!(matches!(told, Told::Refused(_)), "{way:?} {path:?}: {told:?}");
            }
            assert_eq!(server.connections(), usize::from(told.is_answer()), "{way:?} {path:?}");
        }
        for (what, body, trailers) in [
            ("a request as body", INNER, vec![]),
            ("chunks as body", "0\r\n\r\nGET /evil HTTP/1.1\r\nx-injected: 1\r\n\r\n", vec![]),
            ("trailers", "body", vec![("x-injected".to_owned(), "1".to_owned())]),
        ] {
            let server = Wire::answering(OK).await;
            let body_text = Some(body.to_owned());
            let asked = GuestRequest {
                method: Some("POST".to_owned()),
                body: body_text,
                trailers,
                ..GuestRequest::get(server.origin())
            };
            let told = way.send(&asked, &granted(&server)).await;
            assert!(told.is_answer(), "{way:?} {what}: {told:?}");
            check(way, what, &server.ended(1).await[0], &server, body);
        }
    }
}

/// What event data can put into a URL by a template stays where the template has it.
#[tokio::test]
async fn event_data_stays_inside_its_part_of_a_url() {
    use crate::fixture::{configure, delivery, event, plugin};
    for (name, want) in [
        ("../../admin", "..%2F..%2Fadmin"),
        ("a?b#c", "a%3Fb%23c"),
        ("@evil.example/", "%40evil.example%2F"),
        ("a\r\nx-injected: 1", "a%0D%0Ax-injected%3A%201"),
        ("\\\\evil.example", "%5C%5Cevil.example"),
    ] {
        let server = Wire::answering(OK).await;
        let written = json!({"url": format!("{}/x/{{{{name}}}}/y", server.origin()), "grants": {"private_network": true}});
        let action = configure(&plugin("webhook").await, written).await;
        action.run(&event(json!({"name": name})), delivery()).await.result.unwrap();
        let wire = &server.ended(1).await[0];
        assert!(wire.starts_with(&format!("POST /x/{want}/y HTTP/1.1\r\n")), "{wire}");
        assert!(!wire.to_ascii_lowercase().contains("\r\nx-injected"), "{wire}");
    }
}

/// The map of headers ends whoever puts more into it than it holds.
#[tokio::test]
async fn more_headers_or_a_longer_url_than_anybody_takes_are_refused() {
    let server = Wire::answering("200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
    let plugin = plugin("test/hostile").await;
    let headers =
        |count: usize| (0..count).map(|number| json!([format!("x-{number}"), ""])).collect::<Vec<_>>();
    let path = |length: usize| "x".repeat(length);
    for (headers, path, told) in [
        (headers(1001), String::new(), "1001 headers; at most 1000"),
        (headers(40_000), String::new(), "40000 headers; at most 1000"),
        (Vec::new(), path(65_536), "bytes; at most 65536 are sent"),
        (Vec::new(), path(1 << 20), "bytes; at most 65536 are sent"),
    ] {
        let request = json!({"url": format!("{}/{path}", server.origin()), "headers": headers});
        let written = json!({"do": "http", "request": request, "limits": {"cpu_ms": 60_000},
            "timeout_ms": 60_000, "grants": {"http": [server.origin()], "private_network": true}});
        let got = details(&run(&configure(&plugin, written).await).await);
        assert_eq!(got["error"], "invalid-request", "{got}");
        assert!(got["message"].as_str().unwrap().contains(told), "{got}");
    }
    assert_eq!(server.connections(), 0);
}
