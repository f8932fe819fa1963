//! What a row costs by how many one statement changes: it should be the same. In one session, after a statement of a single
//! row: plans that a function keeps for the session are made then.

use std::time::Duration;

use crate::{
    delivery::ROUNDS,
    figure::{self, Figure},
    postgres::{Client, Postgres, on_thread},
    shop::Shop,
};

const SIZES: [usize; 4] = [1, 100, 10_000, 1_000_000];
/// From this size on, a statement takes seconds: it runs once.
const LARGE: usize = 1_000_000;
const LIMIT: Duration = Duration::from_mins(1);

const OPERATIONS: [&str; 3] = ["INSERT", "UPDATE", "DELETE"];

/// Microseconds a row, of each operation in turn, with and without capture. What was cut is none.
#[derive(Clone)]
struct Costs([Figure; OPERATIONS.len()]);

pub(super) async fn measure(server: &Postgres) {
    for rows in SIZES {
        let new = || Costs(OPERATIONS.map(|_| Figure::new("µs/row")));
        let (mut plain, mut captured) = (new(), new());
        for _ in 0..if rows < LARGE { ROUNDS } else { 1 } {
            plain.add(costs(server, rows, false).await);
            captured.add(costs(server, rows, true).await);
        }
        for ((operation, plain), captured) in OPERATIONS.iter().zip(&plain.0).zip(&captured.0) {
            let name = format!("captured {operation}, rows: {rows}");
            if captured.is_empty() {
                println!("{name:<46} cut after {} s; plain: {plain}", LIMIT.as_secs());
            } else {
                figure::print(&name, captured, Some(("plain", plain)), None);
            }
        }
    }
}

impl Costs {
    fn add(&mut self, costs: [Option<f64>; OPERATIONS.len()]) {
        for (figure, cost) in self.0.iter_mut().zip(costs) {
            if let Some(cost) = cost {
                figure.add(cost);
            }
        }
    }
}

/// On a new database. A delete after an update that was cut deletes rows all the same: the update was undone.
async fn costs(server: &Postgres, rows: usize, captured: bool) -> [Option<f64>; OPERATIONS.len()] {
    let shop = Shop::open(server).await;
    if captured {
        shop.capture(false).await;
    }
    let url = shop.url();
    let times = on_thread(move || {
        let mut session = Client::connect(&url);
        // What is measured is not the disk.
        session.run("SET synchronous_commit = off");
        session.run(&format!("SET statement_timeout = '{}s'", LIMIT.as_secs()));
        for operation in OPERATIONS {
            session.run(&statement(operation, 1));
        }
        OPERATIONS.map(|operation| {
            let time = session.time(&statement(operation, rows));
            if time.is_none() && operation == "INSERT" {
                // The others need rows.
                session.run("ALTER TABLE orders DISABLE TRIGGER USER");
                session.run("SET statement_timeout = 0");
                session.run(&statement(operation, rows));
                session.run(&format!("SET statement_timeout = '{}s'", LIMIT.as_secs()));
                session.run("ALTER TABLE orders ENABLE TRIGGER USER");
            }
            time
        })
    });
    times.map(|time| time.map(|time| time.as_secs_f64() * 1e6 / rows as f64))
}

/// The table is empty before the insert, and after the delete.
fn statement(operation: &str, rows: usize) -> String {
    match operation {
        "INSERT" => format!(
            "INSERT INTO orders (customer, country, status, total, note)
             SELECT 'customer ' || i, 'AT', 'pending', i + 0.25, 'a note of ordinary length for order ' || i
             FROM generate_series(1, {rows}) AS i"
        ),
        "UPDATE" => "UPDATE orders SET status = 'paid', total = total + 1".to_owned(),
        _ => "DELETE FROM orders".to_owned(),
    }
}
