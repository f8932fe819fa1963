//! Answers that do not end, or are larger than they look.

use std::io::Write as _;

use serde_json::{Value, json};

use super::way::{Asked, Told, WAYS, Way};
use crate::{
    fixture::{code, configure, plugin, run},
    wire::{Say, Wire},
};

const HEAD: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";

fn asked(server: &Wire, more: Value) -> (Asked, Value) {
    let grants = json!({"http": [server.origin()], "private_network": true});
    (Asked { more, ..Asked::get(server.origin()) }, grants)
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

/// Neither does its head count for nothing, nor does one that never ends keep anybody for longer than the budget.
#[tokio::test]
async fn endless_heads_and_bodies_that_drip_end_with_the_budget() {
    let rows: [(&str, Say); 6] = [
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
        ("half a body", Say::Hang(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf".to_vec())),
        ("half a chunk", Say::Hang(format!("{HEAD}10\r\nhalf").into_bytes())),
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
