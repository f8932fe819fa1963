//! Cases of `Deliveries`.

use aftercommit_core::DeliveryState;

use super::fixture::{Fixture, Target, at, completion, dead, event_id};
use crate::{DeliveryFilter, End};

pub(super) async fn lists_the_live_by_state_and_observer(fixture: Fixture) {
    fixture.emit(1..=3).await;
    let owned = fixture.take(3, &[Target::new("a"), Target::new("b")]).await.owned;
    fixture.complete(&owned[..1], &End::Retry { at: at(9) }).await;
    let list = async |filter: DeliveryFilter| -> Vec<_> {
        let rows = fixture.store.deliveries(DeliveryFilter { limit: 10, ..filter }).await.unwrap();
        rows.into_iter().map(|row| (row.event_id, row.observer, row.status)).collect::<Vec<_>>()
    };
    let all = list(DeliveryFilter::default()).await;
    assert_eq!(all.len(), 6);
    assert!(all.is_sorted_by_key(|row| row.0), "the oldest first");
    let waiting =
        list(DeliveryFilter { state: Some(DeliveryState::Waiting), ..DeliveryFilter::default() }).await;
    assert_eq!(waiting, [(event_id(1), "a".to_owned(), DeliveryState::Waiting)]);
    let running =
        list(DeliveryFilter { state: Some(DeliveryState::Running), ..DeliveryFilter::default() }).await;
    assert_eq!(running.len(), 2);
    let ready_b = list(DeliveryFilter {
        state: Some(DeliveryState::Ready),
        observer: Some("b".into()),
        ..DeliveryFilter::default()
    });
    assert_eq!(ready_b.await.len(), 2);
    let limited =
        fixture.store.deliveries(DeliveryFilter { limit: 2, ..DeliveryFilter::default() }).await.unwrap();
    assert_eq!(limited.len(), 2);
    assert_eq!((limited[0].action.as_str(), limited[0].action_name.as_str()), ("webhook", "hook"));
    assert_eq!((limited[0].max_attempts, limited[0].created_at), (3, at(0)));
}

pub(super) async fn lists_attempts_by_their_code(fixture: Fixture) {
    fixture.emit(1..=3).await;
    let owned = fixture.take(3, &[Target::new("a")]).await.owned;
    let ends = [End::Succeeded, End::Retry { at: at(9) }, dead()];
    let completions = owned.iter().zip(ends).map(|(delivery, end)| completion(delivery, end)).collect();
    fixture.store.complete(fixture.host, completions).await.unwrap();
    let list = async |code: &str, state| -> Vec<_> {
        let filter =
            DeliveryFilter { code: Some(code.to_owned()), state, limit: 10, ..DeliveryFilter::default() };
        let rows = fixture.store.deliveries(filter).await.unwrap();
        rows.into_iter().map(|row| (row.event_id, row.status)).collect::<Vec<_>>()
    };
    let (waiting, dead) = (DeliveryState::Waiting, DeliveryState::Dead);
    assert_eq!(
        list("http_503", None).await,
        [(event_id(3), dead), (event_id(2), waiting)],
        "the newest first"
    );
    assert_eq!(list("http_503", Some(waiting)).await, [(event_id(2), waiting)]);
    assert_eq!(list("http_denied", None).await, []);
}

pub(super) async fn lists_the_ended_from_the_log(fixture: Fixture) {
    fixture.emit(1..=4).await;
    let owned = fixture.take(4, &[Target::new("a")]).await.owned;
    let ends = [End::Succeeded, dead(), End::Failed, End::Succeeded];
    let completions = owned.iter().zip(ends).map(|(delivery, end)| completion(delivery, end)).collect();
    fixture.store.complete(fixture.host, completions).await.unwrap();
    for (state, ids) in [
        (DeliveryState::Succeeded, vec![4, 1]),
        (DeliveryState::Dead, vec![2]),
        (DeliveryState::Failed, vec![3]),
    ] {
        let filter = DeliveryFilter { state: Some(state), limit: 10, ..DeliveryFilter::default() };
        let rows = fixture.store.deliveries(filter).await.unwrap();
        let seen: Vec<_> = rows.iter().map(|row| row.event_id).collect();
        assert_eq!(seen, ids.into_iter().map(event_id).collect::<Vec<_>>(), "{state}, the newest first");
        assert!(rows.iter().all(|row| row.status == state && row.attempts == 1 && row.created_at == at(5)));
        assert!(rows.iter().all(|row| row.last_error.is_none() == (state == DeliveryState::Succeeded)));
    }
}
