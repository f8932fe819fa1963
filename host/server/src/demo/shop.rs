//! The shop: an application that knows nothing of aftercommit. It runs as a process of its own.

use std::{path::Path, time::Duration};

use rusqlite::Connection;

/// What the shop does in one run of its process.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Scene {
    /// Makes its table.
    Open,
    /// Takes three orders in one statement.
    Order,
    /// Ships one order, and changes the price of another.
    Ship,
    /// Deletes an order.
    Cancel,
}

impl Scene {
    /// The statements that it commits, each in a transaction of its own.
    pub(super) const fn statements(self) -> &'static [&'static str] {
        match self {
            Self::Open => &[
                "CREATE TABLE orders (id INTEGER PRIMARY KEY, customer TEXT, status TEXT, total DECIMAL(10, 2))",
            ],
            Self::Order => &[
                "INSERT INTO orders VALUES (1, 'Alice', 'pending', 150), (2, 'Bob', 'pending', 20), (3, 'Carol', 'pending', 80)",
            ],
            Self::Ship => &[
                "UPDATE orders SET status = 'shipped' WHERE id = 1",
                "UPDATE orders SET total = 25 WHERE id = 2",
            ],
            Self::Cancel => &["DELETE FROM orders WHERE id = 2"],
        }
    }
}

/// Plays a scene: commits its statements to the shop's database.
pub fn act(database: &Path, scene: Scene) -> rusqlite::Result<()> {
    let connection = Connection::open(database)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    scene.statements().iter().try_for_each(|statement| connection.execute_batch(statement))
}
