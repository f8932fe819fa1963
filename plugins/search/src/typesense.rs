//! Typesense: `POST /collections/{name}/documents?action=upsert`, and `DELETE` of a document ("Documents", "API errors" of
//! its reference).

use aftercommit_plugin::{
    Failure, Outcome,
    http::{Response, status_failure},
};
use serde::Deserialize;

use crate::{
    config::Config,
    engine::{Done, refused, request},
    operation::{Operation, segment},
};

#[derive(Deserialize)]
struct Error {
    message: String,
}

pub(crate) fn run(config: &Config, operation: &Operation) -> Result<Outcome, Failure> {
    let documents = format!("/collections/{}/documents", segment(&operation.index));
    let mut sent = match &operation.document {
        Some(document) => {
            request(config, "POST", &format!("{documents}?action=upsert"))?.json(document.as_str())
        }
        None => request(config, "DELETE", &format!("{documents}/{}", segment(&operation.id)))?,
    };
    if let Some(key) = &config.api_key {
        sent = sent.header("X-TYPESENSE-API-KEY", key.handle());
    }
    read(config, operation, &sent.send()?)
}

fn read(config: &Config, operation: &Operation, response: &Response) -> Result<Outcome, Failure> {
    let (status, deletes) = (response.status, operation.document.is_none());
    if (200..300).contains(&status) {
        let done = if deletes { Done::Deleted } else { Done::Indexed };
        return Ok(done.outcome(operation, status, None));
    }
    let said = response.json::<Error>().map(|error| error.message).unwrap_or_default();
    Err(match status {
        401 | 403 => refused(config, status, "unauthorized", &said),
        404 if deletes => return Ok(Done::Absent.outcome(operation, status, None)),
        404 => refused(config, status, "index_not_found", &said),
        400 | 409 | 413 | 422 => refused(config, status, "document_rejected", &said),
        _ => status_failure(status, response.retry_after_ms, &response.text()),
    })
}

#[cfg(test)]
mod tests {
    use aftercommit_plugin::http::Content;

    use super::*;

    #[test]
    fn answers_have_their_meanings() {
        let of = |document: Option<&str>, status: u16| {
            let operation = Operation {
                index: "orders".to_owned(),
                id: "7".to_owned(),
                document: document.map(str::to_owned),
                version: None,
            };
            let body = Content::Text(r#"{"message":"m"}"#.to_owned());
            let response =
                Response { status, headers: Vec::new(), body, truncated: false, retry_after_ms: None };
            match read(&Config::default(), &operation, &response) {
                Ok(outcome) => outcome.summary,
                Err(failure) => failure.problem().code.clone(),
            }
        };
        assert_eq!(of(Some("{}"), 201), "orders/7 indexed");
        assert_eq!(of(None, 200), "orders/7 deleted");
        assert_eq!(of(None, 404), "orders/7 was not there to be deleted");
        assert_eq!(of(Some("{}"), 404), "index_not_found");
        assert_eq!(of(Some("{}"), 401), "unauthorized");
        assert_eq!(of(Some("{}"), 400), "document_rejected");
        assert_eq!(of(Some("{}"), 503), "http_status");
    }
}
