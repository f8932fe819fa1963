//! Elasticsearch's "Bulk API", by its documentation: a line of action and, unless it deletes, a line of document; the answer has
//! an item for each action in the same order, with a status and, where it failed, an error of its own.

use aftercommit_core::{EntityEvent, EventKind, Timestamp};
use aftercommit_runtime::PreparedEvent;
use aftercommit_tests::{Answer, Received, Receiver};
use serde_json::{Value, json};
use url::Url;

use super::{
    broken,
    component::{action, told},
    elasticsearch::{API_KEY, Asked, Index},
    example::{PRIVATE, example, shop},
    require,
};

/// The actions of a request.
fn contract(request: &Received) -> Result<Vec<Asked>, String> {
    let url = Url::parse(&format!("http://localhost{}", request.path)).map_err(|error| error.to_string())?;
    require(request.method == "POST" && url.path() == "/_bulk", "it is POST /_bulk")?;
    let known = |name: &str| ["filter_path", "refresh"].contains(&name);
    require(url.query_pairs().all(|(name, _)| known(&name)), "the parameters are known")?;
    require(request.header("authorization") == format!("ApiKey {API_KEY}"), "the API key is right")?;
    require(request.header("content-type") == "application/x-ndjson", "the body is NDJSON")?;
    let body = std::str::from_utf8(&request.body).map_err(|error| error.to_string())?;
    require(body.ends_with('\n'), "the last line ends with a newline")?;
    let mut lines = body.lines();
    let mut asked = Vec::new();
    while let Some(line) = lines.next() {
        let action: serde_json::Map<String, Value> =
            serde_json::from_str(line).map_err(|error| format!("{line}: {error}"))?;
        let (name, meta) = action.iter().next().filter(|_| action.len() == 1).ok_or("one action a line")?;
        let keys = ["_index", "_id", "version", "version_type"];
        let all = meta.as_object().is_some_and(|meta| meta.keys().all(|key| keys.contains(&key.as_str())));
        require(all, "the metadata is known")?;
        require(
            meta["_index"] == "orders" && meta["version_type"] == "external_gte",
            "index and version type",
        )?;
        let document = match name.as_str() {
            "index" => Some(lines.next().ok_or("a document follows")?.to_owned()),
            "delete" => None,
            other => return Err(format!("{other} is index or delete")),
        };
        if let Some(document) = &document {
            serde_json::from_str::<serde_json::Map<String, Value>>(document)
                .map_err(|error| error.to_string())?;
        }
        let id = meta["_id"].as_str().ok_or("an id")?.to_owned();
        asked.push(Asked { id, version: meta["version"].as_u64().ok_or("a version")?, document });
    }
    Ok(asked)
}

fn failed(status: u16, kind: &str) -> Value {
    json!({"status": status, "error": {"type": kind, "reason": "Why it is"}})
}

/// Answers as Elasticsearch does, but for the ids that `refuse` answers otherwise.
fn answer(index: &Index, request: &Received, refuse: impl Fn(&str) -> Option<Value>) -> Answer {
    let all = match contract(request) {
        Ok(all) => all,
        Err(why) => return broken(request, &why),
    };
    let items: Vec<Value> = all
        .into_iter()
        .map(|asked| {
            let name = if asked.document.is_some() { "index" } else { "delete" };
            let result = refuse(&asked.id).unwrap_or_else(|| match index.change(asked) {
                Some((status, _)) => json!({"status": status}),
                None => failed(409, "version_conflict_engine_exception"),
            });
            json!({name: result})
        })
        .collect();
    Answer::status(200).json(&json!({"items": items}))
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_refused_is_tried_again_and_ends_dead() {
    let (server, index) = (Receiver::start().await, Index::default());
    let own = index.clone();
    // Every hundredth is refused for now, each time; one is refused for good.
    server.respond(move |request| {
        answer(&own, request, |id| match id.strip_prefix("order_") {
            Some("500") => Some(failed(400, "document_parsing_exception")),
            Some(id) if id.ends_with("00") => Some(failed(429, "es_rejected_execution_exception")),
            _ => None,
        })
    });
    let batch = "batch = { max_items = 250, max_wait_ms = 500 }\n".to_owned();
    let observers = example("search", &[("api_key_env", PRIVATE.to_owned() + &batch)]);
    let observers = observers
        .replace("max_attempts = 10", "max_attempts = 3")
        .replace("max_delay_ms = 60000", "initial_delay_ms = 10\nmax_delay_ms = 20");
    let shop = shop(&observers, &[("SEARCH_URL", &server.url("/")), ("SEARCH_API_KEY", API_KEY)]).await;
    let host = shop.start_host();
    let rows: Vec<String> = (1..=1000).map(|id| format!("({id}, 'new', 9007199254740993)")).collect();
    shop.sql(&format!("INSERT INTO orders VALUES {}", rows.join(","))).await;
    shop.all_done(std::time::Duration::from_mins(1)).await;
    assert!(host.stop());
    assert_eq!(index.len(), 990, "{}", shop.host_log());
    assert_eq!(
        index.get("order_7").as_deref(),
        Some(r#"{"status":"new","total":9007199254740993}"#),
        "every digit"
    );
    let dead = |code: &str, attempts: u32| {
        format!("SELECT count(*) FROM observer_dlq_items WHERE code = '{code}' AND attempts = {attempts}")
    };
    assert_eq!(shop.count(&dead("http_status", 3)).await, 9);
    assert_eq!(shop.count(&dead("document_rejected", 1)).await, 1);
    // Those that were taken were sent once: 990 and one, and nine three times.
    let sent: Vec<usize> = server.received().iter().map(|request| contract(request).unwrap().len()).collect();
    assert_eq!(sent.iter().sum::<usize>(), 990 + 1 + 3 * 9, "{sent:?}");
    assert!(sent.iter().filter(|&&count| count == 1).count() >= 9, "the last attempts were alone: {sent:?}");
    assert!(sent.len() < 60, "{} requests", sent.len());
    assert!(!shop.host_log().contains(API_KEY), "{}", shop.host_log());
}

#[tokio::test]
async fn each_item_has_its_own_result_and_old_changes_are_superseded() {
    let (server, index) = (Receiver::start().await, Index::default());
    let own = index.clone();
    server.respond(move |request| answer(&own, request, |_| None));
    let written = json!({
        "index": "orders", "id_template": "{{id}}", "url": server.url(""), "api_key": "${secret:K}", "fields": ["id"],
        "batch": {}, "grants": {"private_network": true},
    });
    let action = action("search", written, &[("K", API_KEY)]).await;
    let event = |kind, id: &str, at_secs: i64| {
        let mut event = EntityEvent::new(kind, "Order", id, json!({"id": id}));
        event.occurred_at = Timestamp::from_micros(at_secs * 1_000_000);
        PreparedEvent::new(event)
    };
    let events = [
        event(EventKind::Created, "a", 100),
        event(EventKind::Updated, "a", 99),
        event(EventKind::Created, "..", 100),
        event(EventKind::Created, "b", 100),
        event(EventKind::Deleted, "b", 101),
        event(EventKind::Deleted, "c", 100),
        event(EventKind::Custom, "d", 100),
    ];
    let attempts = action.run_batch(&events).await;
    let results: Vec<String> = attempts
        .iter()
        .map(|attempt| match &attempt.result {
            Ok(outcome) => outcome.summary.clone(),
            Err(_) => told(attempt),
        })
        .collect();
    assert_eq!(
        results,
        [
            "orders/a indexed",
            "orders/a is newer already",
            "permanent: invalid_id",
            "orders/b indexed",
            "orders/b deleted",
            "orders/c was not there to be deleted",
            "permanent: unsupported_event_kind",
        ]
    );
    assert_eq!((server.count(), index.len()), (1, 1));
}
