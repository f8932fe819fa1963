//! What a row costs by how many one statement changes: it should be the same. In one session, after a statement of a single
//! row: plans that a function keeps for the session are made then.

use std::time::Duration;

use super::statement::{Statement, TABLES};
use crate::{
    delivery::ROUNDS,
    figure::{self, Figure},
    postgres::{self, Client, Postgres, on_thread},
    shop::Shop,
};

const SIZES: [usize; 4] = [1, 100, 10_000, 1_000_000];
/// From this size on, a statement takes seconds: it runs once.
const LARGE: usize = 1_000_000;
const LIMIT: Duration = Duration::from_mins(1);

/// Microseconds a row, of each statement in turn. What was cut is none.
#[derive(Clone)]
struct Costs([Figure; Statement::ALL.len()]);

/// With and without capture, of each size.
pub(super) async fn measure(server: &Postgres) {
    for rows in SIZES {
        let new = || Costs(Statement::ALL.map(|_| Figure::new("µs/row")));
        let (mut plain, mut captured) = (new(), new());
        for _ in 0..if rows < LARGE { ROUNDS } else { 1 } {
            plain.add(costs(server, rows, false).await);
            captured.add(costs(server, rows, true).await);
        }
        for ((statement, plain), captured) in Statement::ALL.iter().zip(&plain.0).zip(&captured.0) {
            let name = format!("captured {}, rows: {rows}", statement.name());
            if captured.is_empty() {
                println!("{name:<46} cut after {} s; plain: {plain}", LIMIT.as_secs());
            } else {
                figure::print(&name, captured, Some(("plain", plain)), None);
            }
        }
    }
}

impl Costs {
    fn add(&mut self, costs: [Option<f64>; Statement::ALL.len()]) {
        for (figure, cost) in self.0.iter_mut().zip(costs) {
            if let Some(cost) = cost {
                figure.add(cost);
            }
        }
    }
}

/// On a new database.
async fn costs(server: &Postgres, rows: usize, is_captured: bool) -> [Option<f64>; Statement::ALL.len()] {
    let shop = Shop::open(server).await;
    let url = shop.url();
    postgres::run(&url, TABLES);
    if is_captured {
        shop.capture(false).await;
        shop.capture_table("order_lines", "OrderLine", &[], false).await;
        shop.capture_log("change_log", false).await;
    }
    let times = on_thread(move || {
        let mut session = Client::connect(&url);
        // What is measured is not the disk.
        session.run("SET synchronous_commit = off");
        session.run(&format!("SET statement_timeout = '{}s'", LIMIT.as_secs()));
        for statement in Statement::ALL {
            unmeasured(&mut session, &statement.before(1));
            session.run(&statement.text(1));
        }
        Statement::ALL.map(|statement| {
            unmeasured(&mut session, &statement.before(rows));
            let time = session.time(&statement.text(rows));
            if time.is_none() {
                // Those that follow need what it does.
                unmeasured(&mut session, &statement.text(rows));
            }
            time
        })
    });
    times.map(|time| time.map(|time| time.as_secs_f64() * 1e6 / rows as f64))
}

/// Runs it without triggers, and as long as it takes.
fn unmeasured(session: &mut Client, statements: &str) {
    session.run("SET session_replication_role = replica; SET statement_timeout = 0");
    session.run(statements);
    session.run(&format!(
        "SET session_replication_role = origin; SET statement_timeout = '{}s'",
        LIMIT.as_secs()
    ));
}
