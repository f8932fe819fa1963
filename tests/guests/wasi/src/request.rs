//! Requests by wasi:http.

use serde_json::{Value, json};
use wasip2::{
    http::{
        outgoing_handler,
        types::{
            ErrorCode, Fields, FutureIncomingResponse, IncomingResponse, Method, OutgoingBody,
            OutgoingRequest, Scheme,
        },
    },
    io::streams::StreamError,
};

use crate::config::Config;

/// Sends the configured request and reads its answer.
pub(crate) fn one(config: &Config) -> Value {
    let asked =
        send(config).and_then(|sent| sent.map_or_else(Ok, |answer| wait(&answer).and_then(|it| read(&it))));
    asked.unwrap_or_else(|error| json!({"error": format!("{error:?}")}))
}

/// The answer to come, or why the request can not even be written.
pub(crate) fn send(config: &Config) -> Result<Result<FutureIncomingResponse, Value>, ErrorCode> {
    let Some(headers) = fields(&config.headers) else { return Ok(Err(json!({"error": "headers"}))) };
    let Some(trailers) = fields(&config.trailers) else { return Ok(Err(json!({"error": "trailers"}))) };
    let request = OutgoingRequest::new(headers);
    let scheme = match config.scheme.as_deref() {
        None | Some("http") => Scheme::Http,
        Some("https") => Scheme::Https,
        Some(other) => Scheme::Other(other.to_owned()),
    };
    if request.set_scheme(Some(&scheme)).is_err()
        || request.set_authority(Some(&config.authority)).is_err()
        || request.set_path_with_query(Some(&config.path)).is_err()
    {
        return Ok(Err(json!({"error": "url"})));
    }
    let method = match &config.method {
        Some(method) => Method::Other(method.clone()),
        None if config.body.is_some() => Method::Post,
        None => Method::Get,
    };
    if request.set_method(&method).is_err() {
        return Ok(Err(json!({"error": "method"})));
    }
    let body = request.body().map_err(|()| ErrorCode::InternalError(None))?;
    let response = outgoing_handler::handle(request, None)?;
    if let Some(text) = &config.body {
        let mut stream = body.write().map_err(|()| ErrorCode::InternalError(None))?;
        std::io::Write::write_all(&mut stream, text.as_bytes())
            .map_err(|error| ErrorCode::InternalError(Some(error.to_string())))?;
    }
    OutgoingBody::finish(body, (!config.trailers.is_empty()).then_some(trailers))?;
    Ok(Ok(response))
}

fn fields(list: &[(String, String)]) -> Option<Fields> {
    let list: Vec<_> = list.iter().map(|(name, value)| (name.clone(), value.clone().into_bytes())).collect();
    Fields::from_list(&list).ok()
}

/// The answer, once its head is there.
pub(crate) fn wait(response: &FutureIncomingResponse) -> Result<IncomingResponse, ErrorCode> {
    response.subscribe().block();
    match response.get() {
        Some(Ok(response)) => response,
        _ => Err(ErrorCode::InternalError(Some("no response".to_owned()))),
    }
}

fn read(response: &IncomingResponse) -> Result<Value, ErrorCode> {
    let status = response.status();
    let headers: Vec<_> = response
        .headers()
        .entries()
        .into_iter()
        .map(|(name, value)| (name, String::from_utf8_lossy(&value).into_owned()))
        .collect();
    let body = response.consume().map_err(|()| ErrorCode::InternalError(None))?;
    let stream = body.stream().map_err(|()| ErrorCode::InternalError(None))?;
    let mut bytes = Vec::new();
    loop {
        match stream.blocking_read(64 << 10) {
            Ok(more) => bytes.extend(more),
            Err(StreamError::Closed) => break,
            Err(StreamError::LastOperationFailed(error)) => {
                return Ok(
                    json!({"status": status, "read_bytes": bytes.len(), "broken": error.to_debug_string()}),
                );
            }
        }
    }
    Ok(json!({"status": status, "headers": headers, "body": String::from_utf8_lossy(&bytes)}))
}
