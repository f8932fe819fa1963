//! Texts that the host reads, and the answers of the servers that it calls.

use aftercommit::{document::Format, observer_file::ObserverFile};
use aftercommit_runtime::fuzzing::{self, Peer};

/// Any text is a template that renders within its bounds, or gets a diagnostic, whatever row it is rendered over: the template,
/// a zero byte, and the row as JSON.
pub fn template(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    let (template, row) = text.split_once('\0').unwrap_or((text, "{}"));
    fuzzing::template(template, row);
}

/// Any text is a file of observers in each format, or gets a report that can be shown.
pub fn observer_file(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    for format in [Format::Toml, Format::Yaml, Format::Json] {
        if let Err(report) = ObserverFile::parse("fuzz", text, format) {
            assert!(!report.render(false).is_empty());
        }
    }
}

/// Whatever an HTTP server answers, the client has an answer or an error within its bounds.
pub fn http_head(answer: &[u8]) {
    Peer::with(|peer| peer.http(answer));
}

/// Whatever a mail server says, the client has an answer or an error within its bounds.
pub fn smtp_reply(answer: &[u8]) {
    Peer::with(|peer| peer.smtp(answer));
}

/// Whatever a Redis server replies, the client has an answer or an error within its bounds.
pub fn redis_reply(answer: &[u8]) {
    Peer::with(|peer| peer.redis(answer));
}

/// Whatever a Memcached server replies, the client has an answer or an error within its bounds.
pub fn memcached_reply(answer: &[u8]) {
    Peer::with(|peer| peer.memcached(answer));
}
