//! What the audit tells of a guest that asks again and again for what it is not granted.

use serde_json::json;

use crate::{
    fixture::{configure, plugin, run},
    heard::listen,
};

#[tokio::test]
async fn the_denials_of_an_attempt_are_told_once_and_counted() {
    let heard = listen();
    let url = format!("http://127.0.0.1:9/{}", "x".repeat(5000));
    let written = json!({"do": "requests", "count": 500, "request": {"url": url}});
    let action = configure(&plugin("test/hostile").await, written).await;
    // The second attempt is told as the first.
    for _ in 0..2 {
        heard.audit();
        let attempt = run(&action).await;
        assert_eq!(attempt.usage.host_calls, 500, "{attempt:?}");
        let told = heard.audit();
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].contains("a request was denied") && told[0].contains("its origin is not granted"));
        assert!(told[1].contains("went on") && told[1].contains("more=499"), "{}", told[1]);
        assert!(told.iter().all(|line| line.len() < 1000), "{told:?}");
    }
}
