//! Many guests that hurt, at the same time, and one beside them that only does its work.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::SeqCst},
};

use serde_json::json;

use super::{asking, table};
use crate::{
    fixture::{component, configure, delivery, event, runtime_with, settings},
    wire::{Say, Wire},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_neighbour_works_on_beside_them() {
    let runtime = runtime_with(aftercommit_runtime::RuntimeSettings { max_instances: 64, ..settings() }, &[]);
    let load = async |name: &str| {
        runtime.load(name, aftercommit_runtime::ComponentSource::File(component(name)), None).await.unwrap()
    };
    let drip = Wire::start(Say::Hang(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n".to_vec())).await;
    let mut actions = Vec::new();
    for (guest, mut written, ..) in table() {
        written["limits"]["cpu_ms"] = json!(200);
        actions.push(configure(&load(guest).await, written).await);
    }
    for guest in ["test/hostile", "test/wasi"] {
        let mut written = asking(guest, &drip);
        written["do"] = json!(if guest == "test/wasi" { "request" } else { "http" });
        written["timeout_ms"] = json!(500);
        actions.push(configure(&load(guest).await, written).await);
    }
    let calm = configure(&load("test/echo").await, json!({"text": "{{name}}"})).await;

    let over = Arc::new(AtomicBool::new(false));
    let hurting: Vec<_> = actions
        .into_iter()
        .map(|action| {
            let over = Arc::clone(&over);
            tokio::spawn(async move {
                let mut ended = 0_u32;
                while !over.load(SeqCst) || ended == 0 {
                    let attempt = action.run(&event(json!({})), delivery()).await;
                    assert!(attempt.result.is_err() || attempt.result.unwrap().details.is_some());
                    ended += 1;
                }
                ended
            })
        })
        .collect();
    for number in 0..200 {
        let attempt = calm.run(&event(json!({"name": number})), delivery()).await;
        let details = attempt.result.unwrap_or_else(|failure| panic!("{number}: {failure}")).details.unwrap();
        assert!(details.contains(&format!("\"text\":\"{number}\"")), "{details}");
    }
    over.store(true, SeqCst);
    let mut ended = 0;
    for task in hurting {
        ended += task.await.unwrap();
    }
    println!("200 honest attempts beside {ended} hostile ones");
}
