//! What capture costs the application that writes, beside what other ways to record its changes cost it.

mod rates;
mod statement;
mod statement_size;
mod tpcb;
mod way;

use crate::{figure, peers::Peers, postgres::Postgres};

/// Seconds of each run of pgbench; `CAPTURE_SECONDS` in the environment has it otherwise.
const SECONDS: u64 = 4;

/// The parts are sections, so that each can be asked for by name.
pub(crate) const RATES: &str = "postgres-capture-rates";
pub(crate) const TPCB: &str = "postgres-capture-tpcb";
pub(crate) const STATEMENTS: &str = "postgres-capture-statements";

/// Measures the parts that are `wanted`, on a server of their own: what others left is none of these figures.
pub(crate) async fn measure(wanted: impl Fn(&str) -> bool) {
    let server = Postgres::start();
    let seconds = std::env::var("CAPTURE_SECONDS").map_or(SECONDS, |seconds| seconds.parse().unwrap());
    if wanted(RATES) {
        figure::section(RATES);
        rates::measure(&server, &Peers::installed(), seconds).await;
    }
    if wanted(TPCB) {
        figure::section(TPCB);
        tpcb::measure(&server, seconds).await;
    }
    if wanted(STATEMENTS) {
        figure::section(STATEMENTS);
        statement_size::measure(&server).await;
    }
}
