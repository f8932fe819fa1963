//! Measures what `docs/performance.md` tells of. `cargo xtask bench [FILTER]` runs the sections whose name contains
//! FILTER; the whole takes a few minutes.
//!
//! Every figure is printed beside its reference, taken in the same run and by turns with it, and beside its target.
//! Nothing is asserted on time: a machine that is busy, or slow, fails no build. That everything was delivered is
//! asserted.

#![expect(clippy::unwrap_used, reason = "a measurement that can not be made ends")]
#![expect(clippy::cast_precision_loss, reason = "figures are rounded far below the precision of f64")]

mod boundary;
mod capture;
mod condition;
mod database;
mod delivery;
mod endurance;
mod figure;
mod hot;
mod matching;
mod memory;
mod peers;
mod plugin;
mod postgres;
mod receiver;
mod sample;
mod shop;
mod sqlite;
mod start;
mod webhook;
mod write_lock;

use postgres::Postgres;

/// This argument makes the program the receiver that the others send to.
const RECEIVE: &str = "--receive";

/// A section.
const POSTGRES_HOT: &str = "postgres-hot";

/// The allocator of the host's program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    // cargo passes `--bench`.
    let filter = std::env::args().skip(1).find(|argument| argument != "--bench").unwrap_or_default();
    if filter == RECEIVE {
        return receiver::serve();
    }
    let wanted = |name: &str| name.contains(&filter);
    if wanted("condition") {
        condition::measure();
    }
    if wanted("matching") {
        matching::measure();
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        if wanted("plugin") {
            plugin::measure().await;
        }
        if wanted("webhook") {
            webhook::measure().await;
        }
        if wanted("boundary") {
            boundary::measure().await;
        }
        if wanted("neighbours") {
            boundary::measure_neighbours().await;
        }
        if wanted("sqlite") {
            sqlite::measure().await;
        }
        if wanted("hot") {
            hot::measure("hot", &sqlite::Sqlite).await;
        }
        if wanted("write-lock") {
            write_lock::measure().await;
        }
        // Asked for by name: it needs a server's programs.
        let (rates, minutes, hot) =
            (wanted("postgres-rates"), wanted("postgres-minutes"), wanted(POSTGRES_HOT));
        if !filter.is_empty() && (rates || minutes || (hot && filter.starts_with("postgres"))) {
            let server = Postgres::start();
            if hot {
                hot::measure(POSTGRES_HOT, &server).await;
            }
            if rates {
                postgres::measure(&server).await;
            }
            if minutes {
                endurance::measure(&server).await;
            }
        }
        if !filter.is_empty() && [capture::RATES, capture::TPCB, capture::STATEMENTS].into_iter().any(wanted)
        {
            capture::measure(wanted).await;
        }
        if wanted("start") {
            start::measure().await;
        }
    });
}
