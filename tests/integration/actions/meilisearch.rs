//! Meilisearch's contract. Checked against its reference: "Errors" (statuses, the form of an error); by its "Documents" (add or replace,
//! delete one), "Tasks" (202 and `taskUid`) and "Authorization" (bearer).

use aftercommit_core::EventKind;
use aftercommit_tests::{Answer, Received, Receiver};
use serde_json::{Value, json};

use super::{
    broken,
    component::{Action, action, details, told},
    require,
};

const KEY: &str = "a-key-made-for-tests";

fn contract(request: &Received) -> Result<(), String> {
    require(request.header("authorization") == format!("Bearer {KEY}"), "the key is right")?;
    match request.method.as_str() {
        "POST" => {
            require(request.path == "/indexes/orders/documents?primaryKey=id", "the path adds documents")?;
            require(request.header("content-type") == "application/json", "the documents are JSON")?;
            let documents: Vec<Value> =
                serde_json::from_slice(&request.body).map_err(|error| error.to_string())?;
            require(
                documents.len() == 1 && documents[0]["id"].is_string(),
                "a list of documents with their ids",
            )
        }
        "DELETE" => {
            require(request.path == "/indexes/orders/documents/order_7", "the path names the document")
        }
        other => Err(format!("{other} is POST or DELETE")),
    }
}

async fn indexing(server: &Receiver) -> Action {
    let written = json!({
        "engine": "meilisearch", "index": "orders", "id_template": "{{prefix}}_{{entity_id}}", "fields": ["total"],
        "url": server.url(""), "api_key": "${secret:K}", "grants": {"private_network": true},
    });
    action("search", written, &[("K", KEY)]).await
}

#[tokio::test]
async fn documents_are_enqueued_and_errors_have_their_classes() {
    let server = Receiver::start().await;
    let action = indexing(&server).await;
    let row = || json!({"prefix": "order", "total": 150});
    server.respond(|request| match contract(request) {
        Ok(()) => Answer::status(202).json(&json!({
            "taskUid": 12, "indexUid": "orders", "status": "enqueued", "type": "documentAdditionOrUpdate",
            "enqueuedAt": "2026-01-02T03:04:05.000006Z",
        })),
        Err(why) => broken(request, &why),
    });
    let enqueued = json!({"index": "orders", "id": "order_7", "result": "enqueued", "task_uid": 12});
    for kind in [EventKind::Created, EventKind::Updated, EventKind::Deleted] {
        assert_eq!(details(&action.run(kind, row()).await), enqueued);
    }
    assert_eq!(server.received()[0].body, r#"[{"id":"order_7","total":150}]"#);
    for (status, code, expected) in [
        (401, "missing_authorization_header", "misconfigured: unauthorized"),
        (403, "invalid_api_key", "misconfigured: unauthorized"),
        (404, "index_not_found", "misconfigured: index_not_found"),
        (400, "malformed_payload", "permanent: document_rejected"),
        (413, "payload_too_large", "permanent: document_rejected"),
        (500, "internal", "transient: http_status"),
        (503, "too_many_search_requests", "transient: http_status"),
    ] {
        server.respond(move |request| match contract(request) {
            Ok(()) => Answer::status(status)
                .json(&json!({"message": "Why", "code": code, "type": "t", "link": "l"})),
            Err(why) => broken(request, &why),
        });
        assert_eq!(told(&action.run(EventKind::Created, row()).await), expected, "{code}");
    }
    // It would fail in Meilisearch's queue, where nobody looks.
    let spaced = action.run(EventKind::Created, json!({"prefix": "an order", "total": 1})).await;
    assert_eq!(told(&spaced), "permanent: invalid_id");
}
