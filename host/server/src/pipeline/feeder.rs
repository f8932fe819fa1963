//! Puts the events of a source that the embedding program brings into the host's inbox.
//!
//! An event is acknowledged to its source when it is durable. A source that repeats what it did not see acknowledged loses
//! nothing, and what it repeats is made once, since ids of events are unique.

use std::sync::Arc;

use aftercommit_core::EntityEvent;
use aftercommit_store::{Backend, StoreError};
use tokio_util::sync::CancellationToken;

use super::{fatal::Fatal, patience::Patience};
use crate::{error::Result, source::EventSource};

/// Puts the events of a source into a host's inbox. Cheap to clone.
#[derive(Clone)]
pub struct Feeder {
    store: Arc<dyn Backend>,
    fatal: Fatal,
    stop: CancellationToken,
}

impl Feeder {
    pub(super) const fn new(store: Arc<dyn Backend>, fatal: Fatal, stop: CancellationToken) -> Self {
        Self { store, fatal, stop }
    }

    /// Takes events until the source has no more or the host stops; returns how many are durable. While the database does not
    /// answer, the event at hand waits. An event whose id is known already was taken before, and is acknowledged too.
    ///
    /// When the host stops, a call of [`next_event`](EventSource::next_event) that waits is dropped.
    ///
    /// A source that failed is [`Error::ListenerConnectionFailed`](crate::Error); an event that the database refuses for good is
    /// [`Error::Database`](crate::Error), and is not acknowledged.
    pub async fn feed(&self, source: &mut dyn EventSource) -> Result<usize> {
        let mut count = 0;
        while let Some(next) = self.stop.run_until_cancelled(source.next_event()).await {
            let Some(event) = next else {
                return source.failure().map_or(Ok(count), |error| Err(error.of_source()));
            };
            let id = event.id;
            if !self.put(event).await? {
                break;
            }
            source.acknowledge(id).await;
            count += 1;
        }
        Ok(count)
    }

    /// Puts one event into the inbox; `false` when the host stopped before that.
    async fn put(&self, event: EntityEvent) -> Result<bool> {
        let mut patience = Patience::new("feed", &self.fatal);
        loop {
            let error = match self.store.emit(event.clone()).await {
                Ok(()) | Err(StoreError::Exists { .. }) => return Ok(true),
                Err(error) => error,
            };
            if !error.is_transient() {
                self.fatal.look_at(&error);
                return Err(error.into());
            }
            let pause = patience.failed(&error);
            if self.stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                return Ok(false);
            }
        }
    }
}
