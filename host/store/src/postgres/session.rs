//! A connection in use, within a transaction or not.

use std::{marker::PhantomData, sync::Arc, time::Duration};

use sqlx::{AssertSqlSafe, Executor as _, PgConnection, postgres::PgRow};
use tokio::time::{error::Elapsed, timeout};

use super::{
    failure,
    pool::{Pool, Taken},
};
use crate::Result;

/// A connection in use. Dropping it undoes what was not committed, and returns it, or closes it if something is in
/// flight on it.
///
/// `'a` is what the work of a transaction may borrow: it lives longer than each run of the work.
pub(super) struct Session<'a> {
    pool: Arc<Pool>,
    /// Until it is dropped.
    taken: Option<Taken>,
    /// How long to wait for each answer.
    patience: Duration,
    keeps_statements: bool,
    in_transaction: bool,
    /// A question was sent and not answered.
    waits: bool,
    borrowed: PhantomData<&'a ()>,
}

impl Session<'_> {
    /// A connection outside of transactions.
    pub(super) async fn take(
        pool: &Arc<Pool>,
        patience: Duration,
        keeps_statements: bool,
    ) -> sqlx::Result<Self> {
        let taken = Some(pool.take().await?);
        let pool = Arc::clone(pool);
        Ok(Self {
            pool,
            taken,
            patience,
            keeps_statements,
            in_transaction: false,
            waits: false,
            borrowed: PhantomData,
        })
    }

    /// Opens a transaction, by the statements that do so.
    pub(super) async fn begin(&mut self, statements: &str) -> sqlx::Result<()> {
        self.in_transaction = true;
        self.send(statements).await
    }

    /// Whether the connection was used before.
    pub(super) fn is_used(&self) -> bool {
        self.taken.as_ref().is_some_and(|taken| taken.used)
    }

    pub(super) async fn commit(mut self, name: &'static str) -> Result<()> {
        self.run(name, "COMMIT").await?;
        self.in_transaction = false;
        Ok(())
    }

    /// Undoes what was done in the transaction; the connection stays good for another.
    pub(super) async fn roll_back(mut self) {
        if !self.waits && self.send("ROLLBACK").await.is_ok() {
            self.in_transaction = false;
        }
    }

    /// Runs statements that can not take arguments. Names in them are quoted; errors carry `name`.
    pub(super) async fn run(&mut self, name: &'static str, statements: &str) -> Result<()> {
        self.send(statements).await.map_err(|error| failure::of_step(name, &error))
    }

    /// Runs such statements; the caller makes an error of it.
    pub(super) async fn send(&mut self, statements: &str) -> sqlx::Result<()> {
        let patience = self.patience;
        let run = sqlx::raw_sql(AssertSqlSafe(statements));
        let answer = timeout(patience, self.asks().execute(run)).await;
        self.answered(answer).map(|_| ())
    }

    /// The text with characters replaced that the database can not store.
    pub(super) fn storable(&self, text: &str) -> String {
        self.pool.encoding().storable(text)
    }

    /// The text of a JSON value, with escapes for characters that the database can not store.
    pub(super) fn storable_json(&self, value: &serde_json::Value) -> String {
        self.pool.encoding().storable_json(value)
    }

    /// Runs a statement that was put together by this program, and reads its rows. Names and values in it are quoted.
    pub(super) async fn query(&mut self, name: &'static str, statement: String) -> Result<Vec<PgRow>> {
        let patience = self.patience;
        let query = sqlx::query(AssertSqlSafe(statement)).persistent(false);
        let answer = timeout(patience, query.fetch_all(self.asks())).await;
        self.answered(answer).map_err(|error| failure::of_step(name, &error))
    }

    /// How long to wait for each answer.
    pub(super) const fn patience(&self) -> Duration {
        self.patience
    }

    /// The connection, for a question whose answer is given to [`answered`](Self::answered).
    pub(super) fn asks(&mut self) -> &mut PgConnection {
        self.waits = true;
        match &mut self.taken {
            Some(taken) => &mut taken.connection,
            None => unreachable!("taken until the session is dropped"),
        }
    }

    /// What came of the question.
    pub(super) fn answered<T>(
        &mut self,
        answer: std::result::Result<sqlx::Result<T>, Elapsed>,
    ) -> sqlx::Result<T> {
        let answer = answer.unwrap_or_else(|_| Err(failure::silent(self.patience)));
        // After other errors than those of the server nobody knows where the conversation is.
        self.waits = answer.as_ref().is_err_and(|error| error.as_database_error().is_none());
        answer
    }

    /// Whether statements stay prepared for the next call. Behind a pooler that would be another server's session.
    pub(super) const fn keeps_statements(&self) -> bool {
        self.keeps_statements
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        let Some(taken) = self.taken.take().filter(|_| !self.waits) else { return };
        if !self.in_transaction {
            return self.pool.put_back(taken);
        }
        // Reading is over, or the work was given up. Without a runtime the connection is closed.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (pool, patience) = (Arc::clone(&self.pool), self.patience);
        runtime.spawn(async move {
            let mut taken = taken;
            let rolled_back = taken.connection.execute(sqlx::raw_sql("ROLLBACK"));
            if timeout(patience, rolled_back).await.is_ok_and(|done| done.is_ok()) {
                pool.put_back(taken);
            }
        });
    }
}
