//! pgbench's own transaction, TPC-B: three updates, a query and an insert over four tables.

use crate::{
    delivery::ROUNDS,
    figure::{self, Figure},
    postgres::{Pgbench, Postgres},
    shop::Shop,
};

const SCALE: u32 = 10;

/// Its tables, their entity types and keys. The history has no primary key.
const TABLES: [(&str, &str, &[&str]); 4] = [
    ("pgbench_accounts", "Account", &[]),
    ("pgbench_branches", "Branch", &[]),
    ("pgbench_tellers", "Teller", &[]),
    ("pgbench_history", "History", &["tid", "bid", "aid", "mtime"]),
];

/// Transactions a second with synced commits: plain, and with all tables captured.
pub(super) async fn measure(server: &Postgres, seconds: u64) {
    let new = || Figure::new("/s");
    let (mut plain, mut silent, mut ringing) = (new(), new(), new());
    for _ in 0..ROUNDS {
        plain.add(rate(server, None, seconds).await);
        silent.add(rate(server, Some(false), seconds).await);
        ringing.add(rate(server, Some(true), seconds).await);
    }
    for (way, captured) in [("no doorbell", &silent), ("doorbell", &ringing)] {
        let name = format!("TPC-B, four captured tables, {way}");
        figure::print(&name, captured, Some(("plain", &plain)), Some(">= 60 %"));
    }
}

/// Captured with the doorbell, without it, or not at all.
async fn rate(server: &Postgres, captured: Option<bool>, seconds: u64) -> f64 {
    let shop = Shop::open(server).await;
    let url = shop.url();
    server.fill_tpcb(&url, SCALE);
    if let Some(notify) = captured {
        for (table, entity_type, key) in TABLES {
            shop.capture_table(table, entity_type, key, notify).await;
        }
    }
    let rate = server.pgbench(&url, Pgbench { script: None, seconds, synced: true });
    assert_eq!(shop.waiting().await > 0, captured.is_some());
    rate
}
