//! Hostile guests: each ends its own attempt, in its own class, and nothing else.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use aftercommit_core::FailureClass;
use aftercommit_runtime::{ComponentSource, ConfiguredAction, RuntimeSettings};
use serde_json::{Value, json};

use crate::{
    fixture::{code, component, configure, delivery, details, event, plugin, run, runtime_with, settings},
    receiver::{Receiver, ok},
};

async fn hostile(written: Value) -> ConfiguredAction {
    configure(&plugin("test/hostile").await, written).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endless_loop_ends_at_its_cpu_budget_and_neighbours_run_on() {
    let plugin = plugin("test/hostile").await;
    let looping = configure(&plugin, json!({"do": "loop", "limits": {"cpu_ms": 100}})).await;
    let calm = configure(&plugin, json!({"do": "nothing"})).await;
    let (ended, neighbour) = tokio::join!(run(&looping), run(&calm));
    let failure = ended.result.unwrap_err();
    assert_eq!((failure.class, failure.problem.code.as_str()), (FailureClass::Transient, "cpu_limit"));
    assert!(ended.usage.wall.as_millis() >= 100, "{:?}", ended.usage);
    assert!(neighbour.result.is_ok());
}

#[tokio::test]
async fn a_wall_time_ends_a_guest_that_waits() {
    let receiver = Receiver::start(|_| None).await;
    let action = hostile(json!({
        "do": "sleep_http", "timeout_ms": 200, "request": {"url": receiver.origin()},
        "grants": {"http": [receiver.origin()], "private_network": true}, "limits": {"host_calls": 1_000_000},
    }))
    .await;
    let attempt = run(&action).await;
    assert!(matches!(code(&attempt), "timeout" | "cpu_limit"), "{attempt:?}");
    assert!(attempt.result.unwrap_err().is_transient());
}

#[tokio::test]
async fn traps_panics_and_recursion_are_transient() {
    for (behaviour, expected) in
        [("trap", "the plugin trapped"), ("panic", "boom at noon"), ("recurse", "the plugin")]
    {
        let attempt = run(&hostile(json!({"do": behaviour, "message": "boom at noon"})).await).await;
        let failure = attempt.result.unwrap_err();
        assert_eq!(
            (failure.class, failure.problem.code.as_str()),
            (FailureClass::Transient, "plugin_trap"),
            "{behaviour}"
        );
        assert!(failure.problem.message.contains(expected), "{}", failure.problem.message);
        assert!(!failure.problem.message.contains("backtrace"), "{}", failure.problem.message);
    }
}

#[tokio::test]
async fn memory_is_bounded_and_returned() {
    let plugin = plugin("test/hostile").await;
    let action = configure(&plugin, json!({"do": "grow_memory", "limits": {"memory_mb": 8}})).await;
    // More often than there are slots in the pool.
    for _ in 0..20 {
        let attempt = run(&action).await;
        assert_eq!(code(&attempt), "memory_limit");
        assert!(attempt.usage.memory_bytes <= 8 << 20, "{:?}", attempt.usage);
        assert_eq!(attempt.result.unwrap_err().class, FailureClass::Permanent);
    }
}

#[tokio::test]
async fn log_volume_is_bounded() {
    let attempt = run(&hostile(json!({"do": "flood_log", "count": 500, "size_bytes": 10})).await).await;
    assert!(attempt.result.is_ok());
    assert_eq!((attempt.usage.log_lines, attempt.usage.log_dropped), (100, 400));
}

#[tokio::test]
async fn host_calls_are_bounded() {
    let attempt = run(&hostile(json!({"do": "host_calls", "count": 2000})).await).await;
    assert_eq!(code(&attempt), "host_call_limit");
    let attempt =
        run(&hostile(json!({"do": "host_calls", "count": 2000, "limits": {"host_calls": 3000}})).await).await;
    assert!(attempt.result.is_ok());
    assert_eq!(attempt.usage.host_calls, 2000);
}

#[tokio::test]
async fn results_are_bounded() {
    let attempt = run(&hostile(json!({"do": "huge_result", "size_bytes": 1 << 20})).await).await;
    assert_eq!(code(&attempt), "result_too_large");
    let attempt = run(&hostile(json!({"do": "bad_details"})).await).await;
    assert_eq!(attempt.result.unwrap().details, None);
}

#[tokio::test]
async fn a_guest_chooses_the_class_of_its_failure() {
    for (class, expected) in [
        ("misconfigured", FailureClass::Misconfigured),
        ("permanent", FailureClass::Permanent),
        ("transient", FailureClass::Transient),
        ("throttled", FailureClass::Throttled),
    ] {
        let attempt = run(&hostile(json!({"do": "fail", "class": class, "after_ms": 70})).await).await;
        let failure = attempt.result.unwrap_err();
        assert_eq!(failure.class, expected);
        assert_eq!(failure.retry_after.is_some(), expected == FailureClass::Throttled);
    }
}

#[tokio::test]
async fn undeclared_and_absent_services_answer_with_an_error() {
    for behaviour in ["redis", "mail"] {
        let attempt = run(&hostile(json!({"do": behaviour})).await).await;
        assert_eq!(details(&attempt)["error"], behaviour);
    }
}

#[tokio::test]
async fn a_kept_instance_serves_several_calls_and_not_after_a_trap() {
    let plugin = plugin("test/hostile").await;
    let action =
        configure(&plugin, json!({"do": "host_calls", "count": 3, "limits": {"reuse": 4, "host_calls": 3}}))
            .await;
    for _ in 0..10 {
        // The budget is each call's own.
        let attempt = run(&action).await;
        assert!(attempt.result.is_ok());
        assert_eq!(attempt.usage.host_calls, 3);
    }
    let trapping = configure(&plugin, json!({"do": "panic", "message": "x", "limits": {"reuse": 100}})).await;
    for _ in 0..20 {
        assert_eq!(code(&run(&trapping).await), "plugin_trap");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_instances_run_than_are_allowed() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (counted, seen) = (Arc::clone(&now), Arc::clone(&most));
    let receiver = Receiver::start(move |_| {
        let running = counted.fetch_add(1, Ordering::SeqCst) + 1;
        seen.fetch_max(running, Ordering::SeqCst);
        // Held long enough for others to arrive, if any could.
        std::thread::yield_now();
        counted.fetch_sub(1, Ordering::SeqCst);
        ok("")
    })
    .await;
    let runtime = runtime_with(RuntimeSettings { max_instances: 2, ..settings() }, &[]);
    let plugin = runtime.load("h", ComponentSource::File(component("test/hostile")), None).await.unwrap();
    let action = Arc::new(
        configure(
            &plugin,
            json!({"do": "http", "request": {"url": receiver.origin()}, "grants": {"http": [receiver.origin()], "private_network": true}}),
        )
        .await,
    );
    let all = (0..50).map(|_| {
        let action = Arc::clone(&action);
        tokio::spawn(async move { action.run(&event(json!({})), delivery()).await })
    });
    for attempt in futures::future::join_all(all).await {
        assert_eq!(details(&attempt.unwrap())["status"], 200);
    }
    assert!(most.load(Ordering::SeqCst) <= 2);
    // A connection is kept for each of the two, and used again.
    assert!(receiver.connections() <= 4, "{} connections", receiver.connections());
}

/// What the host does on a guest's behalf is the guest's time, also where another thread does it.
#[tokio::test]
async fn templates_that_a_guest_renders_count_as_its_time() {
    let message = "{{#each all}}{{#each ../all}}x{{/each}}{{/each}}";
    let plugin = plugin("test/hostile").await;
    let row = event(json!({"all": vec![1; 300]}));
    let with = async |cpu_ms: u64| {
        let written = json!({"do": "render", "message": message, "limits": {"cpu_ms": cpu_ms}});
        configure(&plugin, written).await.run(&row, delivery()).await
    };
    let ample = with(60_000).await;
    assert!(ample.result.is_ok() && ample.usage.cpu_ms > 5, "{ample:?}");
    // Either the template's end is seen first or the guest's.
    match with(5).await.result {
        Ok(outcome) => assert!(outcome.details.unwrap().contains("within the attempt's time")),
        Err(failure) => assert_eq!(failure.problem.code.as_str(), "cpu_limit"),
    }
}
