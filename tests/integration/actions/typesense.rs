//! Typesense's contract. Checked against its reference, 30.1: "API errors"; by its "Documents" (upsert a single document, delete a
//! document) and "Authentication" (`X-TYPESENSE-API-KEY`).

use aftercommit_core::EventKind;
use aftercommit_tests::{Answer, Received, Receiver};
use serde_json::{Value, json};

use super::{
    broken,
    component::{action, details, refused, told},
    json_object, require,
};

const KEY: &str = "a-key-made-for-tests";

fn contract(request: &Received) -> Result<Option<Value>, String> {
    require(request.header("x-typesense-api-key") == KEY, "the key is right")?;
    match request.method.as_str() {
        "POST" => {
            require(
                request.path == "/collections/orders/documents?action=upsert",
                "the path upserts a document",
            )?;
            let document = json_object(request)?;
            require(document.get("id").is_some_and(Value::is_string), "the id is a string")?;
            Ok(Some(Value::Object(document)))
        }
        "DELETE" => {
            require(request.path == "/collections/orders/documents/7", "the path names the document")?;
            Ok(None)
        }
        other => Err(format!("{other} is POST or DELETE")),
    }
}

#[tokio::test]
async fn documents_are_upserted_and_errors_have_their_classes() {
    let server = Receiver::start().await;
    let written = json!({
        "engine": "typesense", "index": "orders", "url": server.url(""), "api_key_env": "K",
        "grants": {"private_network": true},
    });
    let action = action("search", written, &[("K", KEY)]).await;
    server.respond(|request| match contract(request) {
        Ok(Some(document)) => Answer::status(201).json(&document),
        Ok(None) => Answer::status(404).json(&json!({"message": "Could not find a document with id: 7"})),
        Err(why) => broken(request, &why),
    });
    let row = || json!({"id": 7, "status": "new"});
    assert_eq!(details(&action.run(EventKind::Created, row()).await)["result"], "indexed");
    assert_eq!(server.received()[0].body, r#"{"id":"7","status":"new"}"#);
    assert_eq!(details(&action.run(EventKind::Deleted, row()).await)["result"], "absent");
    for (status, expected) in [
        (400, "permanent: document_rejected"),
        (401, "misconfigured: unauthorized"),
        (404, "misconfigured: index_not_found"),
        (422, "permanent: document_rejected"),
        (429, "transient: http_status"),
        (503, "transient: http_status"),
    ] {
        server.respond(move |request| match contract(request) {
            Ok(_) => Answer::status(status).json(&json!({"message": "Why"})),
            Err(why) => broken(request, &why),
        });
        assert_eq!(told(&action.run(EventKind::Updated, row()).await), expected, "{status}");
    }
    let told =
        refused("search", json!({"engine": "typesense", "index": "orders", "url": "https://t.example"}))
            .await;
    assert!(told.contains("api_key_env = \"TYPESENSE_API_KEY\""), "{told}");
}
