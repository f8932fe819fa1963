//! Uses WASI 0.2 as programs in languages with a runtime of their own do: writes to its standard streams, looks for
//! files, arguments and an environment, and requests a URL by wasi:http. What it found is in the details.

use std::io::Write as _;

use aftercommit_plugin::prelude::*;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use wasip2::{
    cli::{environment, stderr::get_stderr, stdout::get_stdout},
    filesystem::preopens,
    http::{
        outgoing_handler,
        types::{ErrorCode, Fields, IncomingResponse, Method, OutgoingBody, OutgoingRequest, Scheme},
    },
    io::streams::StreamError,
    sockets::{instance_network, ip_name_lookup},
};

/// What to request and what to write.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
    scheme: Option<String>,
    /// Host and port.
    authority: String,
    path: String,
    #[serde(default)]
    headers: Vec<(String, String)>,
    /// Posted.
    body: Option<String>,
    /// For standard output and standard error.
    print: Option<String>,
}

struct Wasi;

impl Plugin for Wasi {
    const NAME: &'static str = "wasi";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Uses WASI as an ordinary program does";
    const NEEDS: &'static [Need] = &[Need::Http];
    type Config = Config;

    fn run(_event: Event, _delivery: Delivery, config: Config) -> Result<Outcome, Failure> {
        if let Some(text) = &config.print {
            get_stdout().blocking_write_and_flush(text.as_bytes()).map_err(stream_failed)?;
            get_stderr().blocking_write_and_flush(text.as_bytes()).map_err(stream_failed)?;
        }
        let details = json!({
            "environment": environment::get_environment(),
            "arguments": environment::get_arguments(),
            "folders": preopens::get_directories().len(),
            "lookup": ip_name_lookup::resolve_addresses(&instance_network::instance_network(), "localhost")
                .map_or_else(|error| format!("{error:?}"), |_| "allowed".to_owned()),
            "http": request(&config).unwrap_or_else(|error| json!({"error": format!("{error:?}")})),
        });
        Ok(Outcome::new("done").with_details(details.to_string()))
    }
}

aftercommit_plugin::export!(Wasi);

fn stream_failed(error: impl std::fmt::Debug) -> Failure {
    Failure::permanent("stream", format!("{error:?}"))
}

fn request(config: &Config) -> Result<Value, ErrorCode> {
    let headers: Vec<_> =
        config.headers.iter().map(|(name, value)| (name.clone(), value.clone().into_bytes())).collect();
    let Ok(headers) = Fields::from_list(&headers) else { return Ok(json!({"error": "headers"})) };
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
        return Ok(json!({"error": "url"}));
    }
    let body = request.body().map_err(|()| ErrorCode::InternalError(None))?;
    if let Some(text) = &config.body {
        request.set_method(&Method::Post).map_err(|()| ErrorCode::InternalError(None))?;
        let mut stream = body.write().map_err(|()| ErrorCode::InternalError(None))?;
        stream
            .write_all(text.as_bytes())
            .map_err(|error| ErrorCode::InternalError(Some(error.to_string())))?;
    }
    let response = outgoing_handler::handle(request, None)?;
    OutgoingBody::finish(body, None)?;
    response.subscribe().block();
    match response.get() {
        Some(Ok(response)) => read(&response?),
        _ => Err(ErrorCode::InternalError(Some("no response".to_owned()))),
    }
}

fn read(response: &IncomingResponse) -> Result<Value, ErrorCode> {
    let status = response.status();
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
    Ok(json!({"status": status, "body": String::from_utf8_lossy(&bytes)}))
}
