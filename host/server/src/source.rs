//! Where an embedding program's events come from.

use aftercommit_core::EntityEvent;
use async_trait::async_trait;
use uuid::Uuid;

use crate::error::Error;

/// A source of events, for programs that embed the library and bring their own.
#[async_trait]
pub trait EventSource: Send {
    /// The next event; `None` when there will be no more.
    async fn next_event(&mut self) -> Option<EntityEvent>;

    /// Why there will be no more, if the source failed. Asked for after [`next_event`](Self::next_event) returned `None`.
    fn failure(&mut self) -> Option<Error> {
        None
    }

    /// The event of that id is durable, or was processed: a source that can repeat may forget it. Until then it may be asked for
    /// once more, and an id that is known already makes no second event.
    async fn acknowledge(&mut self, event_id: Uuid) {
        let _ = event_id;
    }
}
