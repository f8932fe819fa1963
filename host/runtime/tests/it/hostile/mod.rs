//! Guests written to hurt: what each does, and how its delivery ends, in words that an operator understands.

mod exports;
mod neighbours;
mod pool;
mod process;

use std::time::Duration;

use aftercommit_core::FailureClass::{self, Permanent, Transient};
use aftercommit_runtime::{Attempt, ConfiguredAction};
use serde_json::{Value, json};

use crate::{
    fixture::{configure, delivery, event, plugin, run, try_configure},
    wire::{Say, Wire},
};

/// Guest, what it is told, and the class, the code and a part of the message of the end.
type Row = (&'static str, Value, FailureClass, &'static str, &'static str);

/// Ends that need no server.
fn table() -> Vec<Row> {
    let (hostile, wasi, abi, by_hand) = ("test/hostile", "test/wasi", "test/abi", "test/by_hand");
    let short = json!({"cpu_ms": 100});
    vec![
        (hostile, json!({"do": "loop", "limits": short}), Transient, "cpu_limit", "100 ms of CPU time"),
        (
            hostile,
            json!({"do": "loop", "timeout_ms": 100}),
            Transient,
            "timeout",
            "after 100 ms (`timeout_ms`)",
        ),
        (hostile, json!({"do": "trap"}), Transient, "plugin_trap", "the plugin trapped"),
        (hostile, json!({"do": "panic", "message": "boom"}), Transient, "plugin_trap", "boom"),
        (hostile, json!({"do": "recurse"}), Transient, "plugin_trap", "the plugin"),
        (
            hostile,
            json!({"do": "grow_memory", "limits": {"memory_mb": 8}}),
            Permanent,
            "memory_limit",
            "8 MiB of memory",
        ),
        (
            hostile,
            json!({"do": "host_calls", "count": 100_000}),
            Permanent,
            "host_call_limit",
            "1000 calls of the host",
        ),
        (
            hostile,
            json!({"do": "huge_result", "size_bytes": 1 << 20}),
            Permanent,
            "result_too_large",
            "262144 are taken",
        ),
        (
            hostile,
            json!({"do": "huge_result", "size_bytes": 40 << 20, "limits": {"memory_mb": 32}}),
            Permanent,
            "memory_limit",
            "32 MiB of memory",
        ),
        // WASI: what is not a call of ours is bounded all the same.
        (wasi, json!({"do": "spin", "limits": short}), Transient, "cpu_limit", "100 ms of CPU time"),
        (wasi, json!({"do": "spin", "timeout_ms": 100}), Transient, "timeout", "after 100 ms"),
        (
            wasi,
            json!({"do": "keep_headers", "count": 100_000}),
            Permanent,
            "resource_limit",
            "2048 resources of WASI",
        ),
        (
            wasi,
            json!({"do": "keep_alarms", "count": 100_000}),
            Permanent,
            "resource_limit",
            "2048 resources of WASI",
        ),
        (wasi, json!({"do": "poll", "count": 1000, "limits": short}), Transient, "cpu_limit", "CPU time"),
        (
            wasi,
            json!({"do": "random", "count": 64 << 10, "limits": short}),
            Transient,
            "cpu_limit",
            "CPU time",
        ),
        (wasi, json!({"do": "random", "count": 1 << 30}), Permanent, "plugin_abi", "exceeds limit"),
        (wasi, json!({"do": "sleep", "timeout_ms": 100}), Transient, "timeout", "after 100 ms"),
        (wasi, json!({"do": "exit"}), Transient, "plugin_trap", "the plugin trapped: exit with status 1"),
        (
            wasi,
            json!({"do": "grow_headers", "count": 100_000}),
            Permanent,
            "resource_limit",
            "size of fields",
        ),
        (wasi, json!({"do": "poll", "count": 1_000_000}), Permanent, "resource_limit", "hands over"),
        // The rules of the border itself.
        (abi, json!({"do": "not_text"}), Permanent, "plugin_abi", "text that is not UTF-8"),
        (abi, json!({"do": "return_not_text"}), Permanent, "plugin_abi", "text that is not UTF-8"),
        (abi, json!({"do": "wild_place"}), Permanent, "plugin_abi", "does not keep to the interface"),
        (abi, json!({"do": "wild_length"}), Permanent, "plugin_abi", "does not keep to the interface"),
        (abi, json!({"do": "unaligned"}), Permanent, "plugin_abi", "does not keep to the interface"),
        (abi, json!({"do": "wild_list"}), Permanent, "plugin_abi", "does not keep to the interface"),
        (abi, json!({"do": "no_such_case"}), Permanent, "plugin_abi", "does not keep to the interface"),
        // Written as text: tables that grow.
        (by_hand, json!({"do": "grow", "limits": short}), Transient, "cpu_limit", "CPU time"),
        (by_hand, json!({"do": "refused"}), Transient, "plugin_trap", "the plugin trapped"),
    ]
}

/// How long after its budget an attempt may still be seen, on a machine that others use too. What was measured is printed.
const PATIENCE: Duration = Duration::from_secs(20);

fn check(row: &Row, attempt: &Attempt) {
    let (guest, written, class, code, told) = row;
    let failure = attempt.result.as_ref().expect_err(&format!("{guest} {written}"));
    let (does, usage) = (written["do"].to_string(), attempt.usage);
    println!("{guest:<13} {does:<22} {code:<17} {:?}, {} ms of CPU time", usage.wall, usage.cpu_ms);
    assert_eq!((failure.class, failure.problem.code.as_str()), (*class, *code), "{written}: {failure}");
    assert!(failure.problem.message.contains(told), "{written}: {failure}");
    assert!(failure.problem.message.len() < 600, "{failure}");
    assert!(attempt.usage.wall < PATIENCE, "{written}: {:?}", attempt.usage);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_guest_ends_its_own_attempt_in_its_own_class() {
    for row in table() {
        let action = configure(&plugin(row.0).await, row.1.clone()).await;
        // The second attempt meets whatever the first has left behind.
        for _ in 0..2 {
            check(&row, &run(&action).await);
        }
    }
}

/// As in [`each_guest_ends_its_own_attempt_in_its_own_class`], on a single thread: whoever never waits must yield, or nobody
/// could end it.
#[tokio::test]
async fn one_thread_is_enough_to_end_them() {
    for row in table().into_iter().filter(|row| row.2 == Transient) {
        check(&row, &run(&configure(&plugin(row.0).await, row.1.clone()).await).await);
    }
}

/// What is dropped, counted or answered with an error does not end an attempt.
#[tokio::test]
async fn what_is_bounded_without_an_end() {
    let attempt = run(&action(
        "test/hostile",
        json!({"do": "flood_log", "count": 10_000, "size_bytes": 1000,
        "limits": {"host_calls": 10_000, "cpu_ms": 60_000}}),
    )
    .await)
    .await;
    assert!(attempt.result.is_ok(), "{attempt:?}");
    assert_eq!((attempt.usage.log_lines, attempt.usage.log_dropped), (65, 9_935));
    let attempt = run(&action("test/wasi", json!({"do": "print", "count": 10_000})).await).await;
    assert_eq!((attempt.usage.log_lines, attempt.usage.log_dropped), (100, 9_900));
    let attempt =
        run(&action("test/hostile", json!({"do": "render", "message": "{{#each changed}}"})).await).await;
    assert!(attempt.result.unwrap().details.unwrap().contains("template"));
}

/// A template that nests deeper than a stack is refused, whoever wrote it, and the text `{{/each}}` in a comment ends no block.
#[tokio::test]
async fn templates_do_not_end_the_process() {
    let nested = |open: &str, close: &str| format!("{}{}", open.repeat(700), close.repeat(700));
    let brackets = format!("{{{{#if {}a{}}}}}{{{{/if}}}}", "(not ".repeat(700), ")".repeat(700));
    for (text, expected) in [
        (nested("{{#each @root/c}}{{!-- {{/each}} --}}", "{{/each}}"), "blocks are nested deeper than 32"),
        (nested("{{#if changed}}{{else if changed}}", "{{/if}}"), "blocks are nested deeper than 32"),
        (nested("{{#> part}}", "{{/part}}"), "blocks are nested deeper than 32"),
        (brackets, "parentheses are nested deeper than 32"),
        ("{{".repeat(128 << 10), "at most 512 tags"),
    ] {
        // The parser is not optimised in a build for tests: on a busy machine it needs more than a second for the longest.
        let written = json!({"do": "render", "message": text, "limits": {"cpu_ms": 8000}});
        let attempt = run(&action("test/hostile", written).await).await;
        let told = attempt.result.unwrap().details.unwrap();
        assert!(told.contains(expected), "{told}");
        let written = json!({"text": text, "url": "https://a.example/"});
        let refused = try_configure(&plugin("test/echo").await, written).await.err().unwrap().to_string();
        assert!(refused.starts_with("/text: ") && refused.contains(expected), "{refused}");
    }
}

/// Steps that take long each are bounded by the attempt's processor time, where the host renders an action's fields too.
#[tokio::test]
async fn rendering_ends_with_the_processor_time_of_its_attempt() {
    let compare = "{{#each data.a}}{{#if (eq ../data ../data)}}{{/if}}{{/each}}";
    let written = json!({"text": compare, "limits": {"cpu_ms": 20}});
    let echo = action("test/echo", written).await;
    let row = event(json!({"a": vec!["x".repeat(100); 20_000]}));
    let failure = echo.run(&row, delivery()).await.result.unwrap_err();
    assert_eq!((failure.class, failure.problem.code.as_str()), (Transient, "template"));
    assert!(failure.problem.message.contains("within the attempt's time"), "{failure}");
}

async fn action(guest: &str, written: Value) -> ConfiguredAction {
    configure(&plugin(guest).await, written).await
}

/// Nothing of the host's system is there to be opened.
#[tokio::test]
async fn sockets_and_standard_input_are_closed() {
    let server = Wire::answering("200 OK\r\n\r\n").await;
    let attempt =
        run(&action("test/wasi", json!({"do": "open", "authority": server.authority()})).await).await;
    let found: Value = serde_json::from_str(&attempt.result.unwrap().details.unwrap()).unwrap();
    for (tried, told) in found.as_object().unwrap() {
        assert_ne!(told, "allowed", "{tried}: {found}");
    }
    assert_eq!((found.as_object().unwrap().len(), server.connections()), (4, 0));
}

/// A request that does not end belongs to its attempt: it is over when that is.
#[tokio::test]
async fn requests_do_not_outlive_their_attempt() {
    for (guest, more) in [
        ("test/hostile", json!({"do": "http"})),
        ("test/wasi", json!({"do": "request"})),
        ("test/wasi", json!({"do": "requests", "count": 8})),
    ] {
        let server = Wire::start(Say::Hang(Vec::new())).await;
        let mut written = asking(guest, &server);
        written.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        written["timeout_ms"] = json!(300);
        let attempt = run(&action(guest, written).await).await;
        // Both end at the same moment: what the guest calls, and the guest.
        match attempt.result {
            Err(failure) => assert_eq!(failure.problem.code.as_str(), "timeout"),
            Ok(outcome) => assert!(outcome.details.unwrap().to_lowercase().contains("timeout")),
        }
        // Each connection ends, and the server sees it.
        server.ended(server.connections()).await;
    }
}

fn asking(guest: &str, server: &Wire) -> Value {
    let grants = json!({"http": [server.origin()], "private_network": true});
    match guest {
        "test/wasi" => json!({"authority": server.authority(), "path": "/", "grants": grants}),
        _ => json!({"request": {"url": server.origin()}, "grants": grants}),
    }
}

/// Requests by WASI count as calls of the host, and few of them are under way at once.
#[tokio::test]
async fn a_guest_does_not_flood_a_destination_with_requests_at_once() {
    let server = Wire::start(Say::Hang(Vec::new())).await;
    let mut written = asking("test/wasi", &server);
    written["do"] = json!("requests");
    written["count"] = json!(200);
    written["timeout_ms"] = json!(1000);
    let attempt = run(&action("test/wasi", written.clone()).await).await;
    assert_eq!(attempt.result.unwrap_err().problem.code.as_str(), "timeout");
    assert_eq!(server.connections(), 8);

    let server = Wire::answering("200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
    let mut written = asking("test/wasi", &server);
    written["do"] = json!("requests");
    written["count"] = json!(200);
    written["limits"] = json!({"host_calls": 50});
    let attempt = run(&action("test/wasi", written).await).await;
    let told: Value =
        serde_json::from_str(attempt.result.as_ref().unwrap().details.as_ref().unwrap()).unwrap();
    assert_eq!(told["answered"], 50, "{told}");
    assert!(told["error"].as_str().unwrap().contains("limits.host_calls"), "{told}");
    assert_eq!((server.connections(), attempt.usage.host_calls), (50, 200));
}

/// Answers that nobody reads are the host's memory: it holds no more of them than the guest may have itself.
#[tokio::test]
async fn answers_that_are_not_read_are_bounded_together() {
    let body = "x".repeat(1 << 20);
    let server = Wire::answering(&format!(
        "200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    ))
    .await;
    let mut written = asking("test/wasi", &server);
    written["do"] = json!("unread");
    written["count"] = json!(100);
    written["limits"] = json!({"memory_mb": 8, "response_bytes": 2 << 20});
    let attempt = run(&action("test/wasi", written).await).await;
    let told: Value = serde_json::from_str(attempt.result.unwrap().details.as_ref().unwrap()).unwrap();
    // Their heads count too.
    assert_eq!(told["answered"], 7, "{told}");
    assert!(told["error"].as_str().unwrap().contains("HttpResponseBodySize"), "{told}");
}

/// What a guest says is not obeyed by a terminal or a log, nor refused by a database.
#[tokio::test]
async fn control_characters_of_a_guest_are_taken_out() {
    let heard = crate::heard::listen();
    let message = "red \u{1b}[31m, NUL \0, and\r\nINFO another line";
    let failing =
        action("test/hostile", json!({"do": "fail", "class": "permanent", "message": message})).await;
    let failure = failing.run(&event(json!({})), delivery()).await.result.unwrap_err();
    assert_eq!(failure.problem.message, "red \u{fffd}[31m, NUL \u{fffd}, and\u{fffd}\nINFO another line");
    let panicking = run(&action("test/hostile", json!({"do": "panic", "message": message})).await).await;
    let told = panicking.result.unwrap_err().problem.message;
    assert!(!told.contains(['\u{1b}', '\0', '\n']), "{told}");
    let log = heard.text();
    assert!(log.contains("another line") && !log.contains("\nINFO another line"), "{log}");
    assert!(!log.contains(['\u{1b}', '\0']), "{log}");
}
