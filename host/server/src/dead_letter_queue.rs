//! Where an embedding program keeps actions that failed for good.

use aftercommit_core::{ActionConfig, EntityEvent};
use async_trait::async_trait;
use uuid::Uuid;

use crate::error::Result;

/// A dead letter queue, for programs that embed the library and bring their own.
#[async_trait]
pub trait DeadLetterQueue: Send + Sync {
    /// Keeps an action that failed for good; returns the item's id.
    async fn push(&self, event: EntityEvent, action: ActionConfig, error: String) -> Result<Uuid>;

    /// Up to `limit` items, the oldest first.
    async fn get_pending(&self, limit: usize) -> Result<Vec<DlqItem>>;

    /// A replay of the item succeeded: it is removed.
    async fn mark_success(&self, id: Uuid) -> Result<()>;

    /// A replay of the item failed: it stays, with the new error.
    async fn mark_retry_failed(&self, id: Uuid, error: &str) -> Result<()>;
}

/// An action that failed for good.
#[derive(Clone, PartialEq, Debug)]
pub struct DlqItem {
    /// Names the item.
    pub id: Uuid,
    /// The event.
    pub event: EntityEvent,
    /// The action as written.
    pub action: ActionConfig,
    /// The last error.
    pub error_message: String,
    /// How often it was replayed without success.
    pub attempts: u32,
}
