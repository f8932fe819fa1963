//! Elasticsearch's contract. Checked against: "Delete API" (path, versions, `index.gc_deletes`, 409); by its "Index API" (path, external
//! versions), "API conventions" (error bodies), "Create API key" (`ApiKey`). The server keeps documents and versions as Elasticsearch
//! does; `opensearch.rs` asks one that others wrote.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use aftercommit_core::{EntityEvent, EventKind, Timestamp};
use aftercommit_runtime::PreparedEvent;
use aftercommit_tests::{Answer, Received, Receiver};
use serde_json::{Value, json};
use url::Url;
use uuid::Uuid;

use super::{
    broken,
    component::{Action, action, details, refused, told},
    example::{PRIVATE, example, logged, shop},
    json_object, require,
};

pub(super) const API_KEY: &str = "bWFkZTpmb3ItdGVzdHM=";

/// Documents by id.
#[derive(Clone, Default)]
pub(super) struct Index(Arc<Mutex<HashMap<String, Versioned>>>);

/// What is kept of a document.
#[derive(Clone)]
struct Versioned {
    version: u64,
    /// Nothing when it was deleted.
    document: Option<String>,
}

/// What is asked for.
pub(super) struct Asked {
    pub(super) id: String,
    pub(super) version: u64,
    pub(super) document: Option<String>,
}

fn contract(request: &Received) -> Result<Asked, String> {
    let url = Url::parse(&format!("http://localhost{}", request.path)).map_err(|error| error.to_string())?;
    let segments: Vec<&str> = url.path_segments().map(Iterator::collect).unwrap_or_default();
    let ["orders", "_doc", id] = segments[..] else { return Err("the path is /orders/_doc/ID".to_owned()) };
    require(request.header("authorization") == format!("ApiKey {API_KEY}"), "the API key is right")?;
    let query: HashMap<String, String> = url.query_pairs().into_owned().collect();
    let known = ["version", "version_type", "refresh"];
    require(query.keys().all(|name| known.contains(&name.as_str())), "the parameters are known")?;
    require(query.get("version_type").is_some_and(|it| it == "external_gte"), "the version is external")?;
    let version = query.get("version").and_then(|version| version.parse().ok());
    let version = version.filter(|version| i64::try_from(*version).is_ok());
    let document = match request.method.as_str() {
        "PUT" => {
            require(request.header("content-type") == "application/json", "the document is JSON")?;
            json_object(request)?;
            Some(String::from_utf8_lossy(&request.body).into_owned())
        }
        "DELETE" => {
            require(request.body.is_empty(), "a DELETE has no body")?;
            None
        }
        other => return Err(format!("{other} is PUT or DELETE")),
    };
    Ok(Asked { id: id.to_owned(), version: version.ok_or("the version is a long")?, document })
}

fn refusal(status: u16, kind: &str) -> Answer {
    let error =
        json!({"root_cause": [{"type": kind, "reason": "Why it is"}], "type": kind, "reason": "Why it is"});
    Answer::status(status).json(&json!({"error": error, "status": status}))
}

impl Index {
    fn answer(&self, request: &Received) -> Answer {
        let asked = match contract(request) {
            Ok(asked) => asked,
            Err(why) => return broken(request, &why),
        };
        let (id, version) = (asked.id.clone(), asked.version);
        let Some((status, result)) = self.change(asked) else {
            return refusal(409, "version_conflict_engine_exception");
        };
        Answer::status(status)
            .json(&json!({"_index": "orders", "_id": id, "_version": version, "result": result}))
    }

    /// Makes a change, unless there is a newer version; the status and what was done.
    pub(super) fn change(&self, asked: Asked) -> Option<(u16, &'static str)> {
        let mut documents = self.0.lock().unwrap();
        let there = documents.get(&asked.id);
        if there.is_some_and(|there| asked.version < there.version) {
            return None;
        }
        let existed = there.is_some_and(|there| there.document.is_some());
        let done = match (&asked.document, existed) {
            (Some(_), false) => (201, "created"),
            (Some(_), true) => (200, "updated"),
            (None, true) => (200, "deleted"),
            (None, false) => (404, "not_found"),
        };
        documents.insert(asked.id, Versioned { version: asked.version, document: asked.document });
        Some(done)
    }

    /// How many documents there are.
    pub(super) fn len(&self) -> usize {
        self.0.lock().unwrap().values().filter(|there| there.document.is_some()).count()
    }

    /// The document of that id.
    pub(super) fn get(&self, id: &str) -> Option<String> {
        self.0.lock().unwrap().get(id).and_then(|there| there.document.clone())
    }
}

/// A server with an empty index.
async fn elasticsearch() -> (Receiver, Index) {
    let (server, index) = (Receiver::start().await, Index::default());
    let own = index.clone();
    server.respond(move |request| own.answer(request));
    (server, index)
}

async fn indexing(server: &Receiver) -> Action {
    let written = json!({
        "index": "orders", "id_template": "order_{{entity_id}}", "url": server.url(""), "api_key": "${secret:K}",
        "grants": {"private_network": true},
    });
    action("search", written, &[("K", API_KEY)]).await
}

/// An event of order 7 at a second.
pub(super) fn event(kind: EventKind, at_secs: i64, row: Value) -> PreparedEvent {
    let mut event = EntityEvent::new(kind, "Order", 7, row);
    event.occurred_at = Timestamp::from_micros(at_secs * 1_000_000 + 5);
    PreparedEvent::new(event)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_follows_rows_from_insert_to_delete() {
    let (server, index) = elasticsearch().await;
    let observers = example("search", &[("api_key_env", PRIVATE.to_owned())]);
    let shop = shop(&observers, &[("SEARCH_URL", &server.url("/")), ("SEARCH_API_KEY", API_KEY)]).await;
    let host = shop.start_host();
    shop.sql("INSERT INTO orders VALUES (7, 'a \"quoted\" one', 9007199254740993)").await;
    server.wait_for(1).await;
    assert_eq!(
        index.get("order_7").as_deref(),
        Some(r#"{"status":"a \"quoted\" one","total":9007199254740993}"#)
    );
    shop.sql("UPDATE orders SET status = 'shipped' WHERE id = 7").await;
    server.wait_for(2).await;
    assert_eq!(index.get("order_7").as_deref(), Some(r#"{"status":"shipped","total":9007199254740993}"#));
    shop.sql("DELETE FROM orders WHERE id = 7").await;
    let log = logged(&shop, 3).await;
    assert!(host.stop());
    assert_eq!(index.get("order_7"), None);
    let done = |status: u16| format!("orders-in-search succeeded - - {status}");
    assert_eq!(log, [done(201), done(200), done(200)]);
    assert!(!shop.host_log().contains(API_KEY), "{}", shop.host_log());
}

#[tokio::test]
async fn a_late_retry_never_overwrites_newer_data() {
    let (server, index) = elasticsearch().await;
    let action = indexing(&server).await;
    let run =
        async |event: &PreparedEvent| details(&action.attempt(event, Uuid::now_v7()).await)["result"].clone();
    let first = event(EventKind::Created, 100, json!({"status": "new"}));
    let second = event(EventKind::Updated, 101, json!({"status": "shipped"}));
    let third = event(EventKind::Deleted, 102, json!({"status": "shipped"}));
    assert_eq!(run(&second).await, "indexed");
    assert_eq!(run(&first).await, "superseded");
    assert_eq!(index.get("order_7").as_deref(), Some(r#"{"status":"shipped"}"#));
    // The same again, as after a lost answer.
    assert_eq!(run(&second).await, "indexed");
    assert_eq!(run(&third).await, "deleted");
    assert_eq!(run(&third).await, "absent");
    assert_eq!(run(&second).await, "superseded");
    assert_eq!(index.get("order_7"), None);
}

#[tokio::test]
async fn errors_have_their_classes() {
    let server = Receiver::start().await;
    let action = indexing(&server).await;
    for (status, kind, expected) in [
        (400, "document_parsing_exception", "permanent: document_rejected"),
        (400, "invalid_index_name_exception", "misconfigured: invalid_index"),
        (401, "security_exception", "misconfigured: unauthorized"),
        (403, "security_exception", "misconfigured: unauthorized"),
        (403, "cluster_block_exception", "transient: cluster_blocked"),
        (404, "index_not_found_exception", "misconfigured: index_not_found"),
        (413, "content_too_long_exception", "permanent: document_rejected"),
        (429, "es_rejected_execution_exception", "transient: http_status"),
        (429, "circuit_breaking_exception", "transient: http_status"),
        (500, "illegal_state_exception", "transient: http_status"),
        (503, "unavailable_shards_exception", "transient: http_status"),
    ] {
        server.respond(move |request| match contract(request) {
            Ok(_) => refusal(status, kind),
            Err(why) => broken(request, &why),
        });
        let attempt = action.run(EventKind::Created, json!({"status": "new"})).await;
        assert_eq!(told(&attempt), expected, "{status} {kind}");
        assert!(attempt.result.unwrap_err().to_string().contains("Why it is"), "{kind}");
    }
    server.respond(|_| refusal(429, "es_rejected_execution_exception").header("retry-after", "4"));
    assert_eq!(
        told(&action.run(EventKind::Created, json!({})).await),
        "throttled after 4000 ms: http_status"
    );
    // A gateway's page.
    server.respond(|_| Answer::status(502).text("<html>"));
    assert_eq!(told(&action.run(EventKind::Deleted, json!({})).await), "transient: http_status");
    // Whatever is answered to what was done counts as done.
    server.respond(|_| Answer { body_bytes: 2 << 20, ..Answer::status(200) });
    assert_eq!(told(&action.run(EventKind::Created, json!({})).await), "done");
}

/// An id from a row can not lead the request elsewhere.
#[tokio::test]
async fn an_id_stays_in_its_place() {
    let (server, index) = elasticsearch().await;
    let written = json!({
        "index": "orders", "id_template": "{{id}}", "url": server.url(""), "api_key": "${secret:K}",
        "grants": {"private_network": true},
    });
    let action = action("search", written, &[("K", API_KEY)]).await;
    let run = async |id: &str| told(&action.run(EventKind::Created, json!({"id": id})).await);
    assert_eq!(run("../_all?q=#").await, "done");
    assert!(index.get("..%2F_all%3Fq%3D%23").is_some());
    for id in ["..", ".", "x".repeat(513).as_str()] {
        assert_eq!(run(id).await, "permanent: invalid_id", "{id}");
    }
    assert_eq!(run("").await, "permanent: template");
    assert_eq!(
        told(&action.run(EventKind::Custom, json!({"id": "1"})).await),
        "permanent: unsupported_event_kind"
    );
    assert_eq!(server.count(), 1);
}

#[tokio::test]
async fn the_documented_configuration_says_what_is_missing() {
    let mut seed = json!({"index": "orders", "id_template": "order_{{entity_id}}"});
    let told = refused("search", seed.clone()).await;
    assert!(told.contains("write url = \"https://..\", or url_env = \"SEARCH_URL\""), "{told}");
    seed["url"] = json!("https://search.example.com:9200");
    assert_eq!(action("search", seed, &[]).await.origins(), ["https://search.example.com:9200"]);
}
