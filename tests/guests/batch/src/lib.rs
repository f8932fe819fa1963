//! Takes several deliveries in one call; what each of them does is in its row, by the template `answer`. It exports
//! `run-batch` without the SDK's help, so that it can give too few results.

use aftercommit_plugin::{
    bindings::batch::exports::aftercommit::action::batch::{Guest, Item},
    prelude::*,
};
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
    /// `done`, `permanent`, `transient`, `throttled`; `trap`, `loop` and `missing` (no result) end the whole call; a number
    /// is how many lines to log.
    answer: template::Text,
}

struct Batch;

impl Plugin for Batch {
    const NAME: &'static str = "batch";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Takes several deliveries in one call";
    type Config = Config;

    fn run(_event: Event, _delivery: Delivery, config: Config) -> Result<Outcome, Failure> {
        answer(&config.answer, "alone").unwrap_or_else(|| std::process::abort())
    }
}

aftercommit_plugin::export!(Batch);

struct Batches;

impl Guest for Batches {
    fn run_batch(items: Vec<Item>) -> Vec<Result<Outcome, Failure>> {
        let count = items.len();
        let of_item = |item: &Item| {
            let config: Config = serde_json::from_str(&item.config).expect("the schema was satisfied");
            let told = format!("{} of {count}, attempt {}", item.event.entity_id, item.delivery.attempt);
            answer(&config.answer, &told)
        };
        items.iter().filter_map(of_item).collect()
    }
}

aftercommit_plugin::bindings::batch::export_batch!(Batches with_types_in aftercommit_plugin::bindings::batch);

/// The result, if there is one.
fn answer(word: &str, told: &str) -> Option<Result<Outcome, Failure>> {
    Some(match word {
        "permanent" => Err(Failure::permanent("told", told)),
        "transient" => Err(Failure::transient("told", told)),
        "throttled" => Err(Failure::throttled("told", told, 70)),
        "trap" => std::process::abort(),
        "loop" => spin(),
        "missing" => return None,
        lines => {
            for _ in 0..lines.parse().unwrap_or(0) {
                log::write(log::Level::Info, told, &[]);
            }
            Ok(Outcome::new(told))
        }
    })
}

fn spin() -> ! {
    let mut turns = 0_u64;
    loop {
        turns = std::hint::black_box(turns.wrapping_add(1));
    }
}
