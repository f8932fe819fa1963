//! Lists, page by page. One request reads few rows, few bytes and a bounded part of a table; the next one goes on behind the key where it
//! ended. So a list takes the memory of a page, and no statement or transaction is open while somebody reads what was printed: it
//! would hold back vacuum, and the checkpoint of SQLite.

use aftercommit_core::Timestamp;

use crate::{Result, row::Row};

/// Rows of a page, at most.
pub const MAX_ROWS: usize = 500;

/// A page ends with the row that brings it to so many bytes: a row may be large.
pub(crate) const MAX_BYTES: usize = 4 << 20;

/// Numbers of rows that one request looks at for those that a filter wants. There is no index for most filters, since each event and each
/// attempt would pay for it.
const MAX_LOOKED_AT: i64 = 20_000;

/// Some rows of a list, in its order.
#[derive(Clone, Debug)]
pub struct Page<T, P> {
    /// The rows: also none, where a filter wants none of those that were looked at.
    pub rows: Vec<T>,
    /// Where the next page begins; `None` when the list has ended.
    pub next: Option<P>,
    /// How far back a list with the newest rows first was looked through, where its filter has no index.
    pub looked_back_to: Option<Timestamp>,
}

impl<T, P> Page<T, P> {
    pub(crate) const fn new(rows: Vec<T>, next: Option<P>) -> Self {
        Self { rows, next, looked_back_to: None }
    }
}

/// What a statement found for a page, in its order.
#[derive(Debug)]
pub(crate) struct Found<R> {
    pub(crate) records: Vec<R>,
    /// Whether others may be behind them.
    pub(crate) has_more: bool,
}

impl<R> Found<R> {
    /// The last one, if others may be behind it.
    pub(crate) fn cut_at(&self) -> Option<&R> {
        self.records.last().filter(|_| self.has_more)
    }
}

/// The numbers that one request looks at, downwards.
#[derive(Debug)]
pub(crate) struct Window {
    /// The highest.
    pub(crate) first: i64,
    /// Below the lowest.
    pub(crate) end: i64,
}

impl Window {
    /// From the highest number that is there: numbers have gaps.
    pub(crate) const fn from(first: i64) -> Self {
        Self { first, end: first.saturating_sub(MAX_LOOKED_AT) }
    }

    /// Where the next page begins: below the last record, if others may be behind it, and else below the window. `number` is the column.
    pub(crate) fn next<R: Row>(&self, found: &Found<R>, number: &'static str) -> Result<i64> {
        found.cut_at().map_or(Ok(self.end + 1), |last| last.integer(number))
    }
}

/// Rows of a page for a list of so many.
pub(crate) const fn rows(limit: usize) -> usize {
    if limit < MAX_ROWS { limit } else { MAX_ROWS }
}

/// A list as a whole, which is put together page by page: for those that are known to be short.
#[derive(Debug)]
pub(crate) struct Whole<T, P> {
    limit: usize,
    rows: Vec<T>,
    after: Option<P>,
    has_ended: bool,
}

impl<T, P: Clone> Whole<T, P> {
    pub(crate) const fn new(limit: usize) -> Self {
        Self { limit, rows: Vec::new(), after: None, has_ended: limit == 0 }
    }

    /// Whether there may be more of it.
    pub(crate) const fn goes_on(&self) -> bool {
        !self.has_ended
    }

    /// Where its next page begins.
    pub(crate) fn after(&self) -> Option<P> {
        self.after.clone()
    }

    pub(crate) fn add(&mut self, page: Page<T, P>) {
        self.rows.extend(page.rows);
        self.rows.truncate(self.limit);
        self.has_ended = page.next.is_none() || self.rows.len() == self.limit;
        self.after = page.next;
    }

    pub(crate) fn rows(self) -> Vec<T> {
        self.rows
    }
}
