//! Cases of `Claims`: claim, complete, hand back.

use std::time::Duration;

use aftercommit_core::{DeliveryState, EntityEvent, EventKind, ObserverDefinition};

use super::fixture::{Fixture, Target, action_as_written, at, completion, dead, event_id, numbers};
use crate::{ClaimFirst, ClaimRequest, ClaimShare, ClaimedDelivery, DeliveryFilter, End, Lane, RunLengths};

pub(super) async fn claims_due_retries_first_then_by_priority_and_age(fixture: Fixture) {
    fixture.emit(1..=2).await;
    let retried = fixture.take(2, &[Target { priority: 1, ..Target::new("low") }]).await.owned;
    fixture.complete(&retried[..1], &End::Retry { at: at(20) }).await;
    fixture.complete(&retried[1..], &End::Retry { at: at(10) }).await;
    fixture.emit(3..=4).await;
    fixture.take(0, &[Target::new("normal"), Target { priority: 900, ..Target::new("high") }]).await;
    let order = |claimed: Vec<ClaimedDelivery>| -> Vec<(String, String)> {
        claimed.iter().map(|d| (d.observer.to_string(), d.event.entity_id.clone())).collect()
    };
    let first = order(fixture.claim(3, at(30)).await);
    let second = order(fixture.claim(10, at(30)).await);
    let expected =
        [("low", "2"), ("low", "1"), ("high", "3"), ("high", "4"), ("normal", "3"), ("normal", "4")];
    let expected: Vec<_> = expected.map(|(observer, id)| (observer.to_owned(), id.to_owned())).into();
    assert_eq!([first, second].concat(), expected);
    assert_eq!(fixture.claim(10, at(30)).await.len(), 0, "everything is claimed");
}

pub(super) async fn leaves_what_is_not_due(fixture: Fixture) {
    fixture.emit([1]).await;
    let owned = fixture.take(1, &[Target::new("watcher")]).await.owned;
    fixture.complete(&owned, &End::Retry { at: at(20) }).await;
    assert_eq!(fixture.claim(10, at(19)).await.len(), 0);
    assert_eq!(fixture.claim(10, at(20)).await.len(), 1);
}

/// Somebody wrote to the table: a number that is no count holds up no other delivery.
pub(super) async fn a_delivery_whose_row_cannot_be_read_is_put_aside_alone(fixture: Fixture) {
    const ODD: [(&str, &str); 6] = [
        ("attempts", "attempts = -5"),
        ("attempts", "attempts = 2147483647"),
        ("attempts_before", "attempts_before = -5"),
        ("uncharged", "uncharged = -5"),
        ("lone_losses", "lone_losses = -5"),
        // What was lost with its host is claimed in another way.
        ("lone_losses", "losses = 1, lone_losses = -5"),
    ];
    for (n, (column, written)) in ODD.iter().enumerate() {
        let first = 10 * n as u64 + 1;
        fixture.emit(first..first + 3).await;
        let taken = fixture.take(1, &[Target::new("watcher")]).await;
        fixture.complete(&taken.owned, &End::Retry { at: at(1) }).await;
        let write = format!(
            "UPDATE observer_deliveries SET {written}
             WHERE event_seq IN (SELECT seq FROM observer_events WHERE entity_id = '{first}')"
        );
        fixture.database.sql(&write).await;
        let lost = fixture.claim_lost(fixture.host, at(2)).await;
        let claimed = fixture.claim(10, at(2)).await;
        assert_eq!((numbers(&lost), numbers(&claimed)), (vec![], vec![first + 1, first + 2]), "{written}");
        fixture.complete(&claimed, &dead()).await;
        assert!(fixture.live().await.is_empty(), "{written}");
        let aside = fixture.store.quarantined(10).await.unwrap();
        assert!(aside.len() == n + 1 && aside[0].reason.contains(column), "{written}: {:?}", aside[0]);
    }
}

pub(super) async fn passes_over_lanes(fixture: Fixture) {
    fixture.emit(1..=3).await;
    let other_action = Target { action: "mail", ..Target::new("busy") };
    let owned = fixture.take(1, &[Target::new("busy"), other_action, Target::new("free")]).await.owned;
    fixture.complete(&owned, &End::Retry { at: at(1) }).await;
    let busy = Lane { observer: "busy".into(), action: "hook".into() };
    let request = ClaimRequest { except: &[busy], ..ClaimRequest::new(fixture.host, 100, at(2)) };
    let claimed = fixture.store.claim(request).await.unwrap();
    let lanes: Vec<_> = claimed.iter().map(|d| (&*d.observer, &*d.action)).collect();
    assert_eq!(lanes.iter().filter(|lane| **lane == ("busy", "mail")).count(), 3);
    assert_eq!(lanes.iter().filter(|lane| **lane == ("free", "hook")).count(), 3);
    assert_eq!(lanes.len(), 6);
    assert_eq!(numbers(&fixture.claim(100, at(2)).await), [1, 2, 3], "the lane is claimed when it is free");
}

pub(super) async fn passes_over_disabled_observers_until_they_are_enabled(fixture: Fixture) {
    let definitions = ["a", "b"].map(ObserverDefinition::new).to_vec();
    fixture.store.apply(definitions, false, false, at(0)).await.unwrap();
    fixture.emit(1..=2).await;
    let taken = fixture.take(1, &[Target::new("a")]).await;
    fixture.complete(&taken.owned, &End::Retry { at: at(1) }).await;
    fixture.store.set_enabled("a", false, at(1)).await.unwrap();
    assert_eq!(fixture.claim(10, at(5)).await.len(), 0, "neither the waiting nor the ready one");
    assert_eq!(fixture.store.next_due(&[]).await.unwrap(), None, "nothing to wake up for");
    fixture.database.sql("UPDATE tb_observer SET enabled = TRUE WHERE name = 'a'").await;
    assert_eq!(numbers(&fixture.claim(10, at(5)).await), [1, 2]);
}

pub(super) async fn passes_over_each_of_many_disabled_observers(fixture: Fixture) {
    const NAMES: [&str; 7] = ["a", "b", "c", "d", "e", "f", "g"];
    let definition = |name: &str| ObserverDefinition {
        enabled: ["b", "d", "f"].contains(&name),
        ..ObserverDefinition::new(name)
    };
    fixture.store.apply(NAMES.map(definition).to_vec(), false, false, at(0)).await.unwrap();
    fixture.emit(1..=2).await;
    // Nothing is live of `c`; of each other observer one waits and one is ready.
    let targets = NAMES.into_iter().filter(|name| *name != "c").map(Target::new).collect::<Vec<_>>();
    fixture.take(0, &targets).await;
    fixture.database.sql("UPDATE observer_deliveries SET state = 'waiting', next_attempt_at = created_at WHERE event_seq = (SELECT min(event_seq) FROM observer_deliveries)").await;
    let next = async |except: &[Lane]| fixture.store.next_due(except).await.unwrap();
    let claim = async |except: &[Lane]| {
        let request = ClaimRequest { except, ..ClaimRequest::new(fixture.host, 100, at(5)) };
        let claimed = fixture.store.claim(request).await.unwrap();
        let mut names: Vec<_> = claimed.iter().map(|delivery| delivery.observer.to_string()).collect();
        names.sort_unstable();
        names.concat()
    };
    let lane = |observer: &str| Lane { observer: observer.into(), action: "hook".into() };
    assert!(next(&[]).await.is_some());
    assert_eq!(claim(&["b", "g"].map(lane)).await, "ddff", "neither those lanes nor those observers");
    assert_eq!(claim(&[]).await, "bb");
    assert_eq!((next(&[]).await, next(&["b"].map(lane)).await), (None, None), "nothing to wake up for");
    fixture.database.sql("DELETE FROM tb_observer WHERE name = 'e'").await;
    assert_eq!(claim(&[]).await, "ee", "one that is gone is not disabled: its deliveries are ended");
    fixture.database.sql("UPDATE tb_observer SET name = 'h' WHERE name = 'a'").await;
    assert_eq!(claim(&[]).await, "aa", "nor is one that has another name now");
    fixture.database.sql("UPDATE tb_observer SET enabled = TRUE").await;
    assert_eq!((claim(&[]).await.as_str(), next(&[]).await), ("gg", None));
}

pub(super) async fn counts_attempts_when_claimed(fixture: Fixture) {
    fixture.emit([1]).await;
    fixture.take(0, &[Target::new("watcher")]).await;
    for attempt in 1..=4 {
        let claimed = fixture.claim(1, at(10)).await;
        assert_eq!((claimed[0].attempt, claimed[0].attempts_before), (attempt, 0));
        assert_eq!(fixture.live().await[0].attempts, attempt);
        fixture.complete(&claimed, &End::Retry { at: at(10) }).await;
    }
}

pub(super) async fn says_when_the_next_is_due(fixture: Fixture) {
    assert_eq!(fixture.store.next_due(&[]).await.unwrap(), None);
    fixture.emit(1..=3).await;
    let owned = fixture.take(2, &[Target::new("watcher")]).await.owned;
    assert!(fixture.store.next_due(&[]).await.unwrap().unwrap() <= at(0), "one is ready");
    let last = fixture.claim(1, at(0)).await;
    assert_eq!(fixture.store.next_due(&[]).await.unwrap(), None, "all run");
    fixture.complete(&owned[..1], &End::Retry { at: at(90) }).await;
    fixture.complete(&owned[1..], &End::Retry { at: at(60) }).await;
    fixture.complete(&last, &End::Retry { at: at(70) }).await;
    assert_eq!(fixture.store.next_due(&[]).await.unwrap(), Some(at(60)));
}

pub(super) async fn says_when_the_next_of_the_other_lanes_is_due(fixture: Fixture) {
    let lane = |observer: &str| Lane { observer: observer.into(), action: "hook".into() };
    fixture.emit(1..=2).await;
    let owned = fixture.take(6, &[Target::new("a"), Target::new("b"), Target::new("c")]).await.owned;
    for (delivery, due) in owned.iter().zip([10, 20, 30, 40, 50, 60]) {
        fixture.complete(std::slice::from_ref(delivery), &End::Retry { at: at(due) }).await;
    }
    let next = async |except: &[&str]| {
        let except: Vec<_> = except.iter().map(|observer| lane(observer)).collect();
        fixture.store.next_due(&except).await.unwrap()
    };
    assert_eq!(next(&["b"]).await, Some(at(10)));
    assert_eq!(next(&["a"]).await, Some(at(20)));
    assert_eq!(next(&["a", "b"]).await, Some(at(30)));
    assert_eq!(next(&["a", "b", "c", "d"]).await, None);
    fixture.emit([3]).await;
    fixture.take(0, &[Target::new("b")]).await;
    assert!(next(&["a"]).await.unwrap() <= at(0), "one is ready");
    assert_eq!(next(&["b"]).await, Some(at(10)), "that one is passed over");
}

pub(super) async fn a_success_ends_the_delivery_and_is_logged(fixture: Fixture) {
    fixture.emit([1]).await;
    let owned = fixture.take(1, &[Target::new("watcher")]).await.owned;
    fixture.complete(&owned, &End::Succeeded).await;
    assert!(fixture.live().await.is_empty());
    let attempts = fixture.store.event(event_id(1)).await.unwrap().attempts;
    let [row] = &attempts[..] else { panic!("one attempt: {attempts:?}") };
    assert_eq!(row.delivery_id, Some(owned[0].id.0));
    assert_eq!((row.observer.as_str(), row.action.as_deref()), ("watcher", Some("webhook")));
    assert_eq!(row.action_name.as_deref(), Some("hook"));
    assert_eq!((row.attempt, row.max_attempts, row.status.as_str()), (1, 3, "succeeded"));
    assert_eq!((row.class.as_deref(), row.code.as_deref(), row.message.as_str()), (None, None, "delivered"));
    assert_eq!((row.http_status, row.started_at, row.duration_us), (Some(200), at(5), 1500));
    assert_eq!((row.plugin.as_deref(), row.plugin_digest.as_deref()), (Some("webhook"), Some("sha256:00ff")));
}

pub(super) async fn a_retry_waits_for_its_time(fixture: Fixture) {
    fixture.emit([1]).await;
    let owned = fixture.take(1, &[Target::new("watcher")]).await.owned;
    fixture.complete(&owned, &End::Retry { at: at(20) }).await;
    let live = fixture.live().await;
    assert_eq!((live[0].status, live[0].next_attempt_at), (DeliveryState::Waiting, Some(at(20))));
    assert_eq!(live[0].last_error.as_deref(), Some("the receiver is \"busy\""));
    let attempts = fixture.store.event(event_id(1)).await.unwrap().attempts;
    assert_eq!((attempts[0].status.as_str(), attempts[0].class.as_deref()), ("waiting", Some("transient")));
    let again = fixture.claim(1, at(20)).await;
    assert_eq!((again[0].id, again[0].attempt, &again[0].event), (owned[0].id, 2, &owned[0].event));
}

pub(super) async fn a_failure_ends_the_delivery_without_a_dead_letter(fixture: Fixture) {
    fixture.emit([1]).await;
    let owned = fixture.take(1, &[Target::new("watcher")]).await.owned;
    fixture.complete(&owned, &End::Failed).await;
    assert!(fixture.live().await.is_empty());
    assert!(fixture.store.dead_letters(10).await.unwrap().is_empty());
    assert_eq!(fixture.store.event(event_id(1)).await.unwrap().attempts[0].status, "failed");
}

/// Nothing was changed by a completion that came too late.
async fn assert_untouched(fixture: &Fixture, delivery: &ClaimedDelivery) {
    let live = fixture.live().await;
    assert_eq!((live.len(), live[0].status, live[0].attempts), (1, DeliveryState::Running, delivery.attempt));
    assert!(fixture.store.dead_letters(10).await.unwrap().is_empty());
    fixture.complete(std::slice::from_ref(delivery), &End::Succeeded).await;
}

pub(super) async fn refuses_a_completion_of_another_attempt(fixture: Fixture) {
    fixture.emit([1]).await;
    let first = fixture.take(1, &[Target::new("watcher")]).await.owned;
    fixture.complete(&first, &End::Retry { at: at(1) }).await;
    let late = fixture.store.complete(fixture.host, vec![completion(&first[0], dead())]).await.unwrap();
    assert_eq!((late.applied, late.stale), (0, vec![first[0].id]), "it waits, nobody owns it");
    let second = fixture.claim(1, at(1)).await;
    for end in [End::Succeeded, End::Failed, dead(), End::Retry { at: at(9) }] {
        let late = fixture.store.complete(fixture.host, vec![completion(&first[0], end)]).await.unwrap();
        assert_eq!((late.applied, late.stale), (0, vec![first[0].id]));
    }
    assert_untouched(&fixture, &second[0]).await;
    assert_eq!(fixture.store.event(event_id(1)).await.unwrap().attempts.len(), 2, "late ones are not logged");
}

pub(super) async fn refuses_a_completion_by_another_host(fixture: Fixture) {
    fixture.emit([1]).await;
    let owned = fixture.take(1, &[Target::new("watcher")]).await.owned;
    let report = fixture.store.complete(fixture.other, vec![completion(&owned[0], dead())]).await.unwrap();
    assert_eq!((report.applied, report.stale), (0, vec![owned[0].id]));
    assert_untouched(&fixture, &owned[0]).await;
}

pub(super) async fn applies_the_rest_when_one_is_stale(fixture: Fixture) {
    fixture.emit(1..=4).await;
    let owned = fixture.take(4, &[Target::new("watcher")]).await.owned;
    fixture.complete(&owned[1..2], &End::Succeeded).await;
    let ends = [End::Succeeded, End::Succeeded, End::Retry { at: at(9) }, dead()];
    let completions = owned.iter().zip(ends).map(|(delivery, end)| completion(delivery, end)).collect();
    let report = fixture.store.complete(fixture.host, completions).await.unwrap();
    assert_eq!((report.applied, report.stale), (3, vec![owned[1].id]));
    assert_eq!(fixture.live().await.iter().map(|row| row.id).collect::<Vec<_>>(), [owned[2].id]);
    let dead_letter = fixture.store.dead_letter(owned[3].id).await.unwrap();
    assert_eq!(dead_letter.action_config, action_as_written());
}

pub(super) async fn ends_an_attempt_only_once(fixture: Fixture) {
    fixture.emit([1]).await;
    let owned = fixture.take(1, &[Target::new("watcher")]).await.owned;
    let twice = vec![completion(&owned[0], End::Succeeded), completion(&owned[0], dead())];
    let report = fixture.store.complete(fixture.host, twice).await.unwrap();
    assert_eq!((report.applied, report.stale), (1, vec![owned[0].id]));
    assert!(fixture.store.dead_letters(10).await.unwrap().is_empty());
    assert_eq!(fixture.store.event(event_id(1)).await.unwrap().attempts.len(), 1);
}

pub(super) async fn a_release_does_not_count_the_attempt(fixture: Fixture) {
    fixture.emit([1]).await;
    let owned = fixture.take(1, &[Target::new("watcher")]).await.owned;
    let released = fixture.store.release(fixture.host, vec![(owned[0].id, 1)], None, at(0)).await.unwrap();
    assert_eq!(released, 1);
    let live = fixture.live().await;
    assert_eq!((live[0].status, live[0].attempts), (DeliveryState::Ready, 0));
    assert_eq!(fixture.claim(1, at(0)).await[0].attempt, 1);
}

pub(super) async fn a_release_can_wait(fixture: Fixture) {
    fixture.emit([1]).await;
    let owned = fixture.take(1, &[Target::new("watcher")]).await.owned;
    fixture
        .store
        .release(fixture.host, vec![(owned[0].id, 1)], Some(Duration::from_secs(30)), at(0))
        .await
        .unwrap();
    assert_eq!(fixture.claim(1, at(29)).await.len(), 0);
    assert_eq!(fixture.store.next_due(&[]).await.unwrap(), Some(at(30)));
    assert_eq!(fixture.claim(1, at(30)).await[0].attempt, 1);
}

pub(super) async fn releases_only_what_is_owned(fixture: Fixture) {
    fixture.emit([1]).await;
    let owned = fixture.take(1, &[Target::new("watcher")]).await.owned;
    let id = owned[0].id;
    assert_eq!(fixture.store.release(fixture.other, vec![(id, 1)], None, at(0)).await.unwrap(), 0);
    assert_eq!(fixture.store.release(fixture.host, vec![(id, 2)], None, at(0)).await.unwrap(), 0);
    assert_untouched(&fixture, &owned[0]).await;
}

pub(super) async fn keeps_every_digit_of_the_event(fixture: Fixture) {
    let image = |total: &str| {
        let text = format!(r#"{{"total": {total}, "big": 18446744073709551617, "name": "é\"\n日本"}}"#);
        serde_json::from_str(&text).unwrap()
    };
    let mut event = EntityEvent::at(
        event_id(1),
        at(1),
        EventKind::Updated,
        "Order",
        "a:b",
        image("0.10000000000000000001"),
    )
    .with_old(image("0.1"));
    event.tenant_id = Some("tenant".into());
    event.actor = Some("someone".into());
    event.traceparent = Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into());
    fixture.store.emit(event.clone()).await.unwrap();
    let owned = fixture.take(1, &[Target::new("watcher")]).await.owned;
    assert_eq!(*owned[0].event, event, "taken");
    fixture.complete(&owned, &End::Retry { at: at(1) }).await;
    let claimed = fixture.claim(1, at(1)).await;
    assert_eq!(*claimed[0].event, event, "claimed");
    fixture.complete(&claimed, &dead()).await;
    assert_eq!(fixture.store.dead_letter(owned[0].id).await.unwrap().event, event, "buried");
    assert_eq!(fixture.store.event(event_id(1)).await.unwrap().event, event, "shown");
    let none =
        fixture.store.deliveries(DeliveryFilter { limit: 1, ..DeliveryFilter::default() }).await.unwrap();
    assert!(none.is_empty());
}

pub(super) async fn tries_a_destination_with_what_was_not_tried_before(fixture: Fixture) {
    fixture.emit(1..=3).await;
    let first = fixture.take(1, &[Target::new("watcher")]).await.owned;
    fixture.complete(&first, &End::Retry { at: at(5) }).await;
    let untried = async |limit| {
        let request =
            ClaimRequest { share: ClaimShare::READY_FIRST, ..ClaimRequest::new(fixture.host, limit, at(9)) };
        numbers(&fixture.store.claim(request).await.unwrap())
    };
    assert_eq!(untried(1).await, [2]);
    assert_eq!(untried(5).await, [3, 1], "then retries that are due");
}

/// Makes events of `base + 1..=base + 20`, whose deliveries are retries that are due in this order, and of the next 20, whose
/// deliveries are ready.
async fn make_retries_and_ready(fixture: &Fixture, base: u64) {
    fixture.emit(base + 1..=base + 20).await;
    for delivery in fixture.take(20, &[Target::new("watcher")]).await.owned {
        let number = numbers(std::slice::from_ref(&delivery))[0];
        fixture.complete(&[delivery], &End::Retry { at: at(number) }).await;
    }
    fixture.emit(base + 21..=base + 40).await;
    fixture.take(0, &[Target::new("watcher")]).await;
}

pub(super) async fn divides_a_claim_between_due_retries_and_what_is_ready(fixture: Fixture) {
    let elsewhere = Lane { observer: "elsewhere".into(), action: "hook".into() };
    for (base, except) in [(0, &[][..]), (100, &[elsewhere])] {
        make_retries_and_ready(&fixture, base).await;
        let claim = async |limit, retries, first| {
            let share = ClaimShare { retries, first };
            let request = ClaimRequest { except, share, ..ClaimRequest::new(fixture.host, limit, at(200)) };
            let claimed = numbers(&fixture.store.claim(request).await.unwrap());
            claimed.into_iter().map(|number| number - base).collect::<Vec<_>>()
        };
        assert_eq!(claim(8, 2, ClaimFirst::Ready).await, [21, 22, 23, 24, 25, 26, 1, 2]);
        assert_eq!(claim(8, 2, ClaimFirst::Due).await, [3, 4, 27, 28, 29, 30, 31, 32]);
        assert_eq!(claim(1, 0, ClaimFirst::Ready).await, [33]);
        assert_eq!(claim(1, 1, ClaimFirst::Due).await, [5]);
        let rest_of_ready = (34..=40).chain(6..=18).collect::<Vec<_>>();
        assert_eq!(claim(20, 2, ClaimFirst::Ready).await, rest_of_ready, "retries have what is left");
        fixture.emit(base + 41..=base + 60).await;
        fixture.take(0, &[Target::new("watcher")]).await;
        assert_eq!(claim(6, 4, ClaimFirst::Due).await, [19, 20, 41, 42, 43, 44], "and what is ready");
        assert_eq!(claim(6, 4, ClaimFirst::Ready).await, [45, 46, 47, 48, 49, 50], "without any retry");
        assert_eq!(claim(20, 4, ClaimFirst::Due).await, (51..=60).collect::<Vec<_>>());
        assert!(claim(20, 4, ClaimFirst::Ready).await.is_empty());
    }
}

/// Where the bytes of events are scarce, the first part has them: so who goes first is to change.
pub(super) async fn divides_bytes_by_who_goes_first(fixture: Fixture) {
    make_retries_and_ready(&fixture, 0).await;
    let claim = async |first| {
        let share = ClaimShare { retries: 2, first };
        let request = ClaimRequest { share, max_bytes: 1, ..ClaimRequest::new(fixture.host, 4, at(200)) };
        numbers(&fixture.store.claim(request).await.unwrap())
    };
    assert_eq!(claim(ClaimFirst::Ready).await, [21]);
    assert_eq!(claim(ClaimFirst::Due).await, [1]);
    assert_eq!(claim(ClaimFirst::Ready).await, [22]);
}

/// Of an ordering key only the first can be claimed: it is a retry or ready, and those behind it are neither.
pub(super) async fn divides_a_claim_between_the_first_of_each_ordering_key(fixture: Fixture) {
    fixture.emit([1, 2, 3]).await;
    let owned = fixture.take(3, &[Target::ordered("watcher")]).await.owned;
    fixture.complete(&owned[..2], &End::Retry { at: at(5) }).await;
    fixture.complete(&owned[2..], &End::Succeeded).await;
    fixture.emit([11, 12, 13, 23, 14]).await;
    fixture.take(0, &[Target::ordered("watcher")]).await;
    let claim = async |limit, retries| {
        let share = ClaimShare { retries, first: ClaimFirst::Ready };
        let runs = RunLengths { others: 5, ..RunLengths::default() };
        let request = ClaimRequest { share, runs: &runs, ..ClaimRequest::new(fixture.host, limit, at(9)) };
        fixture.store.claim(request).await.unwrap()
    };
    let first = claim(2, 1).await;
    assert_eq!(first[0].event.entity_id, "13");
    assert!(["1", "2"].contains(&&*first[1].event.entity_id), "{first:?}");
    // The other retry, the head of the third key, and what follows a head: the key of the first retry is owned, 23 waits for 13.
    let mut second = numbers(&claim(10, 1).await);
    second.sort_unstable();
    assert_eq!(second, [if first[1].event.entity_id == "1" { 2 } else { 1 }, 14]);
    fixture.complete(&first, &End::Succeeded).await;
    let mut third = numbers(&claim(10, 0).await);
    third.sort_unstable();
    assert_eq!(third, [if first[1].event.entity_id == "1" { 11 } else { 12 }, 23]);
}
