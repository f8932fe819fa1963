//! Connections are kept, but only for those with the same grants.

use serde_json::{Value, json};

use crate::{
    fixture::{component, configure, details, run, runtime_with, settings},
    receiver::{Receiver, ok},
};

#[tokio::test]
async fn a_kept_connection_is_used_by_equal_grants_only() {
    let receiver = Receiver::start(|_| ok("")).await;
    let runtime = runtime_with(settings(), &[]);
    let source = aftercommit_runtime::ComponentSource::File(component("test/hostile"));
    let plugin = runtime.load("h", source, None).await.unwrap();
    let wasi = aftercommit_runtime::ComponentSource::File(component("test/wasi"));
    let wasi = runtime.load("w", wasi, None).await.unwrap();
    let (origin, port) = (receiver.origin(), receiver.port());
    let same = json!({"http": [origin], "private_network": true});
    let rows: [(Value, usize); 6] = [
        (same.clone(), 1),
        (same.clone(), 1),
        (json!({"http": [origin], "private_network": ["127.0.0.0/8"]}), 2),
        (json!({"http": [origin, "https://example.com"], "private_network": true}), 3),
        // Grants that say the same in other words are the same.
        (json!({"http": [format!("http://2130706433:{port}"), origin], "private_network": true}), 3),
        (same.clone(), 3),
    ];
    // Clients live as long as an action that uses them: all are kept here.
    let mut actions = Vec::new();
    for (grants, connections) in rows {
        let written = json!({"do": "http", "request": {"url": origin}, "grants": grants});
        let action = configure(&plugin, written).await;
        assert_eq!(details(&run(&action).await)["status"], 200);
        assert_eq!(receiver.connections(), connections, "{grants}");
        actions.push(action);
    }
    // The other import has the same connections.
    let written = json!({"authority": format!("127.0.0.1:{port}"), "path": "/", "grants": same});
    assert_eq!(details(&run(&configure(&wasi, written).await).await)["http"]["status"], 200);
    assert_eq!(receiver.connections(), 3);
    // What is kept open for one is no way for another, who may not connect there.
    let denied = json!({"do": "http", "request": {"url": origin}, "grants": {"http": [origin]}});
    assert_eq!(details(&run(&configure(&plugin, denied).await).await)["error"], "denied");
    assert_eq!(receiver.seen().len(), 7);
}

#[tokio::test]
async fn idle_connections_have_a_bound_and_those_used_least_recently_give_way() {
    let bounded = aftercommit_runtime::RuntimeSettings { max_idle_connections: 2, ..settings() };
    let runtime = runtime_with(bounded, &[]);
    let source = aftercommit_runtime::ComponentSource::File(component("test/hostile"));
    let plugin = runtime.load("h", source, None).await.unwrap();
    let mut destinations = Vec::new();
    for _ in 0..3 {
        let receiver = Receiver::start(|_| ok("")).await;
        let grants = json!({"http": [receiver.origin()], "private_network": true});
        let request = json!({"url": receiver.origin()});
        let action = configure(&plugin, json!({"do": "http", "request": request, "grants": grants})).await;
        destinations.push((receiver, action));
    }
    for (destination, connections) in [(0, 1), (1, 1), (2, 1), (1, 1), (0, 2), (1, 1), (2, 2)] {
        let (receiver, action) = &destinations[destination];
        assert_eq!(details(&run(action).await)["status"], 200);
        assert_eq!(receiver.connections(), connections, "destination {destination}");
    }
}
