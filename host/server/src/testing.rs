//! In-memory doubles for the tests of programs that embed the library.

use std::collections::VecDeque;

use aftercommit_core::{ActionConfig, EntityEvent};
use async_trait::async_trait;
use parking_lot::{Mutex, MutexGuard};
use uuid::Uuid;

use crate::{
    dead_letter_queue::{DeadLetterQueue, DlqItem},
    error::{Error, Result},
    source::EventSource,
};

/// A dead letter queue in memory.
#[derive(Default, Debug)]
pub struct MockDeadLetterQueue {
    items: Mutex<Vec<DlqItem>>,
}

impl MockDeadLetterQueue {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What is in it, the oldest first.
    #[must_use]
    pub fn items(&self) -> Vec<DlqItem> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<DlqItem>> {
        self.items.lock()
    }
}

fn position(items: &[DlqItem], id: Uuid) -> Result<usize> {
    items
        .iter()
        .position(|item| item.id == id)
        .ok_or_else(|| Error::DlqError { reason: format!("there is no dead letter `{id}`") })
}

#[async_trait]
impl DeadLetterQueue for MockDeadLetterQueue {
    async fn push(&self, event: EntityEvent, action: ActionConfig, error: String) -> Result<Uuid> {
        let id = Uuid::now_v7();
        self.lock().push(DlqItem { id, event, action, error_message: error, attempts: 0 });
        Ok(id)
    }

    async fn get_pending(&self, limit: usize) -> Result<Vec<DlqItem>> {
        Ok(self.lock().iter().take(limit).cloned().collect())
    }

    async fn mark_success(&self, id: Uuid) -> Result<()> {
        let mut items = self.lock();
        let position = position(&items, id)?;
        items.remove(position);
        Ok(())
    }

    async fn mark_retry_failed(&self, id: Uuid, error: &str) -> Result<()> {
        let mut items = self.lock();
        let position = position(&items, id)?;
        let item = &mut items[position];
        item.attempts += 1;
        error.clone_into(&mut item.error_message);
        Ok(())
    }
}

/// Events from memory, in order.
#[derive(Clone, Default, Debug)]
pub struct MockEventSource {
    events: VecDeque<EntityEvent>,
}

impl FromIterator<EntityEvent> for MockEventSource {
    fn from_iter<I: IntoIterator<Item = EntityEvent>>(events: I) -> Self {
        Self { events: events.into_iter().collect() }
    }
}

#[async_trait]
impl EventSource for MockEventSource {
    async fn next_event(&mut self) -> Option<EntityEvent> {
        self.events.pop_front()
    }
}
