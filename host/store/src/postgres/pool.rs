//! The connections to one server: made when they are needed, kept while they are used now and then.
//!
//! The driver has a pool of its own. It asks each connection that comes back whether it still stands, and waits for the
//! answer as long as the network lets it: a cut that nobody tells of takes all places of that pool for a quarter of an
//! hour. Here a connection comes back only when nothing is open on it, and nothing is asked; one that did not answer in
//! time is closed. What a question would find, the next transaction finds, and is run again.

use std::{
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use parking_lot::{Mutex, MutexGuard};
use sqlx::{Connection as _, PgConnection};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use super::{encoding::Encoding, entry::Entry};

/// A connection that was not used for so long is closed: it is not needed, and may not stand any more.
const IDLE: Duration = Duration::from_mins(5);

/// The connections of one process to one server.
pub(super) struct Pool {
    entry: Entry,
    /// How long to wait for a place, and then for a connection.
    patience: Duration,
    /// As many permits as there may be connections.
    places: Arc<Semaphore>,
    idle: Mutex<Vec<(PgConnection, Instant)>>,
    /// How the database stores texts; known after the first look.
    encoding: OnceLock<Encoding>,
}

/// A connection in use. Dropping it closes it; [`Pool::put_back`] keeps it.
pub(super) struct Taken {
    pub(super) connection: PgConnection,
    /// Whether it was in use before: then it may have ended since, and nobody noticed.
    pub(super) used: bool,
    place: OwnedSemaphorePermit,
}

impl Pool {
    pub(super) fn new(entry: Entry, connections: u32, patience: Duration) -> Self {
        let places = Arc::new(Semaphore::new(usize::try_from(connections.max(1)).unwrap_or(usize::MAX)));
        Self { entry, patience, places, idle: Mutex::default(), encoding: OnceLock::new() }
    }

    /// How the database stores texts.
    pub(super) fn encoding(&self) -> Encoding {
        self.encoding.get().copied().unwrap_or(Encoding::Utf8)
    }

    /// Notes it.
    pub(super) fn stores(&self, encoding: Encoding) {
        let _ = self.encoding.set(encoding);
    }

    /// One that is kept, or a new one.
    pub(super) async fn take(&self) -> sqlx::Result<Taken> {
        let place = Arc::clone(&self.places).acquire_owned();
        let place = timeout(self.patience, place).await.map_err(|_| sqlx::Error::PoolTimedOut)?;
        let place = place.map_err(|_| sqlx::Error::PoolClosed)?;
        if let Some(connection) = self.kept() {
            return Ok(Taken { connection, used: true, place });
        }
        let connection = timeout(self.patience, self.entry.connect()).await;
        let connection = connection.map_err(|_| sqlx::Error::PoolTimedOut)??;
        Ok(Taken { connection, used: false, place })
    }

    /// The one that was used last, so that the others grow old.
    fn kept(&self) -> Option<PgConnection> {
        let mut idle = self.idle();
        idle.retain(|(_, since)| since.elapsed() < IDLE);
        idle.pop().map(|(connection, _)| connection)
    }

    /// Keeps a connection on which nothing is open.
    pub(super) fn put_back(&self, taken: Taken) {
        let Taken { connection, place, .. } = taken;
        if !self.places.is_closed() {
            self.idle().push((connection, Instant::now()));
        }
        drop(place);
    }

    /// Closes those that are not in use; the others when they come back.
    pub(super) async fn close(&self) {
        self.places.close();
        let idle = std::mem::take(&mut *self.idle());
        for (connection, _) in idle {
            // The server also notices by itself.
            let _ = timeout(self.patience, connection.close()).await;
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<(PgConnection, Instant)>> {
        self.idle.lock()
    }
}
