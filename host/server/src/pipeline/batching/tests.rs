//! Who runs with whom.

use aftercommit_core::{ActionConfig, DeliveryId, Losses, ObserverDefinition, SystemClock};
use aftercommit_runtime::{EnvSecrets, Runtime, RuntimeSettings};

use super::*;
use crate::{plugins::Catalog, sample};

/// An action of an observer that tries three times.
async fn action() -> Arc<Action> {
    let runtime =
        Runtime::new(RuntimeSettings::default(), Arc::new(EnvSecrets), Arc::new(SystemClock)).unwrap();
    let mut definition = ObserverDefinition::new("watcher");
    let batch = Some(aftercommit_core::BatchConfig::default());
    definition.actions.push(ActionConfig { batch, ..ActionConfig::new("none") });
    // Its plugin does not exist: nothing here runs it.
    Arc::new(Action::prepare(&definition, 0, &Catalog::new(runtime, [])).await)
}

fn member() -> Member {
    let event = sample::event();
    let id = DeliveryId::of(event.id, "watcher", "none");
    let info = DeliveryInfo { id, attempt: 1, max_attempts: 3 };
    Member { event: Arc::new(PreparedEvent::new(event.as_ref().clone())), info, tell: oneshot::channel().0 }
}

#[tokio::test]
async fn a_full_batch_is_closed_and_the_next_is_another() {
    let (batches, action) = (Batches::default(), action().await);
    let first = batches.join(&action, 2, member()).expect("the first opens it");
    assert!(batches.join(&action, 2, member()).is_none());
    first.full.notified().await;
    let second = batches.join(&action, 2, member()).expect("the first of another");
    assert!(!Arc::ptr_eq(&first, &second));
    assert_eq!(batches.close(&first).len(), 2);
    assert!(batches.join(&action, 3, member()).is_none(), "the second is still open");
    assert_eq!(batches.close(&second).len(), 2);
    assert!(batches.join(&action, 2, member()).is_some(), "it was closed before it was full");
}

#[tokio::test]
async fn a_changed_definition_starts_another_batch() {
    let batches = Batches::default();
    let (before, after) = (action().await, action().await);
    let old = batches.join(&before, 10, member()).expect("the first");
    let new = batches.join(&after, 10, member()).expect("the first");
    assert!(batches.join(&before, 10, member()).is_none());
    assert_eq!((batches.close(&old).len(), batches.close(&new).len()), (2, 1));
}

#[tokio::test]
async fn a_batch_of_one_is_full_at_once() {
    let (batches, action) = (Batches::default(), action().await);
    let only = batches.join(&action, 1, member()).expect("the first");
    only.full.notified().await;
    assert!(batches.join(&action, 1, member()).is_some());
}

#[tokio::test]
async fn the_last_of_several_attempts_and_a_suspect_run_alone() {
    let action = action().await;
    let event = sample::event();
    let delivery = |attempt, attempts_before| ClaimedDelivery {
        id: DeliveryId::of(event.id, "watcher", "none"),
        event: Arc::clone(&event),
        observer: "watcher".into(),
        action: "none".into(),
        action_type: "none".into(),
        attempt,
        attempts_before,
        losses: Losses::default(),
        event_bytes: 0,
        ordering_key: None,
    };
    let gathered = |action: &Action| [1, 2, 3].map(|attempt| is_gathered(&delivery(attempt, 0), action));
    let mut action = Arc::into_inner(action).unwrap();
    action.policy.retry.max_attempts = 3;
    assert_eq!(gathered(&action), [true, true, false]);
    assert!(is_gathered(&delivery(4, 3), &action), "a replay begins anew");
    let mut suspect = delivery(2, 0);
    suspect.losses = suspect.losses.with_host(false);
    assert!(!is_gathered(&suspect, &action), "its host died: nobody else is to be in its call");
    action.policy.retry.max_attempts = 1;
    assert!(gathered(&action)[0], "the only attempt has no other");
    action.policy.retry.max_attempts = 3;
    action.written.batch = None;
    assert_eq!(gathered(&action), [false; 3]);
}
