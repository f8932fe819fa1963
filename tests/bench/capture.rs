//! What capture costs the application that writes, beside what other ways to record its changes cost it.

mod rates;
mod statement_size;
mod tpcb;
mod way;

use crate::{figure, peers::Peers, postgres::Postgres};

/// Seconds of each run of pgbench; `CAPTURE_SECONDS` in the environment has it otherwise.
const SECONDS: u64 = 4;

pub(crate) async fn measure(server: &Postgres) {
    figure::section("postgres-capture");
    let seconds = std::env::var("CAPTURE_SECONDS").map_or(SECONDS, |seconds| seconds.parse().unwrap());
    rates::measure(server, &Peers::installed(), seconds).await;
    // What a condition in the trigger costs belongs here.
    tpcb::measure(server, seconds).await;
    statement_size::measure(server).await;
}
