//! Elasticsearch and OpenSearch: `PUT` and `DELETE /{index}/_doc/{id}` with an external version.
//!
//! Sources: Elasticsearch's "Index API", "Delete API" (versioning) and "Bulk API"; OpenSearch has them alike.

use aftercommit_plugin::{
    Failure, Outcome,
    http::{Request, Response},
};
use serde::Deserialize;

use crate::{
    config::{Config, Refresh},
    engine::{Done, refused, request},
    operation::{Operation, segment},
};

/// Why a request, or one item of a bulk, failed.
#[derive(Deserialize, Debug)]
pub(crate) struct Error {
    pub(crate) r#type: String,
    #[serde(default)]
    pub(crate) reason: Option<String>,
}

#[derive(Deserialize)]
struct Answer {
    error: Option<Error>,
}

pub(crate) fn run(config: &Config, operation: &Operation) -> Result<Outcome, Failure> {
    let method = if operation.document.is_some() { "PUT" } else { "DELETE" };
    let mut sent = authorized(request(config, method, &path(config, operation))?, config);
    if let Some(document) = &operation.document {
        sent = sent.json(document.as_str());
    }
    read(config, operation, &sent.send()?)
}

/// The body is needed only to tell why it failed.
fn read(config: &Config, operation: &Operation, response: &Response) -> Result<Outcome, Failure> {
    let judged = |error: Option<&Error>| {
        judge(config, operation, response.status, error).unwrap_or_else(|| Err(response.failure()))
    };
    match response.json::<Answer>() {
        Ok(answer) => judged(answer.error.as_ref()),
        Err(unread) => match judged(None) {
            // What was cut may have been a reason that passes.
            Err(Failure::Permanent(_) | Failure::Misconfigured(_)) if response.truncated => Err(unread),
            by_status => by_status,
        },
    }
}

fn path(config: &Config, operation: &Operation) -> String {
    let (index, id) = (segment(&operation.index), segment(&operation.id));
    let version = operation
        .version
        .map(|(version, version_type)| format!("version={version}&version_type={version_type}"));
    let refresh = refresh(config).map(|refresh| format!("refresh={refresh}"));
    let query = [version, refresh].into_iter().flatten().collect::<Vec<_>>().join("&");
    let mark = if query.is_empty() { "" } else { "?" };
    format!("/{index}/_doc/{id}{mark}{query}")
}

pub(crate) fn refresh(config: &Config) -> Option<&'static str> {
    Some(match config.refresh? {
        Refresh::No => "false",
        Refresh::Now => "true",
        Refresh::WaitFor => "wait_for",
    })
}

/// API key, user and password, or bearer token.
pub(crate) fn authorized(request: Request, config: &Config) -> Request {
    if let Some(key) = &config.api_key {
        request.header("Authorization", format!("ApiKey {key}"))
    } else if let (Some(user), Some(password)) = (&config.username, &config.password) {
        request.basic(user, password.handle())
    } else if let Some(token) = &config.token {
        request.bearer(token.handle())
    } else {
        request
    }
}

/// What a status and an error mean for one document: the one table, for single requests and for items of a bulk. Nothing
/// when the status alone decides.
pub(crate) fn judge(
    config: &Config,
    operation: &Operation,
    status: u16,
    error: Option<&Error>,
) -> Option<Result<Outcome, Failure>> {
    let kind = error.map_or("", |error| error.r#type.as_str());
    let deletes = operation.document.is_none();
    let done = |done: Done| Some(Ok(done.outcome(operation, status, None)));
    let said = error.map_or("", |error| error.reason.as_deref().unwrap_or(kind));
    let refused = |code: &str| Some(Err(refused(config, status, code, said)));
    match (status, kind) {
        (200..=299, _) => done(if deletes { Done::Deleted } else { Done::Indexed }),
        // An older change came later: what is there is right.
        (409, "version_conflict_engine_exception" | "") if operation.version.is_some() => {
            done(Done::Superseded)
        }
        // No such document, or no such index.
        (404, _) if deletes => done(Done::Absent),
        (404, "index_not_found_exception") => refused("index_not_found"),
        // Somebody opens a closed index again: it is closed for maintenance.
        (401 | 403, "cluster_block_exception" | "index_create_block_exception")
        | (400, "index_closed_exception") => refused("cluster_blocked"),
        (401 | 403, _) => refused("unauthorized"),
        (400, "invalid_index_name_exception") => refused("invalid_index"),
        (400 | 413, _) => refused("document_rejected"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use aftercommit_plugin::http::Content;

    use super::*;

    fn operation(document: Option<&str>) -> Operation {
        let (index, id, version) = ("orders".to_owned(), "a/7".to_owned(), Some((5, "external_gte")));
        Operation { index, id, document: document.map(str::to_owned), version }
    }

    #[test]
    fn the_path_names_document_version_and_refresh() {
        let config = |refresh: &str| {
            serde_json::from_str::<Config>(&format!(r#"{{"index":"i"{refresh}}}"#)).expect("a configuration")
        };
        let put = operation(Some("{}"));
        assert_eq!(path(&config(""), &put), "/orders/_doc/a%2F7?version=5&version_type=external_gte");
        let unversioned = Operation { version: None, ..put };
        assert_eq!(
            path(&config(r#","refresh":"wait_for""#), &unversioned),
            "/orders/_doc/a%2F7?refresh=wait_for"
        );
        assert_eq!(path(&config(""), &unversioned), "/orders/_doc/a%2F7");
    }

    #[test]
    fn a_cut_answer_fails_only_what_it_would_have_explained() {
        let of = |status| {
            let (headers, body) = (Vec::new(), Content::Text(r#"{"error":{"ty"#.to_owned()));
            let response = Response { status, headers, body, truncated: true, retry_after_ms: None };
            match read(&Config::default(), &operation(Some("{}")), &response) {
                Ok(outcome) => outcome.summary,
                Err(failure) => failure.problem().code.clone(),
            }
        };
        assert_eq!([of(201), of(409)], ["orders/a/7 indexed", "orders/a/7 is newer already"]);
        assert_eq!([of(400), of(403), of(503)], ["response_cut", "response_cut", "http_status"]);
    }

    #[test]
    fn answers_have_their_meanings() {
        let (put, delete) = (operation(Some("{}")), operation(None));
        let of = |operation: &Operation, status, kind: &str| {
            let error = (!kind.is_empty()).then(|| Error { r#type: kind.to_owned(), reason: None });
            match judge(&Config::default(), operation, status, error.as_ref()) {
                None => "by status".to_owned(),
                Some(Ok(outcome)) => outcome.summary,
                Some(Err(failure)) => failure.problem().code.clone(),
            }
        };
        assert_eq!(of(&put, 201, ""), "orders/a/7 indexed");
        assert_eq!(of(&put, 409, "version_conflict_engine_exception"), "orders/a/7 is newer already");
        assert_eq!(of(&delete, 404, ""), "orders/a/7 was not there to be deleted");
        assert_eq!(of(&delete, 404, "index_not_found_exception"), "orders/a/7 was not there to be deleted");
        assert_eq!(of(&delete, 409, "version_conflict_engine_exception"), "orders/a/7 is newer already");
        assert_eq!(of(&put, 404, "index_not_found_exception"), "index_not_found");
        assert_eq!(of(&put, 403, "security_exception"), "unauthorized");
        assert_eq!(of(&put, 403, "cluster_block_exception"), "cluster_blocked");
        assert_eq!(of(&put, 400, "document_parsing_exception"), "document_rejected");
        assert_eq!(of(&put, 400, "index_closed_exception"), "cluster_blocked");
        assert_eq!(of(&put, 429, "es_rejected_execution_exception"), "by status");
        assert_eq!(of(&put, 503, "unavailable_shards_exception"), "by status");
        let unversioned = Operation { version: None, ..put };
        assert_eq!(of(&unversioned, 409, "version_conflict_engine_exception"), "by status");
    }
}
