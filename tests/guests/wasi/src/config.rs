//! What the guest is told to do.

use schemars::JsonSchema;
use serde::Deserialize;

/// What to do, and the request for those that send one.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// What to do beside looking around.
    #[serde(rename = "do", default)]
    pub(crate) behaviour: Behaviour,
    /// How often, or how many at once.
    #[serde(default)]
    pub(crate) count: u32,
    pub(crate) method: Option<String>,
    pub(crate) scheme: Option<String>,
    /// Host and port.
    #[serde(default)]
    pub(crate) authority: String,
    #[serde(default)]
    pub(crate) path: String,
    #[serde(default)]
    pub(crate) headers: Vec<(String, String)>,
    /// Posted.
    pub(crate) body: Option<String>,
    /// After the body.
    #[serde(default)]
    pub(crate) trailers: Vec<(String, String)>,
    /// For standard output and standard error.
    pub(crate) print: Option<String>,
}

/// What a guest can do by WASI.
#[derive(Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Behaviour {
    /// Sends one request.
    #[default]
    Request,
    /// Sends `count` requests at once and waits for all answers.
    Requests,
    /// Sends `count` requests, one after the other, and reads none of the answers.
    Unread,
    /// Makes lists of headers and drops them, for ever. The host answers at once, so nothing ever waits.
    Spin,
    /// Keeps `count` lists of headers.
    KeepHeaders,
    /// Adds `count` headers to one list.
    GrowHeaders,
    /// Keeps `count` alarms that never ring.
    KeepAlarms,
    /// Waits for the same alarm `count` times over in one call, again and again.
    Poll,
    /// Waits for an hour.
    Sleep,
    /// Asks for `count` random bytes at once, again and again.
    Random,
    /// Writes `count` lines to standard output.
    Print,
    /// Ends the program.
    Exit,
    /// Opens sockets and reads its standard input.
    Open,
}
