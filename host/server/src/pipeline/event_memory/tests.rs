//! Which events are owned together, with sizes as a script says.

use std::pin::pin;

use aftercommit_core::{DeliveryId, EventKind, Losses};
use futures::poll;
use serde_json::json;

use super::*;
use crate::{
    pipeline::room::{Place, Room},
    sample,
};

/// One MiB: events of more than 32 KiB are large.
const BUDGET: usize = 1 << 20;
const LARGEST_SMALL: usize = BUDGET / 4 / COPIES;
const LARGE: usize = LARGEST_SMALL + UNIT_BYTES;

struct Test {
    claimer: Arc<Notify>,
    room: Room,
}

impl Test {
    fn new() -> Self {
        let claimer = Arc::new(Notify::new());
        Self { room: Room::new(100, EventMemory::new(BUDGET, Arc::clone(&claimer))), claimer }
    }

    fn memory(&self) -> &EventMemory {
        self.room.memory()
    }

    /// Owns one delivery of this size, whatever the store found it beside.
    async fn own(&self, observer: &str, event_bytes: usize) -> Place {
        self.room.reserve(1).await.places(&[delivery(observer, event_bytes)]).remove(0)
    }

    async fn claimer_is_woken(&self) -> bool {
        poll!(pin!(self.claimer.notified())).is_ready()
    }
}

fn delivery(observer: &str, event_bytes: usize) -> ClaimedDelivery {
    let event = sample::event();
    ClaimedDelivery {
        id: DeliveryId::of(event.id, observer, "hook"),
        event,
        observer: observer.into(),
        action: "hook".into(),
        action_type: "webhook".into(),
        attempt: 1,
        attempts_before: 0,
        losses: Losses::default(),
        event_bytes,
        ordering_key: None,
    }
}

fn lane(observer: &str) -> Lane {
    Lane { observer: observer.into(), action: "hook".into() }
}

#[tokio::test]
async fn memory_is_charged_with_the_copies_and_comes_back_with_the_place() {
    let test = Test::new();
    let reservation = test.room.reserve(10).await;
    assert_eq!(reservation.text_bytes(), BUDGET / 2 / COPIES);
    assert_eq!(test.memory().taken(), BUDGET / 2);
    drop(reservation);
    let (one, two) = (test.own("a", 1000).await, test.own("a", 2 * UNIT_BYTES).await);
    assert_eq!(test.memory().taken(), (8 + 2 * COPIES) * UNIT_BYTES);
    test.room.free(vec![two]);
    assert_eq!(test.memory().taken(), 8 * UNIT_BYTES);
    drop(one);
    assert_eq!((test.memory().taken(), test.room.taken()), (0, 0));
}

#[tokio::test]
async fn what_is_set_aside_takes_every_event_that_is_not_large() {
    let test = Test::new();
    let mut places = Vec::new();
    for _ in 0..4 {
        let mut reservation = test.room.reserve(1).await;
        assert!(reservation.text_bytes() >= LARGEST_SMALL);
        places.extend(reservation.places(&[delivery("a", LARGEST_SMALL)]));
    }
    assert_eq!(test.memory().taken(), BUDGET);
    assert!(places.iter().all(|place| !place.is_large() && !place.is_refused()));
}

#[tokio::test]
async fn who_has_no_memory_waits_and_is_heard_of() {
    let test = Test::new();
    let first = [test.own("a", LARGEST_SMALL).await, test.own("a", LARGEST_SMALL).await];
    let second = [test.own("a", LARGEST_SMALL).await, test.own("a", 1).await];
    let mut heard = pin!(test.room.is_waited_for());
    assert!(poll!(&mut heard).is_pending());
    let mut next = pin!(test.room.reserve(1));
    assert!(poll!(&mut next).is_pending(), "less than a quarter is free");
    assert!(poll!(&mut heard).is_ready());
    drop(first);
    assert!(next.await.text_bytes() >= LARGEST_SMALL);
    drop(second);
    assert_eq!(test.memory().taken(), 0);
}

#[tokio::test]
async fn a_large_event_and_small_ones_do_not_wait_for_each_other() {
    let test = Test::new();
    let small: Vec<_> = [test.own("a", LARGEST_SMALL).await, test.own("a", LARGEST_SMALL).await].into();
    let large = test.own("b", 50 * BUDGET).await;
    assert!(large.is_large(), "larger than the whole budget");
    let more = test.own("a", LARGEST_SMALL).await;
    assert!(!more.is_refused());
    assert_eq!(test.memory().taken(), 3 * BUDGET / 4, "it is beside the budget");
    drop((small, more));
    assert_eq!(test.memory().taken(), 0);
    drop(large);
}

#[tokio::test]
async fn of_large_events_one_is_under_way_and_the_lanes_of_others_are_passed_over() {
    let test = Test::new();
    assert_eq!(test.memory().passed_over(), HashSet::new());
    let first = test.own("a", LARGE).await;
    assert_eq!(test.memory().passed_over(), HashSet::from([lane("a")]));
    let second = test.own("b", LARGE).await;
    assert!(second.is_refused());
    assert_eq!(test.memory().passed_over(), HashSet::from([lane("a"), lane("b")]));
    assert!(!test.own("b", 1).await.is_refused(), "a small one of that lane was on its way");
    drop(second);
    assert!(!test.claimer_is_woken().await, "the first is still under way");
    drop(first);
    assert!(test.claimer_is_woken().await);
    assert_eq!(test.memory().passed_over(), HashSet::new());
    assert!(test.own("b", LARGE).await.is_large());
}

#[tokio::test]
async fn intake_leaves_large_events_to_the_claimer_while_one_is_under_way() {
    let test = Test::new();
    let event =
        |bytes| EntityEvent::new(EventKind::Created, "Order", 1, json!({ "body": "x".repeat(bytes) }));
    let (small, large) = (event(LARGEST_SMALL / 2), event(LARGE));
    assert!(!test.memory().holds_back(&large), "none is under way");
    let under_way = test.own("a", LARGE).await;
    assert!(test.memory().holds_back(&large) && !test.memory().holds_back(&small));
    let updated = event(LARGEST_SMALL / 2).with_old(large.data.clone());
    assert!(test.memory().holds_back(&updated), "both images count");
    drop(under_way);
    assert!(!test.memory().holds_back(&large));
}

#[tokio::test]
async fn the_store_is_called_in_turn_while_large_events_come() {
    let test = Test::new();
    let side_by_side = (test.room.reserve(1).await, test.room.reserve(1).await);
    drop(side_by_side);
    drop(test.own("a", LARGE).await);
    for _ in 0..CAREFUL_CALLS / 2 {
        tokio::task::yield_now().await;
        let first = test.room.reserve(1).await;
        let mut second = pin!(test.room.reserve(1));
        assert!(poll!(&mut second).is_pending());
        drop(first);
        second.await;
    }
    let _side_by_side = (test.room.reserve(1).await, test.room.reserve(1).await);
}

#[test]
fn the_size_of_an_event_is_about_that_of_its_text() {
    let data = json!({"n": 12, "rows": [true, null, {"k": "text"}, [1.5, "x"]], "body": "y".repeat(100)});
    let text = data.to_string().len();
    let counted = text_bytes(&EntityEvent::new(EventKind::Created, "Order", 1, data));
    assert!(counted.abs_diff(text) < 10, "{counted} for {text}");
}

/// What waits in the store, in order, as a claim sees it.
struct Waiting(Vec<ClaimedDelivery>);

impl Waiting {
    fn claim(&mut self, limit: usize, max_bytes: usize, except: &HashSet<Lane>) -> Vec<ClaimedDelivery> {
        let (mut claimed, mut left) = (Vec::new(), max_bytes);
        let waiting = std::mem::take(&mut self.0);
        for delivery in waiting {
            let fits = claimed.is_empty() || (claimed.len() < limit && delivery.event_bytes <= left);
            if except.contains(&lane(&delivery.observer)) || !fits {
                self.0.push(delivery);
            } else {
                left = left.saturating_sub(delivery.event_bytes);
                claimed.push(delivery);
            }
        }
        claimed
    }
}

#[tokio::test]
async fn whatever_the_sizes_are_everything_ends_within_the_budget_and_one_large_event() {
    for seed in 0..200 {
        let mut random = fastrand::Rng::with_seed(seed);
        let test = Test::new();
        let size = |random: &mut fastrand::Rng| match random.u8(..4) {
            0 => random.usize(LARGE..20 * BUDGET),
            1 => random.usize(LARGEST_SMALL / 2..=LARGEST_SMALL),
            _ => random.usize(..2000),
        };
        let observers = ["a", "b", "c"];
        let mut store =
            Waiting((0..100).map(|_| delivery(observers[random.usize(..3)], size(&mut random))).collect());
        let (mut running, mut ended): (Vec<(ClaimedDelivery, Place)>, usize) = (Vec::new(), 0);
        while ended < 100 {
            // Else the runtime would have the semaphores say that they are busy.
            tokio::task::yield_now().await;
            {
                let mut reserve = pin!(test.room.reserve(20));
                if let std::task::Poll::Ready(mut reservation) = poll!(&mut reserve) {
                    let claimed = store.claim(
                        reservation.len(),
                        reservation.text_bytes(),
                        &test.memory().passed_over(),
                    );
                    let places = reservation.places(&claimed);
                    let (refused, owned): (Vec<_>, Vec<_>) =
                        claimed.into_iter().zip(places).partition(|(_, place)| place.is_refused());
                    store.0.extend(refused.into_iter().map(|(delivery, _)| delivery));
                    running.extend(owned);
                }
            }
            let large = running.iter().filter(|(_, place)| place.is_large()).count();
            let small: usize =
                running.iter().filter(|(_, place)| !place.is_large()).map(|(it, _)| it.event_bytes).sum();
            let rounded = running.len() * UNIT_BYTES;
            assert!(
                large <= 1 && small * COPIES <= BUDGET + rounded,
                "seed {seed}: {large} large, {small} bytes"
            );
            assert!(!running.is_empty(), "seed {seed}: nothing runs, and {} wait", store.0.len());
            // Some end, in any order.
            for _ in 0..random.usize(1..=running.len()) {
                running.swap_remove(random.usize(..running.len()));
                ended += 1;
            }
        }
        assert_eq!((test.memory().taken(), test.room.taken()), (0, 0));
    }
}
