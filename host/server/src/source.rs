//! Where an embedding program's events come from.

use aftercommit_core::EntityEvent;
use async_trait::async_trait;

/// A source of events, for programs that embed the library and bring their own.
#[async_trait]
pub trait EventSource: Send {
    /// The next event; `None` when there will be no more.
    async fn next_event(&mut self) -> Option<EntityEvent>;
}
