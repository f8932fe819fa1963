//! Cases of `Hosts`: heartbeat and takeover.

use std::{collections::HashSet, time::Duration};

use aftercommit_core::{DeliveryId, DeliveryState};

use super::fixture::{Fixture, Target, at, completion, event_id, numbers};
use crate::{ClaimRequest, ClaimedDelivery, End, TakenOver};

const LEASE: Duration = Duration::from_secs(30);

pub(super) async fn enters_renews_and_lists(fixture: Fixture) {
    fixture.store.register(fixture.host, "box:1", at(0)).await.unwrap();
    fixture.store.register(fixture.other, "box:2", at(1)).await.unwrap();
    assert!(fixture.store.heartbeat(fixture.host, at(7)).await.unwrap());
    let hosts = fixture.store.hosts().await.unwrap();
    let seen: Vec<_> = hosts.iter().map(|h| (h.id, h.name.as_str(), h.started_at, h.heartbeat_at)).collect();
    assert_eq!(seen, [(fixture.host, "box:1", at(0), at(7)), (fixture.other, "box:2", at(1), at(1))]);
    assert!(!fixture.store.heartbeat(crate::HostId::random(), at(8)).await.unwrap(), "it was never entered");
}

pub(super) async fn says_who_lives_and_what_they_have_loaded(fixture: Fixture) {
    fixture.store.register(fixture.host, "box:1", at(0)).await.unwrap();
    fixture.store.register(fixture.other, "box:2", at(20)).await.unwrap();
    let seen = async |now| {
        let hosts = fixture.store.live_hosts(at(now), LEASE).await.unwrap();
        hosts.into_iter().map(|host| (host.id, host.revision)).collect::<Vec<_>>()
    };
    assert_eq!(seen(21).await, [(fixture.host, None), (fixture.other, None)]);
    fixture.store.report_loaded(fixture.host, 7, Vec::new(), at(21)).await.unwrap();
    assert_eq!(seen(21).await, [(fixture.host, Some(7)), (fixture.other, None)]);
    fixture.store.heartbeat(fixture.host, at(22)).await.unwrap();
    fixture.store.report_loaded(fixture.other, 8, Vec::new(), at(22)).await.unwrap();
    assert_eq!(seen(51).await, [(fixture.host, Some(7))], "the other is silent");
    fixture.store.take_over(at(51), LEASE).await.unwrap();
    fixture.store.report_loaded(fixture.other, 9, Vec::new(), at(51)).await.unwrap();
    fixture.store.register(fixture.other, "box:2", at(52)).await.unwrap();
    assert_eq!(seen(52).await, [(fixture.host, Some(7)), (fixture.other, None)], "it says so again");
}

/// A host of this database that runs three deliveries.
async fn running(fixture: &Fixture) -> Vec<ClaimedDelivery> {
    fixture.store.register(fixture.host, "box:1", at(0)).await.unwrap();
    fixture.emit(1..=3).await;
    fixture.take(3, &[Target::new("watcher")]).await.owned
}

pub(super) async fn takes_over_after_the_lease_and_not_before(fixture: Fixture) {
    running(&fixture).await;
    fixture.store.register(fixture.other, "box:2", at(25)).await.unwrap();
    assert_eq!(fixture.store.take_over(at(30), LEASE).await.unwrap(), TakenOver::default());
    let taken = fixture.store.take_over(at(31), LEASE).await.unwrap();
    assert_eq!(taken, TakenOver { hosts: vec![fixture.host], deliveries: 3 });
    assert_eq!(fixture.store.hosts().await.unwrap().len(), 1);
    assert!(
        !fixture.store.heartbeat(fixture.host, at(32)).await.unwrap(),
        "it learns that it was taken for dead"
    );
    let claimed = fixture.claim_lost(fixture.other, at(32)).await;
    assert_eq!(numbers(&claimed), [1, 2, 3]);
}

pub(super) async fn refuses_completions_of_a_host_that_was_taken_over(fixture: Fixture) {
    let owned = running(&fixture).await;
    fixture.store.take_over(at(60), LEASE).await.unwrap();
    let late = |index: usize| vec![completion(&owned[index], End::Succeeded)];
    assert_eq!(fixture.store.complete(fixture.host, late(0)).await.unwrap().stale, [owned[0].id], "freed");
    assert_eq!(fixture.claim_lost(fixture.other, at(60)).await.len(), 3);
    assert_eq!(
        fixture.store.complete(fixture.host, late(1)).await.unwrap().stale,
        [owned[1].id],
        "of another"
    );
    fixture.store.register(fixture.host, "box:1", at(61)).await.unwrap();
    assert_eq!(
        fixture.store.complete(fixture.host, late(2)).await.unwrap().stale,
        [owned[2].id],
        "entered again"
    );
    assert_eq!(fixture.live().await.len(), 3);
}

pub(super) async fn a_lost_attempt_is_logged(fixture: Fixture) {
    running(&fixture).await;
    fixture.store.take_over(at(60), LEASE).await.unwrap();
    let live = fixture.live().await;
    assert!(live.iter().all(|row| (row.status, row.attempts) == (DeliveryState::Ready, 1)), "{live:?}");
    assert!(live.iter().all(|row| row.last_error.is_some()), "{live:?}");
    let attempts = fixture.store.event(event_id(1)).await.unwrap().attempts;
    assert_eq!(
        attempts.iter().map(|row| (row.attempt, row.status.as_str())).collect::<Vec<_>>(),
        [(1, "lost")]
    );
    assert_eq!(fixture.claim_lost(fixture.other, at(60)).await[0].attempt, 2);
}

pub(super) async fn a_host_that_retires_owns_nothing(fixture: Fixture) {
    running(&fixture).await;
    fixture.store.retire(fixture.host).await.unwrap();
    assert!(fixture.store.hosts().await.unwrap().is_empty());
    assert_eq!(fixture.store.claim(ClaimRequest::new(fixture.other, 10, at(1))).await.unwrap().len(), 3);
    fixture.store.retire(fixture.host).await.unwrap();
}

pub(super) async fn frees_deliveries_of_hosts_that_are_not_entered(fixture: Fixture) {
    let owned = running(&fixture).await;
    fixture.store.take_over(at(60), LEASE).await.unwrap();
    // It does not know yet, goes on claiming, and then dies.
    assert_eq!(fixture.claim_lost(fixture.host, at(60)).await.len(), owned.len());
    let taken = fixture.store.take_over(at(61), LEASE).await.unwrap();
    assert_eq!(taken, TakenOver { hosts: vec![], deliveries: 3 });
}

pub(super) async fn a_host_can_enter_again(fixture: Fixture) {
    running(&fixture).await;
    fixture.store.take_over(at(60), LEASE).await.unwrap();
    fixture.store.register(fixture.host, "box:1", at(61)).await.unwrap();
    assert!(fixture.store.heartbeat(fixture.host, at(62)).await.unwrap());
    assert_eq!(fixture.claim_lost(fixture.host, at(62)).await.len(), 3);
    assert_eq!(fixture.store.take_over(at(63), LEASE).await.unwrap(), TakenOver::default());
}

fn known(deliveries: &[ClaimedDelivery]) -> HashSet<(DeliveryId, u32)> {
    deliveries.iter().map(|delivery| (delivery.id, delivery.attempt)).collect()
}

pub(super) async fn frees_what_its_host_does_not_know_of(fixture: Fixture) {
    let owned = running(&fixture).await;
    fixture.emit([4]).await;
    fixture.take(0, &[Target::new("watcher")]).await;
    let others = fixture.store.claim(ClaimRequest::new(fixture.other, 1, at(1))).await.unwrap();
    assert_eq!(
        fixture.store.free_unknown(fixture.host, known(&owned[1..]), HashSet::new(), at(2)).await.unwrap(),
        1
    );
    let live = fixture.live().await;
    let freed = live.iter().find(|row| row.id == owned[0].id).unwrap();
    assert_eq!(
        (freed.status, freed.attempts),
        (DeliveryState::Ready, 1),
        "it keeps the number of the attempt"
    );
    assert!(freed.last_error.as_deref().is_some_and(|error| error.contains("lost track")), "{freed:?}");
    assert_eq!(live.iter().filter(|row| row.status == DeliveryState::Running).count(), 3);
    let attempts = fixture.store.event(event_id(1)).await.unwrap().attempts;
    let attempts: Vec<_> = attempts.iter().map(|row| (row.attempt, row.status.as_str())).collect();
    assert_eq!(attempts, [(1, "lost")]);
    let late = vec![completion(&owned[0], End::Succeeded)];
    assert_eq!(fixture.store.complete(fixture.host, late).await.unwrap().stale, [owned[0].id]);
    assert_eq!(fixture.claim(10, at(3)).await[0].attempt, 2);
    fixture.complete(&owned[1..], &End::Succeeded).await;
    let others = others.iter().map(|delivery| completion(delivery, End::Succeeded)).collect();
    assert_eq!(fixture.store.complete(fixture.other, others).await.unwrap().applied, 1);
}

pub(super) async fn an_earlier_attempt_is_not_the_present_one(fixture: Fixture) {
    let first = running(&fixture).await;
    fixture.store.take_over(at(60), LEASE).await.unwrap();
    fixture.store.register(fixture.host, "box:1", at(61)).await.unwrap();
    let second = fixture.claim_lost(fixture.host, at(61)).await;
    assert_eq!(
        fixture.store.free_unknown(fixture.host, known(&second), HashSet::new(), at(62)).await.unwrap(),
        0
    );
    assert_eq!(
        fixture.store.free_unknown(fixture.host, known(&first), HashSet::new(), at(62)).await.unwrap(),
        3
    );
}

pub(super) async fn what_is_known_stays(fixture: Fixture) {
    let owned = running(&fixture).await;
    let mut all = known(&owned);
    assert_eq!(
        fixture.store.free_unknown(fixture.host, all.clone(), HashSet::new(), at(1)).await.unwrap(),
        0
    );
    fixture.complete(&owned[..1], &End::Succeeded).await;
    all.insert((DeliveryId(event_id(9)), 1));
    assert_eq!(
        fixture.store.free_unknown(fixture.host, all, HashSet::new(), at(2)).await.unwrap(),
        0,
        "more is known"
    );
    assert_eq!(
        fixture.store.free_unknown(fixture.other, HashSet::new(), HashSet::new(), at(2)).await.unwrap(),
        0
    );
    fixture.complete(&owned[1..], &End::Succeeded).await;
    assert_eq!(
        fixture.store.free_unknown(fixture.host, HashSet::new(), HashSet::new(), at(3)).await.unwrap(),
        0
    );
}
