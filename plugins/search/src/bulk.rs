//! Several documents in one request: `POST /_bulk`, with a result for each.

use aftercommit_plugin::{
    BatchItem, Failure, JsonObject, Outcome,
    http::{Response, status_failure},
};
use serde::Deserialize;

use crate::{
    config::Config,
    elasticsearch::{Error, authorized, judge, refresh},
    engine::request,
    operation::Operation,
};

/// Only what is read of each item, so that the answer stays small.
const FILTER: &str = "filter_path=items.*.status,items.*.error.type,items.*.error.reason";

#[derive(Deserialize)]
struct Answer {
    items: Vec<Item>,
}

/// An item has one member, named as its action.
#[derive(Deserialize)]
struct Item {
    index: Option<ItemResult>,
    delete: Option<ItemResult>,
}

#[derive(Deserialize)]
struct ItemResult {
    status: u16,
    error: Option<Error>,
}

type Results = Vec<Result<Outcome, Failure>>;

pub(crate) fn run(items: &[BatchItem<Config>]) -> Results {
    let operations: Vec<_> = items.iter().map(|item| Operation::of(&item.event, &item.config)).collect();
    let sound: Vec<&Operation> = operations.iter().filter_map(|operation| operation.as_ref().ok()).collect();
    // All items are of one action: they differ in what templates made, and the connection has none.
    let results = match items.first() {
        Some(first) if !sound.is_empty() => send(&first.config, &sound),
        _ => Vec::new(),
    };
    let mut results = results.into_iter();
    operations
        .into_iter()
        .map(|operation| {
            operation.and_then(|_| {
                results.next().unwrap_or_else(|| Err(unanswered("has no result for this item")))
            })
        })
        .collect()
}

/// One result an operation, in order.
fn send(config: &Config, operations: &[&Operation]) -> Results {
    let path = match refresh(config) {
        Some(refresh) => format!("/_bulk?{FILTER}&refresh={refresh}"),
        None => format!("/_bulk?{FILTER}"),
    };
    let sent = request(config, "POST", &path).and_then(|request| {
        let request = authorized(request, config).header("Content-Type", "application/x-ndjson");
        Ok(request.json(body(operations)).send()?)
    });
    match sent {
        Ok(response) => read(config, operations, &response),
        Err(failure) => operations.iter().map(|_| Err(failure.clone())).collect(),
    }
}

/// An action and, unless it deletes, a document: a line each.
fn body(operations: &[&Operation]) -> String {
    let mut lines = String::new();
    for operation in operations {
        let mut meta = JsonObject::new();
        meta.text("_index", &operation.index).text("_id", &operation.id);
        if let Some((version, version_type)) = operation.version {
            meta.raw("version", &version.to_string()).text("version_type", version_type);
        }
        let mut action = JsonObject::new();
        action.raw(if operation.document.is_some() { "index" } else { "delete" }, &meta.finish());
        lines.push_str(&action.finish());
        lines.push('\n');
        if let Some(document) = &operation.document {
            lines.push_str(document);
            lines.push('\n');
        }
    }
    lines
}

fn read(config: &Config, operations: &[&Operation], response: &Response) -> Results {
    let for_all = |failure: &Failure| operations.iter().map(|_| Err(failure.clone())).collect();
    if !(200..300).contains(&response.status) {
        return for_all(&whole(config, response).of_shared_request(operations.len()));
    }
    let answer: Answer = match response.json() {
        Ok(answer) => answer,
        Err(failure) => return for_all(&failure),
    };
    let mut items = answer.items.into_iter();
    operations
        .iter()
        .map(|operation| {
            let result = items.next().and_then(|item| item.index.or(item.delete));
            let Some(ItemResult { status, error }) = result else {
                return Err(unanswered("has no result for this item").with_status(response.status));
            };
            judge(config, operation, status, error.as_ref()).unwrap_or_else(|| {
                let said =
                    error.as_ref().map_or("", |error| error.reason.as_deref().unwrap_or(&error.r#type));
                Err(status_failure(status, None, said))
            })
        })
        .collect()
}

/// The failure of a request that was refused as a whole.
fn whole(config: &Config, response: &Response) -> Failure {
    match response.status {
        401 | 403 => crate::engine::refused(config, response.status, "unauthorized", &response.text()),
        _ => response.failure(),
    }
}

fn unanswered(what: &str) -> Failure {
    Failure::transient("unexpected_response", format!("the answer to the bulk request {what}"))
}

#[cfg(test)]
mod tests {
    use aftercommit_plugin::http::Content;

    use super::*;

    fn put(id: &str) -> Operation {
        Operation {
            index: "orders".to_owned(),
            id: id.to_owned(),
            document: Some(r#"{"total":1.50}"#.to_owned()),
            version: Some((5, "external_gte")),
        }
    }

    fn delete(id: &str) -> Operation {
        Operation { document: None, ..put(id) }
    }

    fn answered(status: u16, text: &str, retry_after_ms: Option<u64>) -> Vec<String> {
        let body = Content::Text(text.to_owned());
        let response = Response { status, headers: Vec::new(), body, truncated: false, retry_after_ms };
        let (put, delete) = (put("a"), delete("b"));
        read(&Config::default(), &[&put, &put, &delete], &response)
            .into_iter()
            .map(|result| match result {
                Ok(outcome) => outcome.summary,
                Err(Failure::Transient(why)) if why.status == Some(413) => format!("transient {}", why.code),
                Err(Failure::Throttled(delay)) => format!("{} after {}", delay.why.code, delay.after_ms),
                Err(failure) => failure.problem().code.clone(),
            })
            .collect()
    }

    #[test]
    fn a_body_has_a_line_for_each_action_and_document() {
        let unversioned = Operation { version: None, ..delete("c\"") };
        assert_eq!(
            body(&[&put("a"), &delete("b"), &unversioned]),
            concat!(
                r#"{"index":{"_index":"orders","_id":"a","version":5,"version_type":"external_gte"}}"#,
                "\n{\"total\":1.50}\n",
                r#"{"delete":{"_index":"orders","_id":"b","version":5,"version_type":"external_gte"}}"#,
                "\n",
                r#"{"delete":{"_index":"orders","_id":"c\""}}"#,
                "\n"
            )
        );
    }

    #[test]
    fn each_item_has_its_own_result() {
        let text = r#"{"items":[{"index":{"status":201}},
            {"index":{"status":409,"error":{"type":"version_conflict_engine_exception","reason":"r"}}},
            {"delete":{"status":404}}]}"#;
        assert_eq!(
            answered(200, text, None),
            ["orders/a indexed", "orders/a is newer already", "orders/b was not there to be deleted"]
        );
        let text = r#"{"items":[{"index":{"status":429,"error":{"type":"es_rejected_execution_exception","reason":"r"}}},
            {"index":{"status":400,"error":{"type":"document_parsing_exception","reason":"r"}}}]}"#;
        assert_eq!(answered(200, text, None), ["http_status", "document_rejected", "unexpected_response"]);
    }

    #[test]
    fn a_request_that_is_refused_is_refused_for_each_item() {
        assert_eq!(answered(401, "{}", None), ["unauthorized"; 3]);
        // Of a body that is too large each part may be small enough.
        assert_eq!(answered(413, "{}", None), ["transient http_status"; 3]);
        assert_eq!(answered(429, "{}", Some(7)), ["http_status after 7"; 3]);
        assert_eq!(answered(200, "<html>", None), ["unexpected_response"; 3]);
    }

    #[test]
    fn an_answer_that_was_cut_is_asked_for_again() {
        let body = Content::Text(r#"{"items":[{"index":{"status":201}},{"ind"#.to_owned());
        let cut = Response { status: 200, headers: Vec::new(), body, truncated: true, retry_after_ms: None };
        for result in read(&Config::default(), &[&put("a"), &put("b")], &cut) {
            assert!(matches!(result, Err(Failure::Transient(why)) if why.code == "response_cut"));
        }
    }
}
