//! What the fuzz targets in `host/fuzz` call.

use std::time::{Duration, Instant};

use handlebars::Context;
use serde_json::Value;

pub use crate::egress::fuzzing::Peer;
use crate::{
    calling::cpu::Until,
    templates::{Escaping, Template},
};

const MAX_BYTES: u64 = 64 << 10;

/// Compiles the text as a template of each kind, and renders it over a row.
pub fn template(text: &str, row: &str) {
    let row = serde_json::from_str(row).unwrap_or_else(|_| Value::from(row));
    let context = Context::wraps(row).expect("a JSON value can be written");
    for escaping in Escaping::ALL {
        let Ok(template) = Template::compile(text, escaping) else { continue };
        let until =
            Until::on_this_thread(Instant::now() + Duration::from_secs(5), Duration::from_millis(500));
        if let Ok(rendered) = template.render(until, &context, MAX_BYTES) {
            assert!(rendered.len() as u64 <= MAX_BYTES);
        }
    }
}
