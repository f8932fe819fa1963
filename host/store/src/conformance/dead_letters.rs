//! Cases of `DeadLetters`.

use aftercommit_core::{DeliveryId, EventKind, ObserverDefinition};
use uuid::Uuid;

use super::fixture::{Fixture, action_as_written, at, dead, event, event_id, numbers};
use crate::{DeadLetterFilter, End, RetentionLimits, StoreError};

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
    assert_eq!(fixture.store.replay(vec![ids[0]], at(20)).await.unwrap(), [ids[0]]);
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
    assert_eq!(fixture.replay_all(at(1)).await, []);
    let mut ids = fixture.bury(1..=3).await;
    let page = fixture.store.dead_letter_ids(&DeadLetterFilter::default(), None).await.unwrap();
    assert_eq!(page.rows, ids, "in the order of their events");
    let mut replayed = fixture.replay_all(at(20)).await;
    ids.sort();
    replayed.sort();
    assert_eq!(replayed, ids);
    assert!(fixture.store.dead_letters(10).await.unwrap().is_empty());
    assert_eq!(numbers(&fixture.claim(10, at(20)).await), [1, 2, 3]);
}

pub(super) async fn replays_those_that_are_there_and_names_one_that_is_not(fixture: Fixture) {
    let ids = fixture.bury([1]).await;
    let unknown = DeliveryId(Uuid::from_u128(42));
    let error = fixture.store.require_dead_letters(&[ids[0], unknown]).await.unwrap_err();
    assert!(matches!(&error, StoreError::NotFound { name, .. } if *name == unknown.to_string()), "{error}");
    fixture.store.require_dead_letters(&ids).await.unwrap();
    let twice = fixture.store.replay(vec![ids[0], unknown, ids[0]], at(20)).await.unwrap();
    assert_eq!((twice, fixture.live().await.len()), (ids.clone(), 1), "named twice, it is made once");
    assert_eq!(fixture.store.replay(ids.clone(), at(21)).await.unwrap(), [], "it is no item any more");
    assert_eq!(fixture.store.history(ids[0]).await.unwrap().len(), 1);
}

/// Dead letters of the observers `a` and `b`, which differ in all that a filter knows.
async fn different_ones(fixture: &Fixture) -> Vec<DeliveryId> {
    let ids = fixture.bury(1..=4).await;
    let of =
        |entity: u32, set: &str| format!("UPDATE observer_dlq_items SET {set} WHERE entity_id = '{entity}';");
    let changes = [
        of(2, "observer = 'other', died_at = '2026-01-02T00:00:00.000000Z'"),
        of(3, "action = 'third', class = 'permanent', died_at = '2026-01-03T00:00:00.000000Z'"),
        of(
            4,
            "action_type = 'log', code = 'http_410', event_kind = 'deleted', died_at = '2026-01-04T00:00:00.000000Z'",
        ),
        of(4, "entity_type = 'Customer'"),
    ];
    fixture.database.sql(&changes.concat()).await;
    ids
}

pub(super) async fn a_filter_chooses_those_that_fit_in_all(fixture: Fixture) {
    let ids = different_ones(&fixture).await;
    let all = DeadLetterFilter::default;
    let text = |text: &str| Some(text.to_owned());
    let day = |day: u32| Some(format!("2026-01-0{day}T00:00:00Z").parse().unwrap());
    for (filter, expected) in [
        (all(), &[4, 3, 2, 1][..]),
        (DeadLetterFilter { observer: text("other"), ..all() }, &[2]),
        (DeadLetterFilter { action: text("hook"), ..all() }, &[4, 2, 1]),
        (DeadLetterFilter { action: text("webhook"), ..all() }, &[3, 2, 1]),
        (DeadLetterFilter { class: text("permanent"), ..all() }, &[3]),
        (DeadLetterFilter { code: text("http_410"), ..all() }, &[4]),
        (DeadLetterFilter { entity_type: text("Customer"), ..all() }, &[4]),
        (DeadLetterFilter { event_kind: Some(EventKind::Deleted), ..all() }, &[4]),
        (DeadLetterFilter { since: day(3), ..all() }, &[4, 3]),
        (DeadLetterFilter { until: day(3), ..all() }, &[2, 1]),
        (DeadLetterFilter { since: day(2), until: day(4), observer: text("watcher"), ..all() }, &[3]),
        (DeadLetterFilter { observer: text("other"), code: text("http_410"), ..all() }, &[]),
        (DeadLetterFilter { observer: text("nobody"), ..all() }, &[]),
    ] {
        let expected: Vec<_> = expected.iter().map(|n| ids[n - 1]).collect();
        let page = fixture.store.dead_letters_page(&filter, None, 10).await.unwrap();
        assert!(page.next.is_none(), "{filter:?}");
        assert_eq!(page.rows.iter().map(|item| item.id).collect::<Vec<_>>(), expected, "{filter:?}");
        let count = fixture.store.count_dead_letters(&filter).await.unwrap();
        assert_eq!(usize::try_from(count).unwrap(), expected.len(), "{filter:?}");
        let mut in_order = fixture.store.dead_letter_ids(&filter, None).await.unwrap().rows;
        in_order.reverse();
        assert_eq!(in_order, expected, "{filter:?}, in the order of their events");
    }
}

pub(super) async fn lists_the_newest_first_page_by_page(fixture: Fixture) {
    // Some of them died in the same microsecond.
    let ids = fixture.bury(1..=7).await;
    fixture
        .database
        .sql("UPDATE observer_dlq_items SET died_at = '2026-01-02T00:00:00.000000Z' WHERE entity_id IN ('2', '3', '4')")
        .await;
    let (mut after, mut found) = (None, Vec::new());
    loop {
        let page = fixture.store.dead_letters_page(&DeadLetterFilter::default(), after, 2).await.unwrap();
        assert!(page.rows.len() <= 2);
        found.extend(page.rows.iter().map(|item| item.id));
        let Some(next) = page.next else { break };
        after = Some(next);
    }
    let (mut first, mut rest) = (ids[1..4].to_vec(), vec![ids[0], ids[4], ids[5], ids[6]]);
    first.sort();
    rest.sort();
    assert_eq!(found, [first, rest].concat());
}

pub(super) async fn replays_and_discards_what_a_filter_chooses(fixture: Fixture) {
    let ids = different_ones(&fixture).await;
    let other = DeadLetterFilter { observer: Some("other".into()), ..DeadLetterFilter::default() };
    let mut replayed = Vec::new();
    let mut add = |ids: &[DeliveryId]| replayed.extend_from_slice(ids);
    fixture.store.replay_all(&other, at(20), &mut add).await.unwrap();
    assert_eq!(replayed, [ids[1]]);
    assert_eq!(fixture.live().await.iter().map(|row| row.id).collect::<Vec<_>>(), [ids[1]]);
    let permanent = DeadLetterFilter { class: Some("permanent".into()), ..DeadLetterFilter::default() };
    assert_eq!(fixture.store.discard_all(&permanent, at(20)).await.unwrap(), 1);
    assert_eq!(fixture.store.history(ids[2]).await.unwrap()[0].what, "discarded");
    let left = fixture.store.dead_letters(10).await.unwrap();
    assert_eq!(left.iter().map(|item| item.id).collect::<Vec<_>>(), [ids[3], ids[0]], "no other");
    assert_eq!(fixture.store.discard_all(&DeadLetterFilter::default(), at(20)).await.unwrap(), 2);
    assert_eq!(fixture.store.count_dead_letters(&DeadLetterFilter::default()).await.unwrap(), 0);
}

pub(super) async fn restores_an_event_that_was_dropped(fixture: Fixture) {
    let ids = fixture.bury(1..=2).await;
    let limits = RetentionLimits { events_before: at(1000), log_before: at(0), batch: 100 };
    assert_eq!(fixture.store.purge(limits).await.unwrap().events, 2);
    assert_eq!(fixture.store.dead_letter(ids[0]).await.unwrap().event, event(1), "it has its own copy");
    fixture.store.replay(vec![ids[0]], at(20)).await.unwrap();
    assert_eq!(fixture.store.event(event_id(1)).await.unwrap().event, event(1));
    assert!(fixture.store.event(event_id(2)).await.is_err());
    assert_eq!(fixture.store.inbox_len().await.unwrap(), 0, "it is not matched again");
    assert_eq!(numbers(&fixture.claim(10, at(20)).await), [1]);
}

pub(super) async fn a_replayed_one_can_die_again(fixture: Fixture) {
    let ids = fixture.bury([1]).await;
    for round in 1..=3_u32 {
        fixture.store.replay(ids.clone(), at(20)).await.unwrap();
        let claimed = fixture.claim(10, at(20)).await;
        assert_eq!((claimed[0].attempt, claimed[0].attempts_before), (round + 1, round));
        fixture.complete(&claimed, &dead()).await;
        assert_eq!(fixture.store.dead_letter(ids[0]).await.unwrap().attempts, round + 1);
    }
    assert_eq!(fixture.store.history(ids[0]).await.unwrap().len(), 3);
    fixture.store.replay(ids.clone(), at(20)).await.unwrap();
    let claimed = fixture.claim(10, at(20)).await;
    fixture.complete(&claimed, &End::Succeeded).await;
    assert!(fixture.store.dead_letters(10).await.unwrap().is_empty() && fixture.live().await.is_empty());
}

pub(super) async fn a_replay_of_a_disabled_observer_waits(fixture: Fixture) {
    fixture.store.apply(vec![ObserverDefinition::new("watcher")], false, false, at(0)).await.unwrap();
    let ids = fixture.bury([1]).await;
    fixture.store.set_enabled("watcher", false, at(1)).await.unwrap();
    fixture.store.replay(ids, at(20)).await.unwrap();
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
    assert_eq!(fixture.store.discard(vec![ids[0], ids[1], unknown], at(20)).await.unwrap(), 2);
    let left = fixture.store.dead_letters(10).await.unwrap();
    assert_eq!(left.iter().map(|item| item.id).collect::<Vec<_>>(), ids[2..]);
    assert_eq!(fixture.store.history(ids[0]).await.unwrap()[0].what, "discarded");
    assert!(fixture.live().await.is_empty());
}
