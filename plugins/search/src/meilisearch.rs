//! Meilisearch: documents are added to a queue, and indexed later ("Documents", "Tasks", "Error codes" of its reference).

use aftercommit_plugin::{Failure, Outcome, http::Response};
use serde::Deserialize;

use crate::{
    config::Config,
    engine::{Done, refused, request},
    operation::{Operation, segment},
};

#[derive(Deserialize)]
struct Task {
    #[serde(rename = "taskUid")]
    task_uid: u64,
}

#[derive(Deserialize)]
struct Error {
    message: String,
    code: String,
}

pub(crate) fn run(config: &Config, operation: &Operation) -> Result<Outcome, Failure> {
    let documents = format!("/indexes/{}/documents", segment(&operation.index));
    let mut sent = match &operation.document {
        Some(document) => {
            let key = segment(config.primary_key.as_deref().unwrap_or("id"));
            request(config, "POST", &format!("{documents}?primaryKey={key}"))?.json(format!("[{document}]"))
        }
        None => request(config, "DELETE", &format!("{documents}/{}", segment(&operation.id)))?,
    };
    if let Some(key) = &config.api_key {
        sent = sent.bearer(key.handle());
    }
    read(config, operation, &sent.send()?)
}

fn read(config: &Config, operation: &Operation, response: &Response) -> Result<Outcome, Failure> {
    let status = response.status;
    if (200..300).contains(&status) {
        let task = response.json_unless_truncated::<Task>()?;
        let task_uid = task.map(|task| ("task_uid", task.task_uid.to_string()));
        return Ok(Done::Enqueued.outcome(operation, status, task_uid));
    }
    let Error { message, code } = response.refusal()?;
    let said = format!("{code}: {message}");
    Err(match status {
        401 | 403 => refused(config, status, "unauthorized", &said),
        404 if operation.document.is_none() => return Ok(Done::Absent.outcome(operation, status, None)),
        404 => refused(config, status, "index_not_found", &said),
        400 | 413 | 415 => refused(config, status, "document_rejected", &said),
        _ => response.failure(),
    })
}

#[cfg(test)]
mod tests {
    use aftercommit_plugin::http::Content;

    use super::*;

    #[test]
    fn answers_have_their_meanings() {
        let operation = |document: Option<&str>| Operation {
            index: "orders".to_owned(),
            id: "7".to_owned(),
            document: document.map(str::to_owned),
            version: None,
        };
        let of = |document: Option<&str>, status: u16, text: &str| {
            let body = Content::Text(text.to_owned());
            let response =
                Response { status, headers: Vec::new(), body, truncated: false, retry_after_ms: None };
            match read(&Config::default(), &operation(document), &response) {
                Ok(outcome) => outcome.details.unwrap_or_default(),
                Err(failure) => failure.problem().code.clone(),
            }
        };
        let task =
            r#"{"taskUid":12,"indexUid":"orders","status":"enqueued","type":"documentAdditionOrUpdate"}"#;
        assert_eq!(
            of(Some("{}"), 202, task),
            r#"{"index":"orders","id":"7","result":"enqueued","task_uid":12}"#
        );
        let error = |code: &str| format!(r#"{{"message":"m","code":"{code}","type":"auth","link":"l"}}"#);
        assert_eq!(of(None, 403, &error("invalid_api_key")), "unauthorized");
        assert_eq!(of(Some("{}"), 400, &error("malformed_payload")), "document_rejected");
        assert_eq!(of(Some("{}"), 404, &error("index_not_found")), "index_not_found");
        assert!(of(None, 404, &error("index_not_found")).contains("absent"));
        assert_eq!(of(None, 500, &error("internal")), "http_status");
        assert_eq!(of(None, 202, "<html>"), "unexpected_response");
    }
}
