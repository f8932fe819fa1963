//! Moves the host's dead letters into a queue that the embedding program brings.
//!
//! A dead letter is durable in the host's own queue first, and leaves it when the program's queue has taken it: a crash in
//! between repeats one, and loses none.

use std::{sync::Arc, time::Duration};

use aftercommit_core::{ActionConfig, Clock, DeliveryId, EntityEvent};
use aftercommit_store::{Backend, DeadLetter, DeadLetterFilter, StoreError};
use tokio_util::sync::CancellationToken;

use super::{fatal::Fatal, patience::Patience};
use crate::{
    dead_letter_queue::DeadLetterQueue,
    error::{Error, Result},
};

/// Between two looks at the host's dead letters, while none is refused.
const POLL: Duration = Duration::from_millis(500);

/// Moves a host's dead letters into a queue. Cheap to clone.
#[derive(Clone)]
pub struct DeadLetterDrain {
    store: Arc<dyn Backend>,
    clock: Arc<dyn Clock>,
    fatal: Fatal,
    stop: CancellationToken,
}

impl DeadLetterDrain {
    pub(super) const fn new(
        store: Arc<dyn Backend>,
        clock: Arc<dyn Clock>,
        fatal: Fatal,
        stop: CancellationToken,
    ) -> Self {
        Self { store, clock, fatal, stop }
    }

    /// Moves dead letters until the host stops. One that the queue refuses stays in the host's own queue and is offered again
    /// later, after longer pauses each time; it holds up no other.
    pub async fn run(&self, queue: &dyn DeadLetterQueue) {
        let mut patience = Patience::new("dead letters", &self.fatal);
        loop {
            let pause = match self.drain(queue).await {
                Ok(_) => {
                    patience.reset();
                    POLL
                }
                Err(Error::Database(error)) => patience.failed(&error),
                Err(error) => patience.refused(&error),
            };
            if self.stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                return;
            }
        }
    }

    /// Offers each dead letter of this moment to the queue once, the oldest first, and stops between two when the host stops;
    /// returns how many were moved.
    ///
    /// When the queue refused some, the others are moved all the same, and the error is the first refusal, an
    /// [`Error::DlqError`].
    pub async fn drain(&self, queue: &dyn DeadLetterQueue) -> Result<usize> {
        let (mut moved, mut refused, mut next) = (0, None, Some(None));
        while let Some(after) = next {
            let page = self.store.dead_letter_ids(&DeadLetterFilter::default(), after).await?;
            for id in page.rows {
                if self.stop.is_cancelled() {
                    return refused.map_or(Ok(moved), Err);
                }
                match self.hand_over(id, queue).await {
                    Ok(true) => moved += 1,
                    Ok(false) => {}
                    Err(Error::Database(error)) if error.is_transient() => return Err(error.into()),
                    Err(error) => {
                        refused.get_or_insert(error);
                    }
                }
            }
            next = page.next.map(Some);
        }
        refused.map_or(Ok(moved), Err)
    }

    /// `false` for one that a person has replayed or discarded meanwhile.
    async fn hand_over(&self, id: DeliveryId, queue: &dyn DeadLetterQueue) -> Result<bool> {
        let letter = match self.store.dead_letter(id).await {
            Ok(letter) => letter,
            Err(StoreError::NotFound { .. }) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        let (event, action, error) = taken_apart(letter);
        queue.push(event, action, error).await.map_err(Error::of_queue)?;
        match self.store.discard(vec![id], self.clock.now()).await {
            Ok(_) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }
}

/// What a queue is given. The configuration of an action whose observer was removed is not known; its name and plugin are.
fn taken_apart(letter: DeadLetter) -> (EntityEvent, ActionConfig, String) {
    let DeadLetter { event, action, action_name, action_config, class, code, last_error, .. } = letter;
    let written = serde_json::from_value(action_config).unwrap_or_else(|_| ActionConfig::new(action));
    let named = ActionConfig { name: Some(action_name), ..written };
    (event, named, format!("{class} ({code}): {last_error}"))
}
