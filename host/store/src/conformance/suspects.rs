//! Cases of `Suspects`: what was lost with its host.

use std::{collections::HashSet, time::Duration};

use aftercommit_core::{Care, DeliveryState, HostFailure, Losses, ObserverDefinition};

use super::fixture::{Fixture, Target, alive, at, completion, dead, event_id, numbers};
use crate::{ClaimRequest, ClaimedDelivery, End, HostId, Lane, Trial};

/// A host that is entered dies; another takes over from it.
async fn dies(fixture: &Fixture, host: HostId) {
    fixture.store.register(host, "dies", at(0)).await.unwrap();
    let taken = fixture.store.take_over(at(100), alive(at(100), Duration::from_secs(30))).await.unwrap();
    assert!(taken.hosts.contains(&host));
}

/// What the host claims of those that were lost once.
async fn together(fixture: &Fixture, limit: usize) -> Vec<ClaimedDelivery> {
    let which = Trial::Together(limit);
    fixture.store.claim_suspects(fixture.host, which, usize::MAX, &[], at(100)).await.unwrap()
}

/// What the host claims of those that were lost more often.
async fn alone(fixture: &Fixture) -> Vec<ClaimedDelivery> {
    fixture.store.claim_suspects(fixture.host, Trial::Alone, usize::MAX, &[], at(100)).await.unwrap()
}

/// Events that their host owned when it died.
async fn lost(fixture: &Fixture, events: impl IntoIterator<Item = u64>) {
    fixture.emit(events).await;
    fixture.take(100, &[Target::new("watcher")]).await;
    dies(fixture, fixture.host).await;
}

pub(super) async fn what_is_lost_does_not_count_and_is_claimed_with_care(fixture: Fixture) {
    assert!(!fixture.store.has_suspects().await.unwrap());
    lost(&fixture, 1..=3).await;
    assert!(fixture.store.has_suspects().await.unwrap());
    let live = fixture.live().await;
    let seen = |row: &crate::DeliveryRow| (row.status, row.attempts, row.losses);
    assert!(live.iter().all(|row| seen(row) == (DeliveryState::Ready, 1, 1)), "{live:?}");
    assert!(
        live.iter().all(|row| row.last_error.as_deref().is_some_and(|why| why.contains("does not count")))
    );
    assert_eq!(fixture.claim(10, at(100)).await.len(), 0, "no ordinary claim finds them");
    assert_eq!(fixture.store.next_due(&[]).await.unwrap(), None);
    assert_eq!(alone(&fixture).await.len(), 0, "none was lost twice");
    let claimed = together(&fixture, 2).await;
    assert_eq!(numbers(&claimed), [1, 2]);
    let first = &claimed[0];
    assert_eq!((first.attempt, first.round_attempt(), first.last_attempt(3)), (2, 1, 4));
    assert_eq!(
        (first.losses, first.losses.care()),
        (Losses { uncharged: 1, in_a_row: 1, alone: 0 }, Care::Together)
    );
    assert_eq!(numbers(&together(&fixture, 10).await), [3]);
    assert!(!fixture.store.has_suspects().await.unwrap(), "all run");
}

pub(super) async fn what_is_lost_again_is_claimed_alone(fixture: Fixture) {
    lost(&fixture, 1..=4).await;
    assert_eq!(numbers(&together(&fixture, 2).await), [1, 2]);
    dies(&fixture, fixture.host).await;
    assert_eq!(numbers(&together(&fixture, 10).await), [3, 4], "those that were lost once go first");
    let claimed = alone(&fixture).await;
    assert_eq!((numbers(&claimed), claimed[0].losses.care()), (vec![1], Care::Alone));
    assert_eq!(claimed[0].round_attempt(), 1, "no attempt counts yet");
    let live = fixture.live().await;
    assert!(live[1].last_error.as_deref().is_some_and(|why| why.contains("2 hosts in a row")), "{live:?}");
}

pub(super) async fn a_marked_attempt_counts_when_its_host_dies(fixture: Fixture) {
    lost(&fixture, [1]).await;
    together(&fixture, 1).await;
    dies(&fixture, fixture.host).await;
    for (attempt, marked) in [(3, false), (4, true), (5, true), (6, true)] {
        let claimed = alone(&fixture).await;
        assert_eq!(claimed[0].attempt, attempt);
        let before = claimed[0].losses;
        if marked {
            assert!(fixture.store.begin(fixture.host, claimed[0].id, attempt).await.unwrap());
        }
        dies(&fixture, fixture.host).await;
        let after = alone(&fixture).await;
        assert_eq!(after[0].losses, before.with_host(marked), "as the rule says");
        fixture
            .store
            .release(fixture.host, vec![(after[0].id, after[0].attempt)], None, at(0))
            .await
            .unwrap();
    }
    let claimed = alone(&fixture).await;
    assert_eq!((claimed[0].losses.care(), claimed[0].round_attempt()), (Care::GivenUp, 4));
    let attempts = fixture.store.event(event_id(1)).await.unwrap().attempts;
    assert!(attempts.iter().all(
        |row| (row.status.as_str(), row.code.as_deref()) == ("lost", Some(HostFailure::HostGone.code()))
    ));
    assert_eq!(attempts.len(), 6);
    assert_eq!(attempts.iter().filter(|row| row.message.contains("so it counts")).count(), 3);
    fixture.complete(&claimed, &dead()).await;
    let letter = fixture.store.dead_letter(claimed[0].id).await.unwrap();
    fixture.store.replay(vec![letter.id], at(100)).await.unwrap();
    let replayed = fixture.claim(1, at(100)).await;
    assert_eq!((replayed[0].attempt, replayed[0].round_attempt()), (8, 1), "a replay begins anew");
    assert_eq!(replayed[0].losses, Losses::default());
}

pub(super) async fn only_its_owner_marks_an_attempt(fixture: Fixture) {
    fixture.emit([1]).await;
    let owned = fixture.take(1, &[Target::new("watcher")]).await.owned;
    let (id, store) = (owned[0].id, &fixture.store);
    assert!(!store.begin(fixture.other, id, 1).await.unwrap());
    assert!(!store.begin(fixture.host, id, 2).await.unwrap());
    assert!(store.begin(fixture.host, id, 1).await.unwrap());
    fixture.complete(&owned, &End::Retry { at: at(1) }).await;
    assert!(!store.begin(fixture.host, id, 1).await.unwrap(), "it has ended");
    let claimed = fixture.claim(1, at(1)).await;
    dies(&fixture, fixture.host).await;
    let again = together(&fixture, 1).await;
    assert_eq!(again[0].losses, claimed[0].losses.with_host(false), "the mark went with the attempt");
}

pub(super) async fn an_attempt_that_ends_ends_the_suspicion(fixture: Fixture) {
    lost(&fixture, [1, 2]).await;
    fixture.complete(&together(&fixture, 2).await, &End::Retry { at: at(101) }).await;
    assert!(!fixture.store.has_suspects().await.unwrap());
    let claimed = fixture.claim(10, at(101)).await;
    assert_eq!(claimed.len(), 2);
    assert!(claimed.iter().all(|delivery| (delivery.attempt, delivery.round_attempt()) == (3, 2)));
    assert!(claimed.iter().all(|delivery| delivery.losses.care() == Care::Ordinary));
    fixture.complete(&claimed, &End::Succeeded).await;
}

pub(super) async fn a_suspect_that_is_handed_back_stays_one(fixture: Fixture) {
    lost(&fixture, [1]).await;
    let claimed = together(&fixture, 1).await;
    assert!(fixture.store.begin(fixture.host, claimed[0].id, 2).await.unwrap());
    fixture
        .store
        .release(fixture.host, vec![(claimed[0].id, 2)], Some(Duration::from_secs(150)), at(0))
        .await
        .unwrap();
    assert_eq!(fixture.claim(10, at(200)).await.len(), 0);
    assert_eq!(together(&fixture, 1).await.len(), 0, "it is not due");
    let which = Trial::Together(1);
    let again = fixture.store.claim_suspects(fixture.other, which, usize::MAX, &[], at(150)).await.unwrap();
    assert_eq!((again[0].attempt, again[0].losses), (2, claimed[0].losses));
    dies(&fixture, fixture.other).await;
    let again = alone(&fixture).await;
    assert_eq!(again[0].losses.uncharged, 2, "the mark went when it was handed back");
}

pub(super) async fn suspects_keep_lanes_order_and_pauses(fixture: Fixture) {
    fixture.store.apply(["a", "b"].map(ObserverDefinition::new).to_vec(), false, false, at(0)).await.unwrap();
    fixture.emit([1, 11]).await;
    fixture
        .take(100, &[Target::new("a"), Target { priority: 900, ..Target::new("b") }, Target::ordered("c")])
        .await;
    dies(&fixture, fixture.host).await;
    fixture.store.set_enabled("a", false, at(1)).await.unwrap();
    let lane = Lane { observer: "b".into(), action: "hook".into() };
    let which = Trial::Together(10);
    let claimed =
        fixture.store.claim_suspects(fixture.host, which, usize::MAX, &[lane], at(100)).await.unwrap();
    let names: Vec<_> = claimed.iter().map(|delivery| &*delivery.observer).collect();
    assert_eq!((names, numbers(&claimed)), (vec!["c"], vec![1]), "the other of its key waits");
    let rest = together(&fixture, 10).await;
    assert!(rest.iter().all(|delivery| &*delivery.observer == "b") && numbers(&rest) == [1, 11]);
    fixture.store.set_enabled("a", true, at(2)).await.unwrap();
    let first = fixture.store.claim_suspects(fixture.other, which, 1, &[], at(100)).await.unwrap();
    assert_eq!(numbers(&first), [1], "the first however large it is");
    fixture.complete(&claimed, &End::Succeeded).await;
    assert_eq!(
        numbers(&fixture.claim(10, at(100)).await),
        [11],
        "the next of the key was not owned, so not lost"
    );
}

pub(super) async fn a_living_host_raises_no_suspicion(fixture: Fixture) {
    fixture.store.register(fixture.host, "lives", at(0)).await.unwrap();
    fixture.emit(1..=3).await;
    let owned = fixture.take(3, &[Target::new("watcher")]).await.owned;
    let given_up = HashSet::from([(owned[0].id, 1)]);
    let freed =
        fixture.store.free_unknown(fixture.host, HashSet::from([(owned[2].id, 1)]), given_up, at(1)).await;
    assert_eq!(freed.unwrap(), 2);
    assert!(!fixture.store.has_suspects().await.unwrap());
    let claimed = fixture.claim(10, at(1)).await;
    let rounds: Vec<_> =
        claimed.iter().map(|delivery| (delivery.attempt, delivery.round_attempt())).collect();
    assert_eq!(rounds, [(2, 2), (2, 1)], "what it gave up had begun, and counts");
    fixture.store.retire(fixture.host).await.unwrap();
    let attempts = fixture.store.event(event_id(3)).await.unwrap().attempts;
    assert_eq!(attempts[0].code.as_deref(), Some(HostFailure::HostStopped.code()));
    let claimed = fixture.store.claim(ClaimRequest::new(fixture.other, 10, at(2))).await.unwrap();
    let rounds: Vec<_> = claimed.iter().map(ClaimedDelivery::round_attempt).collect();
    assert_eq!(rounds, [3, 2, 2], "what a host abandons when it stops had begun");
    let ends = claimed.iter().map(|delivery| completion(delivery, End::Succeeded)).collect();
    assert_eq!(fixture.store.complete(fixture.other, ends).await.unwrap().applied, 3);
}
