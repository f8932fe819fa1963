//! What the guest is told to do.

use aftercommit_plugin::secrets::Secret;
use schemars::JsonSchema;
use serde::Deserialize;

/// `do`, and what the chosen behaviour needs.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// What to do in `run`.
    #[serde(rename = "do")]
    pub(crate) behaviour: Behaviour,
    /// What to do in `check`.
    #[serde(default)]
    pub(crate) check: Check,
    /// How often: `flood_log`, `host_calls`.
    #[serde(default = "many")]
    pub(crate) count: u64,
    /// How much: `huge_result`, `flood_log` (a line).
    #[serde(default = "some_bytes")]
    pub(crate) size_bytes: usize,
    /// `http`; its URL also for `sleep_http`.
    pub(crate) request: Option<HttpRequest>,
    /// `reveal`, `hmac`, `sign`.
    pub(crate) secret: Option<Secret>,
    /// `hmac`, `sign`, `panic`, `fail`, `render`.
    #[serde(default)]
    pub(crate) message: String,
    /// `fail`: `misconfigured`, `permanent`, `transient` or `throttled`.
    #[serde(default)]
    pub(crate) class: String,
    /// `fail` as `throttled`.
    #[serde(default)]
    pub(crate) after_ms: u64,
}

/// An HTTP request as it is given to the host.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HttpRequest {
    #[serde(default = "get")]
    pub(crate) method: String,
    /// Not marked as egress: what it names is not granted by naming it.
    pub(crate) url: String,
    #[serde(default)]
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) bearer: Option<String>,
    pub(crate) body: Option<String>,
    pub(crate) timeout_ms: Option<u32>,
    #[serde(default)]
    pub(crate) max_redirects: u32,
}

/// What a guest can do to its host.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Behaviour {
    /// Returns at once.
    Nothing,
    /// Computes for ever.
    Loop,
    /// Traps without a word.
    Trap,
    /// Panics with `message`.
    Panic,
    /// Allocates and touches memory until it is refused, then traps.
    GrowMemory,
    /// Calls itself until the stack ends.
    Recurse,
    /// Writes `count` lines of `size_bytes` to the log.
    FloodLog,
    /// Calls the host `count` times.
    HostCalls,
    /// Returns an outcome of `size_bytes`.
    HugeResult,
    /// Returns details that are not JSON.
    BadDetails,
    /// Returns `fail`'s class with `message`.
    Fail,
    /// Sends `request` again and again, whatever comes back.
    SleepHttp,
    /// Sends `request` `count` times.
    Requests,
    /// Sends `request` once; the response or the error is in the details.
    Http,
    /// Tells the handle of `secret`.
    Handle,
    /// Asks for the text of `secret`.
    Reveal,
    /// HMAC-SHA256 of `message` with `secret`, in base64 form.
    Hmac,
    /// Ed25519 signature of `message` with `secret`, in base64 form.
    Sign,
    /// Renders `message` as plain text over the row.
    Render,
    /// Sends `PING` to a Redis server, which this guest does not declare to need.
    Redis,
    /// Sends a mail, which this guest does not declare to need.
    Mail,
}

/// What a guest can do while its configuration is checked.
#[derive(Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Check {
    /// Nothing is wrong.
    #[default]
    Accept,
    /// `/message` is wrong.
    Refuse,
    /// Traps.
    Trap,
    /// Computes for ever.
    Loop,
    /// Sends `request`, which is not allowed here; the error is the problem's message.
    Http,
}

const fn many() -> u64 {
    1_000_000
}

const fn some_bytes() -> usize {
    1024
}

fn get() -> String {
    "GET".to_owned()
}
