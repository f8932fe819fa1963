//! Plugins whose instances take much of the pool, beside others.

use aftercommit_runtime::{ComponentSource, RuntimeSettings};
use aftercommit_tests::wasm;
use futures::future::join_all;
use serde_json::json;

use crate::{
    fixture::{component, configure, delivery, details, event, runtime_with, settings},
    receiver::{Receiver, ok},
};

/// The hostile guest, with so many memories more than it needs.
fn with_memories(count: usize) -> Vec<u8> {
    wasm::with_memories(&std::fs::read(component("test/hostile")).unwrap(), count)
}

#[tokio::test(flavor = "multi_thread")]
async fn plugins_that_take_much_leave_the_others_their_room() {
    let silent = Receiver::start(|_| None).await;
    let receiver = Receiver::start(|_| ok("")).await;
    let runtime = runtime_with(RuntimeSettings { max_instances: 64, ..settings() }, &[]);
    let load = async |name: &str, bytes: Vec<u8>| {
        runtime.load(name, ComponentSource::Bytes(bytes.into()), None).await.unwrap()
    };
    let heavy = load("heavy", with_memories(16)).await;
    let request = json!({"url": silent.origin(), "timeout_ms": 1000});
    let grants = json!({"http": [silent.origin()], "private_network": true});
    let slow = configure(&heavy, json!({"do": "http", "request": request, "grants": grants})).await;
    let webhook = load("webhook", std::fs::read(component("webhook")).unwrap()).await;
    let hook = json!({"url": receiver.origin(), "grants": {"private_network": true}});
    let hook = configure(&webhook, hook).await;
    let row = event(json!({}));

    let slow = join_all((0..16).map(|_| slow.run(&row, delivery())));
    let hooks = async {
        // The others have begun.
        while silent.seen().is_empty() {
            tokio::task::yield_now().await;
        }
        join_all((0..40).map(|_| hook.run(&row, delivery()))).await
    };
    let (slow, hooks) = tokio::join!(slow, hooks);
    for attempt in hooks {
        assert_eq!(attempt.result.unwrap().status, Some(200));
    }
    // They waited, and each had its turn.
    for attempt in &slow {
        assert_eq!(details(attempt)["error"], "timeout");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_instances_that_take_much_are_not_in_the_way() {
    let runtime = runtime_with(RuntimeSettings { max_instances: 8, ..settings() }, &[]);
    for name in ["one", "two", "three"] {
        let source = ComponentSource::Bytes(with_memories(30).into());
        let plugin = runtime.load(name, source, None).await.unwrap();
        let written = json!({"do": "fail", "message": "x", "limits": {"reuse": 100}});
        let action = configure(&plugin, written).await;
        for attempt in
            join_all((0..10).map(|_| async { action.run(&event(json!({})), delivery()).await })).await
        {
            assert_ne!(attempt.result.unwrap_err().problem.code.as_str(), "no_instance");
        }
        // Its idle instances stay for as long as it does.
        std::mem::forget(action);
    }
}

#[tokio::test]
async fn what_can_never_fit_does_not_load() {
    let runtime = runtime_with(RuntimeSettings { max_instances: 8, ..settings() }, &[]);
    let source = ComponentSource::Bytes(with_memories(50).into());
    let told = runtime.load("huge", source, None).await.err().unwrap().to_string();
    assert!(told.contains("51 memories") && told.contains("has room for 34"), "{told}");
}
