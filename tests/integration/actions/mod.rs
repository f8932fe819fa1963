//! The built-in actions as their example files show them, by a real host, towards what people really run; where that
//! can not be had, against servers that check each request by its vendor's published contract and answer as the vendor does: one
//! case of each with the real program and its example file, and the tables of failures through the built component.

mod apns;
mod cache;
mod certificate;
mod component;
mod elasticsearch;
mod elasticsearch_bulk;
mod email;
mod example;
mod fcm;
mod log;
mod meilisearch;
mod mutual_tls;
mod oauth2;
mod opensearch;
mod reference;
mod slack;
mod twilio;
mod typesense;
mod versions;
mod vonage;
mod webhook;

pub(crate) use component::built;

use aftercommit_core::{Clock as _, SystemClock};
use aftercommit_tests::{Answer, Received};

/// What a server answers to a request that breaks its contract. No vendor uses it, and no table knows it, so the test
/// fails and shows what was broken.
fn broken(request: &Received, why: &str) -> Answer {
    let body = String::from_utf8_lossy(&request.body);
    println!("contract broken: {why}\n{} {}\n{:?}\n{body}", request.method, request.path, request.headers);
    Answer::status(418).text(format!("contract broken: {why}"))
}

/// Checks one rule of a contract.
fn require(holds: bool, why: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(why.to_owned()) }
}

/// A body that must be a JSON object.
fn json_object(request: &Received) -> Result<serde_json::Map<String, serde_json::Value>, String> {
    serde_json::from_slice(&request.body).map_err(|error| format!("the body is no JSON object: {error}"))
}

/// Seconds since 1970, as tokens carry them.
fn now_secs() -> u64 {
    u64::try_from(SystemClock.now().as_millis() / 1000).expect("it is after 1970")
}
