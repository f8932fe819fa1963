//! Cases of `Events`.

use aftercommit_core::{DeliveryState, EntityEvent, EventKind};
use serde_json::{Map, json};
use uuid::Uuid;

use super::fixture::{Fixture, Target, at, completion, dead, event, event_id};
use crate::{AttemptRecord, DeliveryFilter, End, EventFilter, StoreError};

pub(super) async fn emits_and_shows(fixture: Fixture) {
    let event = EntityEvent::at(event_id(1), at(1), EventKind::Custom, "Order", "7", json!({"n": 1}));
    fixture.store.emit(event.clone()).await.unwrap();
    let history = fixture.store.event(event.id).await.unwrap();
    assert_eq!((history.event, history.in_inbox), (event, true));
    assert!(history.deliveries.is_empty() && history.attempts.is_empty());
    assert_eq!(fixture.store.inbox_len().await.unwrap(), 1);
}

pub(super) async fn lists_the_newest_first_by_filter(fixture: Fixture) {
    fixture.emit(1..=3).await;
    let other = EntityEvent::at(event_id(4), at(4), EventKind::Deleted, "Customer", "1", json!({}));
    fixture.store.emit(other).await.unwrap();
    let list = async |filter: EventFilter| -> Vec<_> {
        fixture.store.events(filter).await.unwrap().iter().map(|event| event.id).collect()
    };
    let all = EventFilter { limit: 10, ..EventFilter::default() };
    assert_eq!(list(all.clone()).await, [4, 3, 2, 1].map(event_id));
    assert_eq!(list(EventFilter { limit: 2, ..all.clone() }).await, [4, 3].map(event_id));
    assert_eq!(
        list(EventFilter { entity_type: Some("Order".into()), ..all.clone() }).await,
        [3, 2, 1].map(event_id)
    );
    assert_eq!(list(EventFilter { entity_id: Some("1".into()), ..all.clone() }).await, [4, 1].map(event_id));
    assert_eq!(list(EventFilter { event_kind: Some(EventKind::Deleted), ..all }).await, [4].map(event_id));
}

/// The events that a filter wants, in pages; `between` runs after the first.
async fn in_pages(fixture: &Fixture, filter: &EventFilter, between: impl AsyncFnOnce()) -> Vec<Vec<Uuid>> {
    let (mut after, mut pages, mut between) = (None, Vec::new(), Some(between));
    loop {
        let page = fixture.store.events_page(filter, after).await.unwrap();
        pages.push(page.rows.iter().map(|event| event.id).collect::<Vec<_>>());
        let Some(next) = page.next else { return pages };
        after = Some(next);
        if let Some(between) = between.take() {
            between().await;
        }
    }
}

pub(super) async fn lists_each_event_once_while_intake_takes_them(fixture: Fixture) {
    fixture.emit(1..=7).await;
    let filter = EventFilter { limit: 2, ..EventFilter::default() };
    let expected = [7, 6, 5, 4, 3, 2, 1].map(event_id);
    let untouched = in_pages(&fixture, &filter, async || ()).await;
    assert_eq!(untouched.concat(), expected);
    // The oldest ones are taken first, then all, and others come.
    let some = in_pages(&fixture, &filter, async || drop(fixture.take_up_to(3, 0, &[]).await)).await;
    assert_eq!(some.concat(), expected);
    let all = async || {
        fixture.take(0, &[]).await;
        fixture.emit(8..=9).await;
    };
    let pages = in_pages(&fixture, &filter, all).await;
    assert_eq!(pages.concat(), expected);
    assert!(pages.iter().all(|page| page.len() <= 2), "{pages:?}");
    assert_eq!(in_pages(&fixture, &filter, async || ()).await.concat().len(), 9);
}

/// Numbers are what is bounded, so that a gap shows it.
pub(super) async fn a_page_looks_at_a_bounded_number_of_events(fixture: Fixture) {
    fixture.emit(1..=4).await;
    fixture.take(0, &[]).await;
    let apart = "UPDATE observer_events SET seq = seq + 50000 WHERE entity_id IN ('3', '4')";
    fixture.database.sql(apart).await;
    let first = EventFilter { entity_id: Some("1".into()), limit: 10, ..EventFilter::default() };
    let page = fixture.store.events_page(&first, None).await.unwrap();
    assert_eq!((page.rows.len(), page.looked_back_to), (0, Some(at(4))));
    let page = fixture.store.events_page(&first, page.next).await.unwrap();
    assert_eq!((page.rows.len(), page.looked_back_to), (1, Some(at(2))), "the gap is passed over at once");
    assert_eq!(fixture.store.events(first).await.unwrap().len(), 1);
}

pub(super) async fn a_page_of_large_events_is_short(fixture: Fixture) {
    for number in 1..=5 {
        let data = json!({"body": "x".repeat(3 << 20)});
        let event = EntityEvent::at(event_id(number), at(number), EventKind::Created, "Order", "7", data);
        fixture.store.emit(event).await.unwrap();
    }
    let filter = EventFilter { limit: 100, ..EventFilter::default() };
    let sizes =
        async || in_pages(&fixture, &filter, async || ()).await.iter().map(Vec::len).collect::<Vec<_>>();
    let waiting = sizes().await;
    fixture.take(0, &[]).await;
    for sizes in [waiting, sizes().await] {
        assert_eq!(sizes.iter().sum::<usize>(), 5);
        assert!(sizes.iter().all(|size| *size <= 2), "{sizes:?}");
    }
}

pub(super) async fn refuses_an_id_that_is_taken(fixture: Fixture) {
    fixture.emit([1]).await;
    let error = fixture.store.emit(event(1)).await.unwrap_err();
    assert!(matches!(&error, StoreError::Exists { name, .. } if *name == event_id(1).to_string()), "{error}");
    assert_eq!(fixture.store.inbox_len().await.unwrap(), 1);
}

pub(super) async fn shows_what_became_of_an_event(fixture: Fixture) {
    fixture.emit(1..=2).await;
    let taken = fixture.take(2, &[Target::new("a"), Target::new("b")]).await;
    fixture.complete(&taken.owned[..1], &End::Succeeded).await;
    fixture.complete(&taken.owned[1..], &End::Retry { at: at(9) }).await;
    let history = fixture.store.event(event_id(1)).await.unwrap();
    assert!(!history.in_inbox);
    let deliveries: Vec<_> =
        history.deliveries.iter().map(|row| (row.observer.as_str(), row.status, row.attempts)).collect();
    assert_eq!(deliveries, [("b", DeliveryState::Waiting, 1), ("a", DeliveryState::Succeeded, 1)]);
    assert!(history.deliveries.iter().all(|row| row.event_id == event_id(1)));
    assert_eq!(history.deliveries[1].id, taken.owned[0].id);
    let attempts: Vec<_> =
        history.attempts.iter().map(|row| (row.observer.as_str(), row.status.as_str())).collect();
    assert_eq!(attempts, [("a", "succeeded"), ("b", "waiting")]);
}

pub(super) async fn an_end_is_shown_until_its_delivery_is_live_again(fixture: Fixture) {
    let ids = fixture.bury([1]).await;
    let statuses = async || -> Vec<_> {
        let history = fixture.store.event(event_id(1)).await.unwrap();
        history.deliveries.iter().map(|row| (row.id, row.status, row.last_error.is_some())).collect()
    };
    assert_eq!(statuses().await, [(ids[0], DeliveryState::Dead, true)]);
    fixture.store.replay(ids.clone(), at(7)).await.unwrap();
    assert_eq!(statuses().await.iter().map(|row| row.1).collect::<Vec<_>>(), [DeliveryState::Ready]);
}

pub(super) async fn details_of_an_attempt_are_shown(fixture: Fixture) {
    fixture.emit([1]).await;
    let owned = fixture.take(1, &[Target::new("a")]).await.owned;
    let mut completion = completion(&owned[0], End::Succeeded);
    let details = Some(r#"{"task":12.50}"#);
    completion.record.message = AttemptRecord::message_of("indexed", details, Map::new());
    fixture.store.complete(fixture.host, vec![completion]).await.unwrap();
    let attempts = fixture.store.event(event_id(1)).await.unwrap().attempts;
    let details = serde_json::to_string(&attempts[0].details).unwrap();
    assert_eq!((attempts[0].message.as_str(), details.as_str()), ("indexed", r#"{"task":12.50}"#));
}

pub(super) async fn what_was_denied_an_attempt_that_succeeded_is_listed(fixture: Fixture) {
    fixture.emit([1, 2, 3]).await;
    let owned = fixture.take(3, &[Target::new("a")]).await.owned;
    let mut denied = completion(&owned[0], End::Succeeded);
    let of_host = AttemptRecord::denied(vec!["https://b.example/: not granted".to_owned()], 2);
    denied.record.message = AttemptRecord::message_of("sent", Some(r#"{"task":12.50}"#), of_host);
    denied.record.code = Some(AttemptRecord::DENIED.to_owned());
    // What a plugin says of itself is no denial.
    let mut plain = completion(&owned[1], End::Succeeded);
    plain.record.message = AttemptRecord::message_of("sent", Some(r#"{"denied":["x"]}"#), Map::new());
    let failed = completion(&owned[2], dead());
    fixture.store.complete(fixture.host, vec![denied, plain, failed]).await.unwrap();

    let told = Some("denied: https://b.example/: not granted");
    let filter = DeliveryFilter { limit: 10, ..DeliveryFilter::default() };
    let by_code = DeliveryFilter { code: Some(AttemptRecord::DENIED.to_owned()), ..filter.clone() };
    let listed = fixture.store.deliveries(by_code).await.unwrap();
    let listed: Vec<_> = listed.iter().map(|row| (row.id, row.status, row.last_error.as_deref())).collect();
    assert_eq!(listed, [(owned[0].id, DeliveryState::Succeeded, told)]);
    let by_state = DeliveryFilter { state: Some(DeliveryState::Succeeded), ..filter };
    let listed = fixture.store.deliveries(by_state).await.unwrap();
    let mut listed: Vec<_> = listed.iter().map(|row| row.last_error.as_deref()).collect();
    listed.sort_unstable();
    assert_eq!(listed, [None, told]);
    for (n, last_error) in [(1, told), (2, None)] {
        let history = fixture.store.event(event_id(n)).await.unwrap();
        assert_eq!(history.deliveries[0].last_error.as_deref(), last_error);
    }
    let attempt = &fixture.store.event(event_id(1)).await.unwrap().attempts[0];
    assert_eq!((attempt.status.as_str(), attempt.code.as_deref()), ("succeeded", Some("denied")));
    let details = serde_json::to_string(&attempt.details).unwrap();
    assert_eq!(details, r#"{"task":12.50,"denied":["https://b.example/: not granted"],"denied_more":2}"#);
}

pub(super) async fn an_unknown_event_is_an_error(fixture: Fixture) {
    let error = fixture.store.event(event_id(1)).await.unwrap_err();
    assert!(matches!(error, StoreError::NotFound { what: "event", .. }), "{error}");
}
