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

pub(super) async fn lists_page_by_page(fixture: Fixture) {
    fixture.emit(1..=4).await;
    let owned = fixture.take(4, &[Target::new("a"), Target::new("b")]).await.owned;
    fixture.complete(&owned, &End::Retry { at: at(9) }).await;
    for state in [None, Some(DeliveryState::Waiting)] {
        let whole =
            fixture.store.deliveries(DeliveryFilter { state, limit: 100, ..DeliveryFilter::default() });
        let whole: Vec<_> = whole.await.unwrap().iter().map(|row| row.id).collect();
        let filter = DeliveryFilter { state, limit: 3, ..DeliveryFilter::default() };
        let (mut after, mut found) = (None, Vec::new());
        loop {
            let page = fixture.store.deliveries_page(&filter, after).await.unwrap();
            assert!(page.rows.len() <= 3);
            found.extend(page.rows.iter().map(|row| row.id));
            let Some(next) = page.next else { break };
            after = Some(next);
        }
        assert_eq!(found, whole, "{state:?}");
    }
}

/// Numbers are what is bounded, so that a gap shows it.
pub(super) async fn a_page_looks_at_a_bounded_number_of_attempts(fixture: Fixture) {
    fixture.emit(1..=3).await;
    let owned = fixture.take(3, &[Target::new("a")]).await.owned;
    let ends = [dead(), End::Succeeded, End::Succeeded];
    let completions = owned.iter().zip(ends).map(|(delivery, end)| completion(delivery, end)).collect();
    fixture.store.complete(fixture.host, completions).await.unwrap();
    fixture
        .database
        .sql("UPDATE tb_observer_log SET pk_log = pk_log + 50000 WHERE status = 'succeeded'")
        .await;
    let filter = DeliveryFilter { state: Some(DeliveryState::Dead), limit: 10, ..DeliveryFilter::default() };
    let page = fixture.store.deliveries_page(&filter, None).await.unwrap();
    assert_eq!((page.rows.len(), page.looked_back_to), (0, Some(at(5))));
    let page = fixture.store.deliveries_page(&filter, page.next).await.unwrap();
    assert_eq!(page.rows[0].event_id, event_id(1), "the gap is passed over at once");
    assert_eq!(fixture.store.deliveries(filter).await.unwrap().len(), 1);
}
