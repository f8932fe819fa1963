//! What the whole path is measured on: fresh databases with a table of orders, and the application that writes to them.

/// Where fresh databases come from.
pub(crate) trait Server {
    /// A database with an empty table `orders`, and nothing else.
    fn fresh(&self) -> Box<dyn Database>;
}

/// A database. It is gone when it is dropped.
pub(crate) trait Database: Send + Sync {
    /// As the host's configuration names it.
    fn url(&self) -> String;

    /// A connection of the application.
    fn connect(&self) -> Box<dyn Application>;
}

/// A connection of the application. Blocks its thread, which is none that drives futures.
pub(crate) trait Application: Send {
    /// Inserts rows in one transaction.
    fn insert_many(&mut self, rows: usize);

    /// Inserts a row in a transaction of its own; returns its key.
    fn insert_one(&mut self) -> u64;

    /// The count that a statement selects.
    fn count(&mut self, statement: &str) -> usize;
}
