//! Cases of deliveries that wait for each other, over all traits that touch them.

use std::{collections::HashSet, time::Duration};

use super::fixture::{Fixture, Target, alive, at, dead, numbers};
use crate::{ClaimedDelivery, End};

// Events with numbers that are the same modulo 10 belong to one entity here.

/// Claims everything that may run now.
async fn runnable(fixture: &Fixture) -> Vec<ClaimedDelivery> {
    fixture.claim(100, at(50)).await
}

pub(super) async fn the_next_goes_when_the_first_has_ended(fixture: Fixture) {
    fixture.emit([1, 11, 21, 31]).await;
    let first = fixture.take(10, &[Target::ordered("watcher")]).await;
    assert_eq!((numbers(&first.owned), first.ready), (vec![1], 3), "only the first of one batch is owned");
    assert_eq!(runnable(&fixture).await.len(), 0);
    fixture.complete(&first.owned, &End::Succeeded).await;
    let second = runnable(&fixture).await;
    assert_eq!(numbers(&second), [11]);
    fixture.complete(&second, &End::Failed).await;
    let third = runnable(&fixture).await;
    assert_eq!(numbers(&third), [21]);
    fixture.complete(&third, &dead()).await;
    assert_eq!(numbers(&runnable(&fixture).await), [31], "every end lets the next go");
}

pub(super) async fn a_waiting_one_blocks_those_behind_it(fixture: Fixture) {
    fixture.emit([1, 11]).await;
    let first = fixture.take(10, &[Target::ordered("watcher")]).await.owned;
    fixture.complete(&first, &End::Retry { at: at(60) }).await;
    assert_eq!(runnable(&fixture).await.len(), 0);
    assert_eq!(fixture.store.next_due(&[]).await.unwrap(), Some(at(60)));
    let again = fixture.claim(100, at(60)).await;
    assert_eq!(numbers(&again), [1]);
    fixture.store.release(fixture.host, vec![(again[0].id, again[0].attempt)], None, at(0)).await.unwrap();
    assert_eq!(numbers(&runnable(&fixture).await), [1], "handed back, it is still the first");
}

pub(super) async fn actions_of_one_event_go_in_their_order(fixture: Fixture) {
    fixture.emit([1, 11]).await;
    let actions = ["c", "a", "b"].map(|action| Target { action, ..Target::ordered("watcher") });
    fixture.take(0, &actions).await;
    let mut order = Vec::new();
    loop {
        let claimed = runnable(&fixture).await;
        let [delivery] = &claimed[..] else { break };
        order.push(format!("{}{}", delivery.event.entity_id, delivery.action));
        fixture.complete(&claimed, &End::Succeeded).await;
    }
    assert_eq!(order, ["1c", "1a", "1b", "11c", "11a", "11b"]);
}

pub(super) async fn keys_do_not_wait_for_each_other(fixture: Fixture) {
    fixture.emit([1, 2, 11, 3, 12]).await;
    let owned = fixture.take(2, &[Target::ordered("watcher"), Target::new("free")]).await.owned;
    assert_eq!(numbers(&owned), [1, 1]);
    let mut claimed = numbers(&runnable(&fixture).await);
    claimed.sort_unstable();
    assert_eq!(claimed, [2, 2, 3, 3, 11, 12]);
}

pub(super) async fn intake_does_not_own_past_a_live_one(fixture: Fixture) {
    fixture.emit([1]).await;
    fixture.take(0, &[Target::ordered("watcher")]).await;
    fixture.emit([11, 2]).await;
    let taken = fixture.take(10, &[Target::ordered("watcher")]).await;
    assert_eq!((numbers(&taken.owned), taken.ready), (vec![2], 1));
    assert_eq!(numbers(&runnable(&fixture).await), [1]);
}

pub(super) async fn a_replayed_one_waits_for_the_running_and_goes_before_later_ones(fixture: Fixture) {
    fixture.emit([1, 11, 21]).await;
    let first = fixture.take(1, &[Target::ordered("watcher")]).await.owned;
    fixture.complete(&first, &dead()).await;
    let second = runnable(&fixture).await;
    assert_eq!(numbers(&second), [11]);
    fixture.store.replay(vec![first[0].id], at(10)).await.unwrap();
    assert_eq!(runnable(&fixture).await.len(), 0, "one at a time");
    fixture.complete(&second, &End::Retry { at: at(20) }).await;
    let replayed = runnable(&fixture).await;
    assert_eq!(numbers(&replayed), [1], "the earlier event goes first, though the other is due");
    fixture.complete(&replayed, &End::Succeeded).await;
    assert_eq!(numbers(&runnable(&fixture).await), [11]);
}

/// More than one piece of them, in whatever order they are put back, and with one that runs and one that waits.
pub(super) async fn many_replayed_ones_of_a_key_keep_their_order(fixture: Fixture) {
    let mut ids = Vec::new();
    for first in [1, 81, 161] {
        ids.extend(fixture.bury(first..first + 80).await);
    }
    fixture.database.sql("UPDATE observer_dlq_items SET ordering_key = 'watcher:0'").await;
    fixture.emit([300, 310]).await;
    let later = fixture.take(1, &[Target::ordered("watcher")]).await.owned;
    assert_eq!(numbers(&later), [300]);
    let turns = async || {
        let query =
            "SELECT count(*) FROM observer_deliveries WHERE ordering_key = 'watcher:0' AND NOT blocked";
        fixture.database.ask(query).await.unwrap()
    };
    let some: Vec<_> = ids.iter().rev().step_by(7).copied().collect();
    assert_eq!(fixture.store.replay(some.clone(), at(10)).await.unwrap(), some);
    assert_eq!((turns().await.as_str(), runnable(&fixture).await.len()), ("1", 0), "one at a time");
    assert_eq!(fixture.replay_all(at(10)).await.len(), ids.len() - some.len());
    assert_eq!((turns().await.as_str(), runnable(&fixture).await.len()), ("1", 0));
    fixture.complete(&later, &End::Succeeded).await;
    for expected in [1, 2, 3] {
        let next = runnable(&fixture).await;
        assert_eq!((numbers(&next), turns().await.as_str()), (vec![expected], "1"));
        fixture.complete(&next, &End::Succeeded).await;
    }
}

pub(super) async fn a_takeover_keeps_the_order(fixture: Fixture) {
    fixture.store.register(fixture.host, "first", at(0)).await.unwrap();
    fixture.emit([1, 11]).await;
    fixture.take(10, &[Target::ordered("watcher")]).await;
    let taken = fixture.store.take_over(at(100), alive(at(100), Duration::from_secs(30))).await.unwrap();
    assert_eq!(taken.deliveries, 1);
    assert_eq!(numbers(&fixture.claim_lost(fixture.other, at(100)).await), [1]);
}

pub(super) async fn one_that_its_host_lost_keeps_its_turn(fixture: Fixture) {
    fixture.emit([1, 11]).await;
    fixture.take(10, &[Target::ordered("watcher")]).await;
    assert_eq!(
        fixture.store.free_unknown(fixture.host, HashSet::new(), HashSet::new(), at(1)).await.unwrap(),
        1
    );
    let claimed = runnable(&fixture).await;
    assert_eq!(numbers(&claimed), [1]);
    fixture.complete(&claimed, &End::Succeeded).await;
    assert_eq!(numbers(&runnable(&fixture).await), [11]);
}
