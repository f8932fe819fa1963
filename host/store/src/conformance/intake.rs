//! Cases of `Intake`.

use std::{collections::HashSet, sync::Arc, time::Duration};

use aftercommit_core::{DeliveryState, EntityEvent, HostFailure, ObserverDefinition};

use super::fixture::{Fixture, Target, at, event_id, numbers};
use crate::{DeliveryFilter, Plan, Planned, TakeRequest};

pub(super) async fn takes_in_order_and_says_whether_there_is_more(fixture: Fixture) {
    fixture.emit(1..=3).await;
    assert_eq!(fixture.store.inbox_len().await.unwrap(), 3);
    let first = fixture.take_up_to(2, 10, &[Target::new("watcher")]).await;
    assert_eq!((first.events, first.more, numbers(&first.owned)), (2, true, vec![1, 2]));
    let second = fixture.take_up_to(2, 10, &[Target::new("watcher")]).await;
    assert_eq!((second.events, second.more, numbers(&second.owned)), (1, false, vec![3]));
    let third = fixture.take_up_to(2, 10, &[Target::new("watcher")]).await;
    assert_eq!((third.events, third.more), (0, false));
    assert_eq!(fixture.store.inbox_len().await.unwrap(), 0);
}

pub(super) async fn owns_the_first_and_leaves_the_rest_ready(fixture: Fixture) {
    fixture.emit(1..=3).await;
    let taken = fixture.take(4, &[Target::new("a"), Target::new("b")]).await;
    let owned: Vec<_> = taken.owned.iter().map(|d| (d.event.entity_id.as_str(), &*d.observer)).collect();
    assert_eq!(owned, [("1", "a"), ("1", "b"), ("2", "a"), ("2", "b")]);
    assert!(taken.owned.iter().all(|delivery| delivery.attempt == 1 && delivery.attempts_before == 0));
    assert_eq!(taken.ready, 2);
    let states: Vec<_> = fixture.live().await.into_iter().map(|row| (row.status, row.attempts)).collect();
    assert_eq!(states[..4], [(DeliveryState::Running, 1); 4]);
    assert_eq!(states[4..], [(DeliveryState::Ready, 0); 2]);
}

pub(super) async fn never_owns_what_is_on_hold(fixture: Fixture) {
    fixture.emit([1]).await;
    let held = Target { hold: true, ..Target::new("slow") };
    let taken = fixture.take(10, &[held, Target::new("quick")]).await;
    assert_eq!(taken.owned.iter().map(|d| &*d.observer).collect::<Vec<_>>(), ["quick"]);
    assert_eq!(taken.ready, 1);
    assert_eq!(fixture.claim(10, at(0)).await.len(), 1, "what was held can be claimed");
}

pub(super) async fn leaves_alone_a_delivery_that_exists(fixture: Fixture) {
    fixture.emit([1]).await;
    let taken = fixture.take(10, &[Target::new("a")]).await;
    fixture.database.sql("INSERT INTO observer_inbox (event_seq) SELECT seq FROM observer_events").await;
    let again = fixture.take(10, &[Target::new("a"), Target::new("b")]).await;
    assert_eq!(again.owned.iter().map(|d| &*d.observer).collect::<Vec<_>>(), ["b"]);
    assert_eq!((again.events, again.ready), (1, 0));
    fixture.complete(&taken.owned, &crate::End::Succeeded).await;
}

pub(super) async fn puts_aside_what_is_no_event_and_goes_on(fixture: Fixture) {
    fixture.capture_things().await;
    fixture.database.sql("INSERT INTO things VALUES (1, '7'), (2, NULL), (3, '8')").await;
    let taken = fixture.take(10, &[Target::new("watcher")]).await;
    assert_eq!((taken.events, numbers(&taken.owned)), (2, vec![7, 8]));
    let [(id, reason)] = &taken.quarantined[..] else {
        panic!("one row is no event: {:?}", taken.quarantined)
    };
    assert!(reason.contains("key"), "{reason}");
    let rows = fixture.store.quarantined(10).await.unwrap();
    assert_eq!((rows.len(), &rows[0].event_id), (1, &id.to_string()));
    assert_eq!((rows[0].entity_type.as_deref(), &rows[0].reason), (Some("Thing"), reason));
    assert_eq!(rows[0].quarantined_at, at(0));
    assert_eq!(fixture.store.inbox_len().await.unwrap(), 0);
}

pub(super) async fn logs_conditions_that_could_not_be_evaluated(fixture: Fixture) {
    fixture.emit([1]).await;
    let broken = Target { error: true, ..Target::new("broken") };
    let taken = fixture.take(10, &[broken, Target::new("sound")]).await;
    assert_eq!((taken.condition_errors, taken.owned.len()), (1, 1));
    let attempts = fixture.store.event(event_id(1)).await.unwrap().attempts;
    let [row] = &attempts[..] else { panic!("one row: {attempts:?}") };
    assert_eq!(
        (row.status.as_str(), row.observer.as_str(), row.delivery_id),
        ("condition_error", "broken", None)
    );
    assert_eq!(row.code.as_deref(), Some(HostFailure::ConditionError.code()));
    assert_eq!((row.action.as_deref(), row.started_at), (None, at(0)));
    assert!(row.message.contains("compared"), "{}", row.message);
}

pub(super) async fn makes_nothing_for_an_event_nobody_wants(fixture: Fixture) {
    fixture.emit([1]).await;
    let taken = fixture.take(10, &[]).await;
    assert_eq!((taken.events, taken.ready, taken.owned.len()), (1, 0, 0));
    assert!(fixture.live().await.is_empty());
}

struct Panics;

impl Plan for Panics {
    fn plan(&self, _: &EntityEvent) -> Planned {
        panic!("scripted: the host ends in the middle of intake");
    }
}

pub(super) async fn undoes_everything_when_it_does_not_end(fixture: Fixture) {
    fixture.emit(1..=2).await;
    let request = TakeRequest {
        host: fixture.host,
        limit: 10,
        max_bytes: usize::MAX,
        own: 10,
        own_bytes: usize::MAX,
        now: at(0),
    };
    let store = Arc::clone(&fixture.store);
    let failed = tokio::spawn(async move { store.take(request, Arc::new(Panics)).await.map(|_| ()) }).await;
    assert!(failed.is_err(), "the plan panics");
    assert_eq!(fixture.store.inbox_len().await.unwrap(), 2);
    assert_eq!(numbers(&fixture.take(10, &[Target::new("watcher")]).await.owned), [1, 2]);
}

pub(super) async fn leaves_deliveries_of_a_disabled_observer_ready(fixture: Fixture) {
    let definition = ObserverDefinition { enabled: false, ..ObserverDefinition::new("asleep") };
    fixture.store.apply(vec![definition], false, false, at(0)).await.unwrap();
    fixture.emit([1]).await;
    let taken = fixture.take(10, &[Target::new("asleep"), Target::new("awake")]).await;
    assert_eq!(taken.owned.iter().map(|d| &*d.observer).collect::<HashSet<_>>(), HashSet::from(["awake"]));
    assert_eq!(fixture.claim(10, at(0)).await.len(), 0);
    let filter = DeliveryFilter { observer: Some("asleep".into()), limit: 10, ..DeliveryFilter::default() };
    let waiting = fixture.store.deliveries(filter).await.unwrap();
    assert_eq!(waiting.iter().map(|row| row.status).collect::<Vec<_>>(), [DeliveryState::Ready]);
}

pub(super) async fn hears_a_commit(fixture: Fixture) {
    // Long enough for any machine; a bell that does not ring fails.
    const GUARD: Duration = Duration::from_secs(30);
    let second = fixture.database.second_store().await;
    let store = Arc::clone(&fixture.store);
    let host = fixture.host;
    let waiting = tokio::spawn(async move {
        // It may return for nothing.
        while store.inbox_len().await.unwrap() == 0 {
            store.doorbell(host, GUARD * 2).await;
        }
    });
    second.emit(super::fixture::event(1)).await.unwrap();
    tokio::time::timeout(GUARD, waiting).await.expect("the bell rings").unwrap();
}
