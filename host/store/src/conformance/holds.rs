//! Cases of `Holds`.

use aftercommit_core::Timestamp;

use super::fixture::{Fixture, Target as Watcher, at};
use crate::{End, Hold, HoldState, Lane, Lift, PacedTarget, Target};

fn lane(observer: &str, action: &str) -> Lane {
    Lane { observer: observer.into(), action: action.into() }
}

fn destination(name: &str, until: Timestamp) -> Hold {
    Hold {
        target: Target::Destination(name.to_owned()),
        state: HoldState::Open,
        code: "http_status".into(),
        message: "the destination answered 503: \"closed\"".into(),
        http_status: Some(503),
        since: at(1),
        until: Some(until),
        openings: 3,
        lanes: vec![lane("watcher", "hook"), lane("o\"dd", "é")],
        definition: None,
    }
}

fn endpoint(observer: &str, action: &str) -> Hold {
    Hold {
        target: Target::Endpoint(observer.to_owned(), action.to_owned()),
        state: HoldState::Paused,
        code: "endpoint_gone".into(),
        message: "gone for good".into(),
        http_status: None,
        since: at(2),
        until: None,
        openings: 0,
        lanes: vec![lane(observer, action)],
        definition: Some(("digest".into(), 7)),
    }
}

pub(super) async fn holds_are_listed_as_they_were_written(fixture: Fixture) {
    assert_eq!(fixture.store.holds().await.unwrap(), []);
    let written = [
        destination("http://a.example", at(10)),
        destination("https://b.example:8443", at(20)),
        endpoint("a", "b/c"),
        endpoint("a/b", "c"),
        Hold {
            target: Target::Address("http://a.example/x C1".to_owned()),
            ..destination("http://a.example", at(10))
        },
    ];
    for hold in written.iter().rev() {
        fixture.store.hold(hold.clone()).await.unwrap();
    }
    assert_eq!(fixture.store.holds().await.unwrap(), written);
    let seen_by_another = fixture.database.second_store().await.holds().await.unwrap();
    assert_eq!(seen_by_another, written);
}

pub(super) async fn of_two_openings_the_later_end_stays(fixture: Fixture) {
    let later = Hold { openings: 4, state: HoldState::Throttled, ..destination("d", at(20)) };
    for hold in [destination("d", at(10)), later.clone(), destination("d", at(15))] {
        fixture.store.hold(hold).await.unwrap();
    }
    assert_eq!(fixture.store.holds().await.unwrap(), [later]);
}

pub(super) async fn of_two_pauses_the_first_reason_stays(fixture: Fixture) {
    let first = endpoint("watcher", "hook");
    fixture.store.hold(first.clone()).await.unwrap();
    fixture.store.hold(Hold { message: "gone again".into(), since: at(9), ..first.clone() }).await.unwrap();
    assert_eq!(fixture.store.holds().await.unwrap(), [first]);
}

pub(super) async fn lifts_only_what_it_may(fixture: Fixture) {
    let (open, paused) = (destination("d", at(10)), endpoint("watcher", "hook"));
    for hold in [&open, &paused] {
        fixture.store.hold(hold.clone()).await.unwrap();
    }
    let lift = async |target: &Target, only: Lift| fixture.store.lift(target.clone(), only).await.unwrap();
    assert!(!lift(&open.target, Lift::OverAt(at(9))).await, "it was renewed");
    assert!(lift(&open.target, Lift::OverAt(at(10))).await);
    assert!(!lift(&open.target, Lift::Always).await, "there is none any more");
    assert!(!lift(&paused.target, Lift::Before(7)).await, "it was written under this revision");
    assert!(!lift(&paused.target, Lift::OverAt(at(1000))).await, "it has no end");
    assert!(!lift(&Target::Endpoint("watcher".into(), "other".into()), Lift::Always).await);
    assert_eq!(fixture.store.holds().await.unwrap(), std::slice::from_ref(&paused));
    assert!(lift(&paused.target, Lift::Before(8)).await);
    fixture.store.hold(paused.clone()).await.unwrap();
    assert!(lift(&paused.target, Lift::Always).await);
    assert_eq!(fixture.store.holds().await.unwrap(), []);
}

pub(super) async fn counts_what_waits_by_lane(fixture: Fixture) {
    fixture.emit(1..=3).await;
    let owned = fixture.take(2, &[Watcher::new("a"), Watcher::new("b")]).await.owned;
    fixture.complete(&owned[..1], &End::Retry { at: at(9) }).await;
    let mut waiting = fixture.store.waiting().await.unwrap();
    waiting.sort_by(|one, other| one.0.observer.cmp(&other.0.observer));
    assert_eq!(waiting, [(lane("a", "hook"), 3), (lane("b", "hook"), 2)]);
}

pub(super) async fn learned_rates_are_kept_and_forgotten(fixture: Fixture) {
    let rate = |target: Target, per_minute| PacedTarget {
        target,
        per_minute,
        since: at(1),
        updated_at: at(2),
        lanes: vec![lane("watcher", "hook")],
    };
    let destination = Target::Destination("http://a.example".to_owned());
    let mut address = rate(Target::Address("http://a.example/x".to_owned()), 1);
    fixture.store.keep_rate(address.clone()).await.unwrap();
    fixture.store.keep_rate(rate(destination.clone(), 3000)).await.unwrap();
    let written = [rate(destination.clone(), 3000), address.clone()];
    assert_eq!(fixture.store.learned_rates().await.unwrap(), written);
    let later = PacedTarget { per_minute: 7, since: at(5), updated_at: at(6), ..address.clone() };
    fixture.store.keep_rate(later).await.unwrap();
    (address.per_minute, address.updated_at) = (7, at(6));
    let seen_by_another = fixture.database.second_store().await.learned_rates().await.unwrap();
    assert_eq!(seen_by_another, [rate(destination.clone(), 3000), address.clone()], "since when it is known");
    fixture.store.forget_rate(address.target.clone(), at(5)).await.unwrap();
    fixture.store.forget_rate(destination, at(5)).await.unwrap();
    assert_eq!(fixture.store.learned_rates().await.unwrap(), [address], "it was written meanwhile");
}
