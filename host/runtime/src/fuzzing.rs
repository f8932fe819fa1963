//! What the fuzz targets call (`host/fuzz-targets`).

use std::time::{Duration, Instant};

use handlebars::Context;
use serde_json::Value;

pub use crate::egress::fuzzing::Peer;
use crate::{
    calling::cpu::Until,
    templates::{Escaping, Template},
};

const MAX_BYTES: u64 = 64 << 10;
/// Far below what the caller takes for a hang.
const CPU_BUDGET: Duration = Duration::from_millis(50);

/// Compiles the text as a template of a kind that depends on its length, and renders it over a row.
pub fn template(text: &str, row: &str) {
    let row = serde_json::from_str(row).unwrap_or_else(|_| Value::from(row));
    let context = Context::wraps(row).expect("a JSON value can be written");
    let escaping = Escaping::ALL[text.len() % Escaping::ALL.len()];
    let Ok(template) = Template::compile(text, escaping) else { return };
    let until = Until::on_this_thread(Instant::now() + Duration::from_secs(5), CPU_BUDGET);
    if let Ok(rendered) = template.render(until, &context, MAX_BYTES) {
        assert!(rendered.len() as u64 <= MAX_BYTES);
    }
}
