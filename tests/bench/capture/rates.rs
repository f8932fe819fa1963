//! Four clients of pgbench: single rows and 200 rows a statement, with commits that wait for the disk and that do not.

use super::way::Way;
use crate::{
    delivery::ROUNDS,
    figure::{self, Figure},
    peers::Peers,
    postgres::{self, INSERT_ONE, Pgbench, Postgres},
    shop::Shop,
};

const INSERT_200: &str = "INSERT INTO orders (customer, country, status, total, note)
    SELECT 'customer ' || i, 'AT', 'pending', i + 0.25, 'a note of ordinary length for order ' || i
    FROM generate_series(1, 200) AS i";

/// Rows of which each of the four clients changes its own quarter: none waits for another's.
const ROWS: &str = "INSERT INTO orders (customer, country, status, total, note)
    SELECT 'customer ' || i, 'AT', 'pending', i + 0.25, 'a note of ordinary length for order ' || i
    FROM generate_series(1, 40000) AS i";
const UPDATE_ONE: &str = "\\set id random(1, 10000) + :client_id * 10000
    UPDATE orders SET status = 'paid', total = total + 1 WHERE id = :id;";
const UPDATE_200: &str = "\\set id random(1, 9801) + :client_id * 10000
    UPDATE orders SET status = 'paid', total = total + 1 WHERE id BETWEEN :id AND :id + 199;";

/// A transaction of one statement.
struct Statement {
    name: &'static str,
    script: &'static str,
    /// Rows that it changes.
    rows: usize,
    /// What capture without the doorbell and with it should reach of the trigger that was written by hand.
    targets: [&'static str; 2],
}

const STATEMENTS: [Statement; 4] = [
    Statement { name: "insert of a row", script: INSERT_ONE, rows: 1, targets: [">= 110 %", ">= 95 %"] },
    Statement { name: "update of a row", script: UPDATE_ONE, rows: 1, targets: [">= 110 %", ">= 95 %"] },
    Statement { name: "insert of 200 rows", script: INSERT_200, rows: 200, targets: [">= 120 %"; 2] },
    Statement { name: "update of 200 rows", script: UPDATE_200, rows: 200, targets: [">= 120 %"; 2] },
];

/// Rows a second, by turns in each way.
pub(super) async fn measure(server: &Postgres, peers: &Peers, seconds: u64) {
    for synced in [true, false] {
        for statement in &STATEMENTS {
            let mut figures = Way::ALL.map(|_| Figure::new("rows/s"));
            let run = Pgbench { script: Some(statement.script), seconds, synced };
            for _ in 0..ROUNDS {
                for (way, figure) in Way::ALL.into_iter().zip(&mut figures) {
                    if let Some(rate) = rate(server, peers, way, run).await {
                        figure.add(rate * statement.rows as f64);
                    }
                }
            }
            print(statement, synced, &figures);
        }
    }
}

/// Transactions a second on a new database.
async fn rate(server: &Postgres, peers: &Peers, way: Way, run: Pgbench<'_>) -> Option<f64> {
    let shop = Shop::open(server).await;
    let url = shop.url();
    postgres::run(&url, ROWS);
    if !way.begin(&shop, peers).await {
        return None;
    }
    let rate = server.pgbench(&url, run);
    way.check(&shop).await;
    Some(rate)
}

fn print(statement: &Statement, synced: bool, figures: &[Figure; Way::ALL.len()]) {
    let [plain, by_hand, silent, listening, ringing, unwanted, graphile] = figures;
    let name = format!("{}, {}", statement.name, if synced { "synced" } else { "not synced" });
    let beside_plain = Some(("plain", plain));
    let beside_by_hand = Some(("trigger by hand", by_hand));
    figure::print(&format!("{name}: trigger by hand"), by_hand, beside_plain, None);
    for (way, captured, target) in [
        ("no doorbell", silent, Some(statement.targets[0])),
        ("doorbell", listening, Some(statement.targets[1])),
        ("a host sleeps", ringing, None),
        ("a condition that is false", unwanted, None),
    ] {
        figure::print(&format!("{name}: captured, {way}"), captured, beside_by_hand, target);
        figure::print("the same", captured, beside_plain, None);
    }
    if !graphile.is_empty() {
        figure::print(&format!("{name}: Graphile Worker's add_job"), graphile, beside_plain, None);
    }
}
