//! Breaks the rules by which values cross the border: text that is not UTF-8, places that are not in its memory, lengths
//! and cases that do not exist. Rust does not let a program do that, so it calls the host's function by hand.

#![expect(unsafe_code, reason = "what it does is what the language forbids")]

use aftercommit_plugin::prelude::*;
use schemars::JsonSchema;
use serde::Deserialize;

/// What to break.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
    #[serde(rename = "do")]
    behaviour: Behaviour,
}

#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Behaviour {
    /// Nothing: writes a line and returns.
    Nothing,
    /// Hands over a text that is not UTF-8.
    NotText,
    /// Returns one.
    ReturnNotText,
    /// A text behind the end of its memory.
    WildPlace,
    /// A text of four gigabytes.
    WildLength,
    /// A list whose elements do not stand where they may.
    Unaligned,
    /// A list of a billion pairs.
    WildList,
    /// A level that does not exist.
    NoSuchCase,
}

#[link(wasm_import_module = "aftercommit:action/log@1.0.0")]
unsafe extern "C" {
    /// `write`, as the canonical ABI flattens it: level, message, fields.
    #[link_name = "write"]
    fn write(level: i32, text: usize, text_bytes: usize, fields: usize, fields_count: usize);
}

struct Abi;

impl Plugin for Abi {
    const NAME: &'static str = "abi";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Breaks the rules of the interface";
    type Config = Config;

    fn run(_event: Event, _delivery: Delivery, config: Config) -> Result<Outcome, Failure> {
        let text = b"a line\xff\xfe";
        let (at, honest) = (text.as_ptr() as usize, text.len() - 2);
        let end = pages() << 16;
        let (level, place, bytes, fields, count) = match config.behaviour {
            Behaviour::Nothing | Behaviour::ReturnNotText => (1, at, honest, 8, 0),
            Behaviour::NotText => (1, at, text.len(), 8, 0),
            Behaviour::WildPlace => (1, end - 4, 8, 8, 0),
            Behaviour::WildLength => (1, at, usize::MAX, 8, 0),
            Behaviour::Unaligned => (1, at, honest, 9, 1),
            Behaviour::WildList => (1, at, honest, 8, 1 << 30),
            Behaviour::NoSuchCase => (99, at, honest, 8, 0),
        };
        // SAFETY: none, on purpose; the host checks all of it.
        unsafe { write(level, place, bytes, fields, count) };
        let summary = match config.behaviour {
            // SAFETY: none, on purpose.
            Behaviour::ReturnNotText => unsafe { String::from_utf8_unchecked(text.to_vec()) },
            _ => "done".to_owned(),
        };
        Ok(Outcome::new(summary))
    }
}

aftercommit_plugin::export!(Abi);

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
