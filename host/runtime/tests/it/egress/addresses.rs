//! Where a request may not go, in every spelling.

use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::way::{GuestRequest, Told, WAYS, Way};
use crate::{heard::listen, wire::Wire};

/// URLs whose host is, or stands for, an address in a special range; `PORT` is where a server listens on loopback. They
/// are granted as they are written, `private_network` is not.
const SPECIAL: &[&str] = &[
    // Loopback: dotted, as one number, octal, hexadecimal, short, with a dot at the end.
    "http://127.0.0.1:PORT/",
    "http://2130706433:PORT/",
    "http://0x7f000001:PORT/",
    "http://0X7F000001:PORT/",
    "http://017700000001:PORT/",
    "http://0177.0.0.1:PORT/",
    "http://0x7f.0.0.1:PORT/",
    "http://0x7f.1:PORT/",
    "http://127.1:PORT/",
    "http://127.0.1:PORT/",
    "http://127.0.0.1.:PORT/",
    "http://127.8.9.10:PORT/",
    "https://127.0.0.1:PORT/",
    // In other letters and digits (UTS #46 makes them the plain ones), and encoded.
    "http://%31%32%37.0.0.1:PORT/",
    "http://１２７.０.０.１:PORT/",
    "http://127。0。0。1:PORT/",
    "http://127．0．0．1:PORT/",
    "http://①②⑦.⓪.⓪.①:PORT/",
    // All interfaces, which connect to loopback.
    "http://0.0.0.0:PORT/",
    "http://0:PORT/",
    "http://[::]:PORT/",
    // Names that lead there.
    "http://localhost:PORT/",
    "http://LOCALHOST:PORT/",
    "http://localhost.:PORT/",
    "http://loc%61lhost:PORT/",
    "http://ｌｏｃａｌｈｏｓｔ:PORT/",
    "http://loc\u{ad}alhost:PORT/",
    // Version 6, and what carries version 4 in it: mapped, compatible, translated, NAT64, 6to4, Teredo.
    "http://[::1]:PORT/",
    "http://[0:0:0:0:0:0:0:1]:PORT/",
    "http://[0000::0001]:PORT/",
    "http://[::ffff:127.0.0.1]:PORT/",
    "http://[::FFFF:7F00:1]:PORT/",
    "http://[::127.0.0.1]:PORT/",
    "http://[::ffff:0:127.0.0.1]:PORT/",
    "http://[64:ff9b::127.0.0.1]:PORT/",
    "http://[64:ff9b::a9fe:a9fe]/",
    "http://[64:ff9b:1::127.0.0.1]:PORT/",
    "http://[2002:7f00:1::]:PORT/",
    "http://[2002:c0a8:101::1]/",
    "http://[2001:0:53aa:64c:0:0:80ff:fffe]/",
    // Metadata of clouds, private networks, and the rest of the registry.
    "http://169.254.169.254/latest/meta-data/",
    "http://2852039166/latest/meta-data/",
    "http://0xa9fea9fe/latest/meta-data/",
    "http://0251.0376.0251.0376/latest/meta-data/",
    "http://[::ffff:169.254.169.254]/",
    "http://[fd00:ec2::254]/latest/meta-data/",
    "http://100.100.100.200/latest/meta-data/",
    "http://168.63.129.16/",
    "http://10.0.0.1/",
    "http://172.16.0.1/",
    "http://172.31.255.255/",
    "http://192.168.0.1/",
    "http://100.64.0.1/",
    "http://192.0.0.1/",
    "http://198.18.0.1/",
    "http://224.0.0.1/",
    "http://240.0.0.1/",
    "http://255.255.255.255/",
    "http://[fe80::1]/",
    "http://[fec0::1]/",
    "http://[fc00::1]/",
    "http://[ff02::1]/",
];

/// URLs that are none that can be sent to, whatever is granted.
const NONE: &[&str] = &[
    "http://[::1%25lo]:PORT/",
    "http://[::1%lo]:PORT/",
    "http://[fe80::1%25eth0]:PORT/",
    "http://[::1/",
    "http://::1/",
    "http://256.0.0.1/",
    "http://127.0.0.256:PORT/",
    "http://1.2.3.4.5/",
    "http://0x100000000/",
    "http://127.0.0.1:99999/",
    "http://127.0.0.1:PORT:80/",
    "http://127.0.0.1:PORTx/",
    "http://127.0.0.1 :PORT/",
    "http://user@127.0.0.1:PORT/",
    "http://user:password@127.0.0.1:PORT/",
    "http://:password@127.0.0.1:PORT/",
    "http://127.0.0.1:PORT@evil.example/",
    "http://%00/",
    "http:///",
    "ftp://127.0.0.1:PORT/",
    "gopher://127.0.0.1:PORT/_GET",
    "file:///etc/passwd",
    "file://127.0.0.1:PORT/etc/passwd",
    "ws://127.0.0.1:PORT/",
    "dict://127.0.0.1:PORT/",
    "unix:///run/docker.sock",
    "data:,text",
    "javascript:alert(1)",
    "//127.0.0.1:PORT/",
    "127.0.0.1:PORT",
    "/",
    "",
];

/// URLs that lead elsewhere than to the one origin that is granted, `http://127.0.0.1:PORT`, with `private_network`.
const OTHERS: &[&str] = &[
    "https://127.0.0.1:PORT/",
    "http://127.0.0.1/",
    "http://127.0.0.1:1/",
    "http://127.0.0.2:PORT/",
    "http://localhost:PORT/",
    "http://[::ffff:127.0.0.1]:PORT/",
    "http://127.0.0.1.evil.example:PORT/",
    "http://evil.example:PORT/127.0.0.1",
    "http://evil.example/?http://127.0.0.1:PORT/",
    "http://evil.example/#http://127.0.0.1:PORT/",
    "http://evil.example\\@127.0.0.1:PORT/",
    "http://evil.example%2f@127.0.0.1:PORT/",
];

fn at(url: &str, server: &Wire) -> String {
    url.replace("PORT", &server.port().to_string())
}

/// Scheme, host and port as written.
fn written_origin(url: &str) -> String {
    let authority = url.find("://").map_or(0, |at| at + 3);
    let end = url[authority..].find(['/', '?', '#', '\\']).map_or(url.len(), |end| authority + end);
    url[..end].to_owned()
}

#[tokio::test]
async fn special_addresses_are_denied_in_every_spelling() {
    let server = Wire::answering("200 OK\r\n\r\n").await;
    // The same port on the other loopback address, where there is one.
    let sixth = TcpListener::bind(("::1", server.port())).await;
    let heard = listen();
    for way in WAYS {
        for url in SPECIAL {
            let url = at(url, &server);
            let grants = json!({"http": [written_origin(&url)]});
            let told = way.send(&GuestRequest::get(&url), &grants).await;
            let audit = heard.audit();
            match told {
                Told::Denied(why) => {
                    assert_eq!(audit.len(), 1, "{way:?} {url}: {audit:?}");
                    assert!(
                        audit[0].contains("action=\"") && audit[0].contains("special range"),
                        "{audit:?}"
                    );
                    assert!(way == Way::Wasi || why.contains("grants.private_network"), "{url}: {why}");
                }
                // wasi:http takes no other letters than ASCII for a host; not every resolver knows a name with a dot at
                // its end.
                Told::Refused(why) => assert!(
                    way == Way::Wasi && (!url.is_ascii() || url.contains('%')) || url.contains("localhost.:"),
                    "{way:?} {url}: {why}"
                ),
                other @ Told::Answer(_) => panic!("{way:?} {url}: {other:?}"),
            }
        }
    }
    assert_eq!(server.connections(), 0);
    if let Ok(sixth) = sixth {
        let nobody = std::future::poll_fn(|context| std::task::Poll::Ready(sixth.poll_accept(context))).await;
        assert!(nobody.is_pending());
    }
}

#[tokio::test]
async fn what_is_no_url_of_http_is_refused_whatever_is_granted() {
    let server = Wire::answering("200 OK\r\n\r\n").await;
    let grants = json!({"http": [server.origin(), "http://evil.example"], "private_network": true});
    for way in WAYS {
        for url in NONE {
            let told = way.send(&GuestRequest::get(at(url, &server)), &grants).await;
            assert!(matches!(told, Told::Refused(_) | Told::Denied(_)), "{way:?} {url}: {told:?}");
        }
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn what_is_not_the_granted_origin_is_denied() {
    let server = Wire::answering("200 OK\r\n\r\n").await;
    let grants = json!({"http": [server.origin()], "private_network": true});
    let heard = listen();
    for way in WAYS {
        for url in OTHERS {
            let told = way.send(&GuestRequest::get(at(url, &server)), &grants).await;
            let audit = heard.audit();
            match told {
                Told::Denied(_) => {
                    assert!(audit.len() == 1 && audit[0].contains("not granted"), "{url}: {audit:?}");
                }
                Told::Refused(_) => assert!(url.contains('@') || way == Way::Wasi, "{way:?} {url}"),
                other @ Told::Answer(_) => panic!("{way:?} {url}: {other:?}"),
            }
        }
    }
    assert_eq!(server.connections(), 0);
}

/// wasi:http gives authority and path apart; together they are one URL, and that is what is decided.
#[tokio::test]
async fn a_path_does_not_become_a_part_of_the_host() {
    let server = Wire::answering("200 OK\r\n\r\n").await;
    let grants: Value = json!({"http": [server.origin()], "private_network": true});
    for path in [".evil.example/", "@evil.example/", ":80@evil.example/", "0/", "\\@evil.example/", "x"] {
        let asked = GuestRequest { more: json!({"path": path}), ..GuestRequest::get(server.origin()) };
        let told = Way::Wasi.send(&asked, &grants).await;
        assert!(!told.is_answer(), "{path}: {told:?}");
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn an_action_without_grants_reaches_nothing() {
    let server = Wire::answering("200 OK\r\n\r\n").await;
    for way in WAYS {
        for url in [server.origin(), "https://example.com/".to_owned(), "http://93.184.215.14/".to_owned()] {
            let told = way.send(&GuestRequest::get(&url), &json!({"private_network": true})).await;
            assert!(matches!(told, Told::Denied(_)), "{way:?} {url}: {told:?}");
        }
    }
    assert_eq!(server.connections(), 0);
}
