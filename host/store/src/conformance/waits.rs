//! Cases of `Waits`: the clock is set back.

use std::time::Duration;

use aftercommit_core::{DeliveryState, Timestamp};

use super::fixture::{Fixture, Target, at};
use crate::{End, Hold, HoldState, Lane, Target as Held};

/// An hour before the test began.
fn hour_before() -> Timestamp {
    at(0).minus(Duration::from_hours(1))
}

pub(super) async fn a_retry_waits_no_longer_than_it_was_to(fixture: Fixture) {
    // More than one piece.
    fixture.emit(1..=80).await;
    let owned = fixture.take(80, &[Target::new("watcher")]).await.owned;
    // The attempts of this suite end 1.5 ms after their fifth second.
    fixture.complete(&owned[..79], &End::Retry { at: at(7) }).await;
    fixture
        .store
        .release(fixture.host, vec![(owned[79].id, 1)], Some(Duration::from_secs(1)), at(5))
        .await
        .unwrap();
    assert_eq!(fixture.store.pull_in(at(5)).await.unwrap(), 0, "their waits have begun");
    let now = hour_before();
    assert_eq!(fixture.store.pull_in(now).await.unwrap(), 80);
    assert_eq!(fixture.store.pull_in(now).await.unwrap(), 0);
    let live = fixture.live().await;
    assert!(live.iter().all(|row| row.status == DeliveryState::Waiting), "{live:?}");
    assert_eq!(fixture.claim(100, now).await.len(), 0);
    assert_eq!(fixture.claim(100, now.plus(Duration::from_secs(1))).await.len(), 1, "what was handed back");
    assert_eq!(fixture.claim(100, now.plus(Duration::from_secs(2))).await.len(), 79, "what is tried again");
}

pub(super) async fn a_wait_that_should_be_over_is_over(fixture: Fixture) {
    fixture.emit([1]).await;
    let owned = fixture.take(1, &[Target::new("watcher")]).await.owned;
    // The clock was set back before the next attempt was planned.
    fixture.complete(&owned, &End::Retry { at: hour_before() }).await;
    let now = hour_before().minus(Duration::from_secs(9));
    assert_eq!(fixture.store.pull_in(now).await.unwrap(), 1);
    assert_eq!(fixture.claim(10, now).await.len(), 1);
}

pub(super) async fn a_destination_is_left_alone_no_longer_than_it_was_to_be(fixture: Fixture) {
    let hold = |name: &str, until| Hold {
        target: Held::Destination(name.to_owned()),
        state: HoldState::Open,
        code: "http_status".into(),
        message: "busy".into(),
        http_status: Some(503),
        since: at(5),
        until,
        openings: 1,
        lanes: vec![Lane { observer: "watcher".into(), action: "hook".into() }],
        definition: None,
    };
    let open = hold("https://open", Some(at(65)));
    fixture.store.hold(open.clone()).await.unwrap();
    let address = Hold { target: Held::Address("https://open/x".to_owned()), ..open.clone() };
    fixture.store.hold(address.clone()).await.unwrap();
    let paused = Hold { target: Held::Endpoint("watcher".into(), "hook".into()), ..hold("", None) };
    fixture.store.hold(paused.clone()).await.unwrap();
    assert_eq!(open.until_from(at(5)), Some(at(65)));
    let now = hour_before();
    assert_eq!(open.until_from(now), Some(now.plus(Duration::from_mins(1))));
    assert_eq!(fixture.store.pull_in(now).await.unwrap(), 0, "no delivery waits");
    let holds = fixture.store.holds().await.unwrap();
    assert_eq!((&holds[0].target, &holds[1].target), (&open.target, &address.target));
    for hold in &holds[..2] {
        assert_eq!((hold.since, hold.until), (now, Some(now.plus(Duration::from_mins(1)))));
    }
    assert_eq!(holds[2], paused, "a pause has no end");
}

pub(super) async fn a_heartbeat_of_the_future_is_none(fixture: Fixture) {
    fixture.store.register(fixture.host, "box:1", at(3600)).await.unwrap();
    fixture.store.register(fixture.other, "box:2", at(0)).await.unwrap();
    let lease = Duration::from_secs(30);
    let century = Duration::from_hours(876_000);
    let taken = fixture.store.take_over(at(1), at(1).minus(century)..=at(1).plus(century)).await.unwrap();
    assert!(taken.hosts.is_empty(), "after a jump nobody is taken for dead");
    let taken = fixture.store.take_over(at(1), at(1).minus(lease)..=at(1).plus(lease)).await.unwrap();
    assert_eq!(taken.hosts, [fixture.host]);
}
