//! A source of events and a dead letter queue that the embedding program brings, with a durable host.
//!
//! Events go through the host's inbox: one is acknowledged to its source when it is durable. Dead letters are durable in the
//! host's own queue first, and leave it when the program's queue has taken them: so a crash repeats one rather than lose it.

use std::{sync::Arc, time::Duration};

use aftercommit_core::{ActionConfig, Clock, DeliveryId};
use aftercommit_store::{Backend, DeadLetter, StoreError};
use tokio_util::sync::CancellationToken;

use super::{fatal::Fatal, patience::Patience};
use crate::{
    dead_letter_queue::DeadLetterQueue,
    error::{Error, Result},
    source::EventSource,
};

/// How often the host's dead letters are looked at.
const POLL: Duration = Duration::from_millis(500);
/// Dead letters handed over between two looks.
const BATCH: usize = 100;

/// Puts the events of a source into a host's inbox. Cheap to clone.
#[derive(Clone)]
pub struct Feeder {
    pub(super) store: Arc<dyn Backend>,
    pub(super) fatal: Fatal,
    pub(super) stop: CancellationToken,
}

/// Hands a host's dead letters over to a queue. Cheap to clone.
#[derive(Clone)]
pub struct DeadLetterDrain {
    pub(super) store: Arc<dyn Backend>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) fatal: Fatal,
    pub(super) stop: CancellationToken,
}

impl Feeder {
    /// Takes events until the source has no more or the host stops; returns how many are durable. While the database does not
    /// answer, the event at hand waits. An event whose id is known already was taken before, and is acknowledged too.
    ///
    /// A source that failed is [`Error::ListenerConnectionFailed`]; an event that the database refuses for good is
    /// [`Error::Database`].
    pub async fn feed(&self, source: &mut dyn EventSource) -> Result<usize> {
        let mut count = 0;
        loop {
            let Some(next) = self.stop.run_until_cancelled(source.next_event()).await else {
                return Ok(count);
            };
            let Some(event) = next else { break };
            let id = event.id;
            let mut patience = Patience::new("feed", &self.fatal);
            while let Err(error) = self.store.emit(event.clone()).await {
                match error {
                    StoreError::Exists { .. } => break,
                    error if !error.is_transient() => return Err(error.into()),
                    error => {
                        let wait = tokio::time::sleep(patience.failed(&error));
                        if self.stop.run_until_cancelled(wait).await.is_none() {
                            return Ok(count);
                        }
                    }
                }
            }
            count += 1;
            source.acknowledge(id).await;
        }
        source.failure().map_or(Ok(count), |error| Err(error.of_source()))
    }
}

impl DeadLetterDrain {
    /// Hands over until the host stops. A queue that fails gets the same dead letter again later: until then it stays in the
    /// host's own.
    pub async fn run(&self, queue: &dyn DeadLetterQueue) {
        let mut patience = Patience::new("dead letters", &self.fatal);
        loop {
            let pause = match self.hand_over(queue).await {
                Ok(BATCH) => Duration::ZERO,
                Ok(_) => {
                    patience.reset();
                    POLL
                }
                Err(Error::Database(error)) => patience.failed(&error),
                Err(error) => {
                    tracing::error!(%error, "a dead letter stays in the host's own queue");
                    POLL
                }
            };
            if self.stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                return;
            }
        }
    }

    /// Hands over what is there, at most a hundred; returns how many.
    pub async fn hand_over(&self, queue: &dyn DeadLetterQueue) -> Result<usize> {
        let letters = self.store.dead_letters(BATCH).await?;
        let count = letters.len();
        let mut refused = None;
        // The oldest first. One that the queue does not take holds up no other.
        for letter in letters.into_iter().rev() {
            let id = letter.id;
            let (event, action, error) = taken_apart(letter);
            match queue.push(event, action, error).await {
                Ok(_) => self.discard(id).await?,
                Err(error) => refused = Some(error.of_queue()),
            }
        }
        refused.map_or(Ok(count), Err)
    }

    /// A person may have replayed or discarded it meanwhile.
    async fn discard(&self, id: DeliveryId) -> Result<()> {
        match self.store.discard(vec![id], self.clock.now()).await {
            Ok(_) | Err(StoreError::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// What a queue is given. The action of a delivery whose observer was removed is known by its name only.
fn taken_apart(letter: DeadLetter) -> (aftercommit_core::EntityEvent, ActionConfig, String) {
    let DeadLetter { event, action, action_name, action_config, class, code, last_error, .. } = letter;
    let written = serde_json::from_value(action_config).unwrap_or_else(|_| ActionConfig::new(action));
    let named = ActionConfig { name: Some(action_name), ..written };
    (event, named, format!("{class} ({code}): {last_error}"))
}
