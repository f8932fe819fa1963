//! Cases of deliveries of one ordering key that a host claims together, to run them one after the other.

use std::{collections::HashSet, time::Duration};

use aftercommit_core::{Care, ObserverDefinition};

use super::fixture::{Fixture, Target, alive, at, completion, dead, numbers};
use crate::{ClaimRequest, ClaimedDelivery, End, HostId, Lane, RunLengths};

// Events with numbers that are the same modulo 10 belong to one entity here.

fn up_to(others: usize) -> RunLengths {
    RunLengths { others, ..RunLengths::default() }
}

/// Claims up to `limit`, with up to ten behind the first of each key.
async fn claim(fixture: &Fixture, host: HostId, limit: usize) -> Vec<ClaimedDelivery> {
    let request = ClaimRequest { runs: &up_to(10), ..ClaimRequest::new(host, limit, at(50)) };
    fixture.store.claim(request).await.unwrap()
}

/// Makes ordered deliveries that nobody owns.
async fn make(fixture: &Fixture, events: impl IntoIterator<Item = u64>) {
    fixture.emit(events).await;
    fixture.take(0, &[Target::ordered("watcher")]).await;
}

async fn release(fixture: &Fixture, deliveries: &[ClaimedDelivery]) {
    let list = deliveries.iter().map(|delivery| (delivery.id, delivery.attempt)).collect();
    assert_eq!(fixture.store.release(fixture.host, list, None, at(50)).await.unwrap(), deliveries.len());
}

/// How many of the deliveries are not blocked.
async fn turns(fixture: &Fixture) -> String {
    fixture.database.ask("SELECT count(*) FROM observer_deliveries WHERE NOT blocked").await.unwrap()
}

pub(super) async fn the_next_of_a_key_are_claimed_with_the_first(fixture: Fixture) {
    make(&fixture, [1, 11, 2, 21, 31]).await;
    let by_observer = [("watcher".into(), 2)].into();
    let runs = RunLengths { others: 0, by_observer };
    let request = ClaimRequest { runs: &runs, ..ClaimRequest::new(fixture.host, 100, at(50)) };
    let claimed = fixture.store.claim(request).await.unwrap();
    assert_eq!(numbers(&claimed), [1, 2, 11, 21], "two behind the first");
    assert!(claimed.iter().all(|delivery| delivery.attempt == 1 && delivery.ordering_key.is_some()));
    assert_eq!(turns(&fixture).await, "2", "one of each key has the turn");
    assert_eq!(claim(&fixture, fixture.host, 100).await.len(), 0);
}

pub(super) async fn the_first_of_each_key_go_before_the_next(fixture: Fixture) {
    make(&fixture, [1, 11, 21, 2, 12, 22, 3]).await;
    assert_eq!(numbers(&claim(&fixture, fixture.host, 6).await), [1, 2, 3, 11, 12, 21]);
    assert_eq!(numbers(&claim(&fixture, fixture.other, 6).await), [0; 0], "the last waits for its turn");
}

pub(super) async fn a_run_has_as_many_as_there_is_room_for(fixture: Fixture) {
    make(&fixture, [1, 11, 21, 31]).await;
    let bytes = fixture.database.ask("SELECT max(event_bytes) FROM observer_deliveries").await.unwrap();
    let request = ClaimRequest { runs: &up_to(10), ..ClaimRequest::new(fixture.host, 100, at(50)) };
    let claimed = fixture.store.claim(ClaimRequest { max_bytes: 1, ..request }).await.unwrap();
    assert_eq!(numbers(&claimed), [1], "only the first is claimed however large it is");
    release(&fixture, &claimed).await;
    let max_bytes = 3 * bytes.parse::<usize>().unwrap();
    let claimed = fixture.store.claim(ClaimRequest { max_bytes, ..request }).await.unwrap();
    assert_eq!(numbers(&claimed), [1, 11, 21]);
}

pub(super) async fn nobody_else_claims_of_a_key_that_runs(fixture: Fixture) {
    make(&fixture, [1, 11, 21, 31, 2]).await;
    let first = fixture.claim(1, at(50)).await;
    assert_eq!(numbers(&first), [1]);
    assert_eq!(numbers(&claim(&fixture, fixture.other, 100).await), [2], "other keys go on");
    fixture.complete(&first, &End::Succeeded).await;
    let run = claim(&fixture, fixture.host, 2).await;
    assert_eq!(numbers(&run), [11, 21]);
    fixture.emit([41]).await;
    assert_eq!(fixture.take(10, &[Target::ordered("watcher")]).await.owned.len(), 0, "nor does intake");
    assert_eq!(claim(&fixture, fixture.other, 100).await.len(), 0);
    fixture.complete(&run, &End::Succeeded).await;
    assert_eq!(numbers(&claim(&fixture, fixture.other, 100).await), [31, 41]);
}

pub(super) async fn a_run_ends_before_what_can_not_be_claimed(fixture: Fixture) {
    let mail = Target { action: "mail", ..Target::ordered("watcher") };
    fixture.emit([1, 11]).await;
    fixture.take(0, &[Target::ordered("watcher"), mail]).await;
    let request = ClaimRequest { runs: &up_to(10), ..ClaimRequest::new(fixture.host, 100, at(50)) };
    let lane = Lane { observer: "watcher".into(), action: "mail".into() };
    let claimed = fixture.store.claim(ClaimRequest { except: &[lane], ..request }).await.unwrap();
    assert_eq!(numbers(&claimed), [1], "the next is in a lane that is passed over");
    release(&fixture, &claimed).await;
    let definitions = ["watcher", "off"].map(ObserverDefinition::new).to_vec();
    fixture.store.apply(definitions, false, false, at(0)).await.unwrap();
    fixture.store.set_enabled("watcher", false, at(1)).await.unwrap();
    assert_eq!(claim(&fixture, fixture.host, 100).await.len(), 0);
    fixture.store.set_enabled("watcher", true, at(1)).await.unwrap();
    let claimed = claim(&fixture, fixture.host, 100).await;
    let order: Vec<_> = claimed.iter().map(|it| format!("{}{}", it.event.entity_id, it.action)).collect();
    assert_eq!(order, ["1hook", "1mail", "11hook", "11mail"]);
}

pub(super) async fn what_was_tried_goes_alone(fixture: Fixture) {
    make(&fixture, [1, 11, 21]).await;
    let claimed = claim(&fixture, fixture.host, 1).await;
    fixture.complete(&claimed, &End::Retry { at: at(20) }).await;
    let retry = claim(&fixture, fixture.host, 100).await;
    assert_eq!(numbers(&retry), [1], "those behind it would be handed back if it failed again");
    fixture.complete(&retry, &dead()).await;
    fixture.replay_all(at(40)).await;
    let claimed = claim(&fixture, fixture.host, 100).await;
    assert_eq!(numbers(&claimed), [1, 11, 21], "a replay begins anew, in its turn");
}

pub(super) async fn ends_of_a_run_let_the_rest_go_on(fixture: Fixture) {
    make(&fixture, [1, 11, 21, 31, 41]).await;
    let run = claim(&fixture, fixture.host, 4).await;
    fixture.complete(&run[..2], &End::Succeeded).await;
    assert_eq!((turns(&fixture).await.as_str(), claim(&fixture, fixture.other, 9).await.len()), ("1", 0));
    fixture.complete(&run[2..3], &End::Failed).await;
    assert_eq!((turns(&fixture).await.as_str(), claim(&fixture, fixture.other, 9).await.len()), ("1", 0));
    fixture.complete(&run[3..], &dead()).await;
    assert_eq!(numbers(&claim(&fixture, fixture.other, 9).await), [41]);
}

pub(super) async fn one_that_failed_blocks_those_that_are_handed_back(fixture: Fixture) {
    make(&fixture, [1, 11, 21, 31]).await;
    let run = claim(&fixture, fixture.host, 100).await;
    let ends = vec![completion(&run[0], End::Succeeded), completion(&run[1], End::Retry { at: at(60) })];
    let report = fixture.store.complete(fixture.host, ends).await.unwrap();
    assert_eq!((report.applied, turns(&fixture).await.as_str()), (2, "1"));
    assert_eq!(claim(&fixture, fixture.other, 9).await.len(), 0, "the rest is still owned");
    release(&fixture, &run[2..]).await;
    assert_eq!(turns(&fixture).await, "1");
    assert_eq!(claim(&fixture, fixture.other, 9).await.len(), 0);
    assert_eq!(fixture.store.next_due(&[]).await.unwrap(), Some(at(60)));
    let again = fixture.claim(9, at(60)).await;
    assert_eq!((numbers(&again), again[0].attempt), (vec![11], 2));
    fixture.complete(&again, &End::Succeeded).await;
    let rest = claim(&fixture, fixture.host, 9).await;
    assert_eq!(numbers(&rest), [21, 31]);
    assert!(rest.iter().all(|delivery| delivery.attempt == 1), "they never began");
}

pub(super) async fn a_replayed_one_waits_for_all_that_run(fixture: Fixture) {
    make(&fixture, [1, 11, 21, 31]).await;
    let first = claim(&fixture, fixture.host, 1).await;
    fixture.complete(&first, &dead()).await;
    let run = claim(&fixture, fixture.host, 2).await;
    assert_eq!(numbers(&run), [11, 21]);
    fixture.store.replay(vec![first[0].id], at(10)).await.unwrap();
    for end in run.chunks(1) {
        assert_eq!(claim(&fixture, fixture.other, 9).await.len(), 0, "one of a key at a time");
        fixture.complete(end, &End::Succeeded).await;
        assert_eq!(turns(&fixture).await, "1");
    }
    assert_eq!(numbers(&claim(&fixture, fixture.other, 9).await), [1, 31]);
}

pub(super) async fn a_run_that_is_lost_comes_back_in_order_and_uncharged(fixture: Fixture) {
    fixture.store.register(fixture.host, "dies", at(0)).await.unwrap();
    make(&fixture, [1, 11, 21, 31]).await;
    let run = claim(&fixture, fixture.host, 3).await;
    assert_eq!(numbers(&run), [1, 11, 21]);
    let taken = fixture.store.take_over(at(100), alive(at(100), Duration::from_secs(30))).await.unwrap();
    assert_eq!(taken.deliveries, 3, "no more than it owned");
    assert_eq!(turns(&fixture).await, "1");
    let ends = run.iter().map(|delivery| completion(delivery, End::Succeeded)).collect();
    assert_eq!(fixture.store.complete(fixture.host, ends).await.unwrap().stale.len(), 3);
    for n in [1, 11, 21] {
        let lost = fixture.claim_lost(fixture.other, at(100)).await;
        assert_eq!((numbers(&lost), lost[0].losses.care()), (vec![n], Care::Together), "one at a time");
        assert_eq!((lost[0].attempt, lost[0].round_attempt()), (2, 1), "nobody knows whether it began");
        let ends = vec![completion(&lost[0], End::Succeeded)];
        assert_eq!(fixture.store.complete(fixture.other, ends).await.unwrap().applied, 1);
    }
    let rest = claim(&fixture, fixture.other, 9).await;
    assert_eq!((numbers(&rest), rest[0].attempt), (vec![31], 1));
}

pub(super) async fn what_a_living_host_lost_of_a_run_comes_back_in_order(fixture: Fixture) {
    make(&fixture, [1, 11, 21]).await;
    let run = claim(&fixture, fixture.host, 100).await;
    let known = HashSet::from([(run[1].id, 1), (run[2].id, 1)]);
    let given_up = HashSet::from([(run[0].id, 1)]);
    let free = |known, given_up| fixture.store.free_unknown(fixture.host, known, given_up, at(1));
    assert_eq!(free(known, given_up).await.unwrap(), 1, "its end could not be written");
    assert_eq!((turns(&fixture).await.as_str(), claim(&fixture, fixture.other, 9).await.len()), ("1", 0));
    let given_up = HashSet::from([(run[1].id, 1)]);
    assert_eq!(free(HashSet::new(), given_up).await.unwrap(), 2);
    let claimed = fixture.claim(9, at(1)).await;
    assert_eq!((numbers(&claimed), claimed[0].round_attempt()), (vec![1], 2));
    fixture.complete(&claimed, &End::Succeeded).await;
    let claimed = claim(&fixture, fixture.host, 9).await;
    assert_eq!((numbers(&claimed), claimed[0].round_attempt()), (vec![11], 2), "it began, too");
    fixture.complete(&claimed, &End::Succeeded).await;
    let claimed = claim(&fixture, fixture.host, 9).await;
    assert_eq!((numbers(&claimed), claimed[0].round_attempt()), (vec![21], 1), "it did not");
}
