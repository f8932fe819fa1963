//! Cases of `DeadLetters`.

use aftercommit_core::{DeliveryId, ObserverDefinition};
use uuid::Uuid;

use super::fixture::{Fixture, action_as_written, at, dead, event, event_id, numbers};
use crate::{End, RetentionLimits, StoreError};

pub(super) async fn keeps_its_own_copy_of_event_and_action(fixture: Fixture) {
    let ids = fixture.bury([1]).await;
    let item = fixture.store.dead_letter(ids[0]).await.unwrap();
    assert_eq!((item.id, item.event_id, &item.event), (ids[0], event_id(1), &event(1)));
    assert_eq!(
        (item.observer.as_str(), item.action.as_str(), item.action_name.as_str()),
        ("watcher", "webhook", "hook")
    );
    assert_eq!((item.status, item.attempts, item.max_attempts), ("dead", 1, 3));
    assert_eq!(
        (item.class.as_str(), item.code.as_str(), item.http_status),
        ("transient", "http_503", Some(503))
    );
    assert_eq!(
        (item.last_error.as_str(), item.action_config),
        ("the receiver is \"busy\"", action_as_written())
    );
    assert_eq!(item.died_at, at(5).plus(std::time::Duration::from_micros(1500)));
    assert!(fixture.live().await.is_empty());
    let error = fixture.store.dead_letter(DeliveryId(Uuid::nil())).await.unwrap_err();
    assert!(matches!(error, StoreError::NotFound { what: "dead letter", .. }), "{error}");
}

pub(super) async fn replays_with_a_new_round_of_attempts(fixture: Fixture) {
    let ids = fixture.bury(1..=2).await;
    assert_eq!(fixture.store.replay(Some(vec![ids[0]]), at(20)).await.unwrap(), [ids[0]]);
    assert_eq!(fixture.store.dead_letters(10).await.unwrap().len(), 1, "exactly the one");
    let live = fixture.live().await;
    assert_eq!((live.len(), live[0].id, live[0].attempts, live[0].max_attempts), (1, ids[0], 1, 4));
    let claimed = fixture.claim(10, at(20)).await;
    assert_eq!((claimed[0].attempt, claimed[0].attempts_before, claimed[0].round_attempt()), (2, 1, 1));
    assert_eq!(*claimed[0].event, event(1));
    assert!(claimed[0].event_bytes >= event(1).data.to_string().len(), "{}", claimed[0].event_bytes);
    let history = fixture.store.history(ids[0]).await.unwrap();
    let [entry] = &history[..] else { panic!("one entry: {history:?}") };
    assert_eq!((entry.id, entry.what.as_str(), entry.attempts, entry.at), (ids[0], "replayed", 1, at(20)));
    assert_eq!(entry.last_error, "the receiver is \"busy\"");
}

pub(super) async fn replays_all(fixture: Fixture) {
    assert_eq!(fixture.store.replay(None, at(1)).await.unwrap(), []);
    let mut ids = fixture.bury(1..=3).await;
    assert_eq!(fixture.store.dead_letter_ids().await.unwrap(), ids, "in the order of their events");
    let mut replayed = fixture.store.replay(None, at(20)).await.unwrap();
    ids.sort();
    replayed.sort();
    assert_eq!(replayed, ids);
    assert!(fixture.store.dead_letters(10).await.unwrap().is_empty());
    assert_eq!(numbers(&fixture.claim(10, at(20)).await), [1, 2, 3]);
}

pub(super) async fn replays_all_or_none(fixture: Fixture) {
    let ids = fixture.bury([1]).await;
    let unknown = DeliveryId(Uuid::from_u128(42));
    let error = fixture.store.replay(Some(vec![ids[0], unknown]), at(20)).await.unwrap_err();
    assert!(matches!(&error, StoreError::NotFound { name, .. } if *name == unknown.to_string()), "{error}");
    assert_eq!(fixture.store.dead_letters(10).await.unwrap().len(), 1);
    assert!(fixture.live().await.is_empty());
    assert!(fixture.store.history(ids[0]).await.unwrap().is_empty());
    let twice = fixture.store.replay(Some(vec![ids[0], ids[0]]), at(20)).await.unwrap();
    assert_eq!((twice, fixture.live().await.len()), (ids.clone(), 1), "named twice, it is made once");
    assert!(fixture.store.replay(Some(ids), at(21)).await.is_err(), "it is no item any more");
}

pub(super) async fn restores_an_event_that_was_dropped(fixture: Fixture) {
    let ids = fixture.bury(1..=2).await;
    let limits = RetentionLimits { events_before: at(1000), log_before: at(0), batch: 100 };
    assert_eq!(fixture.store.purge(limits).await.unwrap().events, 2);
    assert_eq!(fixture.store.dead_letter(ids[0]).await.unwrap().event, event(1), "it has its own copy");
    fixture.store.replay(Some(vec![ids[0]]), at(20)).await.unwrap();
    assert_eq!(fixture.store.event(event_id(1)).await.unwrap().event, event(1));
    assert!(fixture.store.event(event_id(2)).await.is_err());
    assert_eq!(fixture.store.inbox_len().await.unwrap(), 0, "it is not matched again");
    assert_eq!(numbers(&fixture.claim(10, at(20)).await), [1]);
}

pub(super) async fn a_replayed_one_can_die_again(fixture: Fixture) {
    let ids = fixture.bury([1]).await;
    for round in 1..=3_u32 {
        fixture.store.replay(Some(ids.clone()), at(20)).await.unwrap();
        let claimed = fixture.claim(10, at(20)).await;
        assert_eq!((claimed[0].attempt, claimed[0].attempts_before), (round + 1, round));
        fixture.complete(&claimed, &dead()).await;
        assert_eq!(fixture.store.dead_letter(ids[0]).await.unwrap().attempts, round + 1);
    }
    assert_eq!(fixture.store.history(ids[0]).await.unwrap().len(), 3);
    fixture.store.replay(Some(ids.clone()), at(20)).await.unwrap();
    let claimed = fixture.claim(10, at(20)).await;
    fixture.complete(&claimed, &End::Succeeded).await;
    assert!(fixture.store.dead_letters(10).await.unwrap().is_empty() && fixture.live().await.is_empty());
}

pub(super) async fn a_replay_of_a_disabled_observer_waits(fixture: Fixture) {
    fixture.store.apply(vec![ObserverDefinition::new("watcher")], false, false, at(0)).await.unwrap();
    let ids = fixture.bury([1]).await;
    fixture.store.set_enabled("watcher", false, at(1)).await.unwrap();
    fixture.store.replay(Some(ids), at(20)).await.unwrap();
    assert_eq!(fixture.claim(10, at(20)).await.len(), 0);
    fixture.store.apply(Vec::new(), true, false, at(21)).await.unwrap();
    assert_eq!(
        fixture.claim(10, at(21)).await.len(),
        1,
        "a removed observer's deliveries are claimed and ended"
    );
}

pub(super) async fn discards_with_history(fixture: Fixture) {
    let ids = fixture.bury(1..=3).await;
    let unknown = DeliveryId(Uuid::from_u128(42));
    assert!(fixture.store.discard(vec![ids[0], unknown], at(20)).await.is_err());
    assert_eq!(fixture.store.dead_letters(10).await.unwrap().len(), 3, "all or none");
    assert_eq!(fixture.store.discard(ids[..2].to_vec(), at(20)).await.unwrap(), 2);
    let left = fixture.store.dead_letters(10).await.unwrap();
    assert_eq!(left.iter().map(|item| item.id).collect::<Vec<_>>(), ids[2..]);
    assert_eq!(fixture.store.history(ids[0]).await.unwrap()[0].what, "discarded");
    assert!(fixture.live().await.is_empty());
}
