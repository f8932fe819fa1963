//! What destinations let through, in the time of a test.

use std::{
    future::ready,
    pin::pin,
    sync::atomic::{AtomicI64, Ordering::Relaxed},
    time::Instant,
};

use aftercommit_core::{AttemptResult, Failure, FailureClass, Outcome, Problem};
use futures::poll;
use tokio::sync::Semaphore;

use super::*;

/// Stands still unless it is moved.
#[derive(Default)]
struct StoppedClock(AtomicI64);

impl Clock for StoppedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Relaxed))
    }
}

impl StoppedClock {
    fn pass(&self, span: Duration) {
        self.0.fetch_add(i64::try_from(span.as_micros()).unwrap(), Relaxed);
    }
}

struct Test {
    destinations: Destinations,
    clock: Arc<StoppedClock>,
    slots: Semaphore,
}

const DELIVERED: AttemptResult = Ok(Outcome { summary: String::new(), status: None, details: None });

const SECOND: Duration = Duration::from_secs(1);

fn test() -> Test {
    let breaker = BreakerSettings { failures: 2, open: SECOND, max_open: 10 * SECOND, probes: 1 };
    let rate = DestinationConfig { rate_per_sec: Some(10.0), ..DestinationConfig::default() };
    let narrow = DestinationConfig { max_concurrency: Some(1), ..DestinationConfig::default() };
    let settings = Settings {
        channel_capacity: 16,
        max_concurrency: 8,
        per_destination: 2,
        breaker,
        named: BTreeMap::from([("rated".to_owned(), rate), ("one".to_owned(), narrow)]),
    };
    let clock = Arc::<StoppedClock>::default();
    let destinations = Destinations::new(settings, clock.clone(), Arc::default(), Arc::default());
    Test { destinations, clock, slots: Semaphore::new(100) }
}

fn unavailable(retry_after: Option<Duration>) -> AttemptResult {
    let problem = Problem { status: Some(503), ..Problem::of_plugin("http_status", "not now") };
    Err(Failure { retry_after, ..Failure::new(FailureClass::Transient, problem) })
}

fn visit(destination: &Arc<Destination>) -> Visit {
    Visit::new(destination, None, Kind::Alone)
}

fn lane(observer: &str) -> Lane {
    Lane { observer: observer.into(), action: "hook".into() }
}

impl Test {
    /// One delivery, from its beginning to its end; none when it is turned away.
    async fn deliver(&self, name: &str, result: AttemptResult) -> Option<bool> {
        self.end(self.destinations.visit_alone(name), name, result, None).await
    }

    /// The same to an address at a destination; `kind` as a configuration or a template names it.
    async fn deliver_at(&self, name: &str, address: &str, kind: Kind, result: AttemptResult) -> Option<bool> {
        let destination = self.destinations.get(name);
        let found = match kind {
            Kind::Fixed => Some(self.fixed(name, address)),
            Kind::Made => self.destinations.addresses.find(address),
            Kind::Alone => None,
        };
        let visit = Visit::new(&destination, found.as_ref(), kind);
        self.end(visit, name, result, Some(address.into())).await
    }

    fn fixed(&self, name: &str, address: &str) -> Arc<Destination> {
        let make = || self.destinations.make_address(address, self.destinations.settings.bounds(name));
        self.destinations.addresses.fixed(&address.into(), make)
    }

    async fn end(
        &self,
        mut visit: Visit,
        name: &str,
        result: AttemptResult,
        address: Option<Arc<str>>,
    ) -> Option<bool> {
        if visit.pause(0.0).is_some() {
            return None;
        }
        let turn = visit.turn(ready(()), &self.slots).await?.0;
        let (lane, address) = (lane(name), || address.clone());
        let ended = Ended { address: &address, ..Ended::of(&result, &lane) };
        Some(turn.report(&self.destinations, &ended))
    }

    fn standing(&self, name: &str) -> Option<Standing> {
        self.destinations.standings().destinations.get(name).copied()
    }
}

#[tokio::test]
async fn what_no_action_goes_to_any_more_is_forgotten() {
    let test = test();
    let known = || {
        let mut names: Vec<String> = test.destinations.all().into_iter().map(|(name, _)| name).collect();
        names.extend(test.destinations.addresses.all_fixed().into_iter().map(|(name, _)| name.to_string()));
        names.sort_unstable();
        names
    };
    for name in ["gone", "used"] {
        test.deliver_at(name, &format!("{name}/path"), Kind::Fixed, DELIVERED).await;
    }
    for _ in 0..2 {
        test.deliver("held", unavailable(None)).await;
    }
    let under_way = visit(&test.destinations.get("busy"));
    let keep = || test.destinations.keep_used(&HashSet::from(["used"]), &HashSet::from(["used/path"]));
    keep();
    assert_eq!(known(), ["busy", "held", "one", "rated", "used", "used/path"]);
    drop(under_way);
    assert_eq!(test.destinations.changes().len(), 1, "that it is held back is written down");
    test.clock.pass(FORGOTTEN + 2 * SECOND);
    keep();
    assert_eq!(known(), ["one", "rated", "used", "used/path"]);
}

#[test]
fn one_that_ends_nothing_holds_its_share() {
    let slow = test().destinations.get("slow");
    let visits: Vec<_> = (0..3).map(|_| visit(&slow)).collect();
    assert_eq!(slow.room(), 1);
    assert_eq!(slow.room_then(Instant::now() + 10 * PACE), 1);
    drop(visits);
    assert_eq!(slow.room(), 4);
}

#[test]
fn a_fast_one_holds_what_it_ends_but_never_all() {
    let fast = test().destinations.get("fast");
    let started = Instant::now();
    let end = |count| (0..count).for_each(|_| drop(visit(&fast)));
    end(8);
    assert_eq!(fast.room_then(started + PACE + Duration::from_millis(1)), 7);
    end(100);
    assert_eq!(fast.room_then(started + 3 * PACE), 12);
    assert_eq!(fast.room_then(started + 6 * PACE), 4, "it has ended nothing for a while");
}

#[tokio::test]
async fn a_fast_one_that_is_full_is_waited_for_until_it_has_room_for_many() {
    let destinations = test().destinations;
    let slow = destinations.get("slow");
    let _visits: Vec<_> = (0..4).map(|_| visit(&slow)).collect();
    assert_eq!(destinations.ease().await, usize::MAX, "it is full, and not fast");
    let fast = destinations.get("fast");
    (0..100).for_each(|_| drop(visit(&fast)));
    fast.room_then(Instant::now() + PACE);
    assert_eq!(destinations.ease().await, 12);
    let mut visits: Vec<_> = (0..10).map(|_| visit(&fast)).collect();
    let ease = destinations.ease();
    tokio::pin!(ease);
    assert!(poll!(&mut ease).is_pending());
    visits.truncate(9);
    assert_eq!(poll!(&mut ease), std::task::Poll::Ready(3));
}

#[tokio::test]
async fn who_waits_for_room_is_told_before_the_last_has_ended() {
    let destinations = test().destinations;
    let destination = destinations.get("d");
    let mut visits: Vec<_> = (0..4).map(|_| visit(&destination)).collect();
    let told = || tokio::time::timeout(Duration::from_millis(1), destinations.room.notified());
    visits.pop();
    assert!(told().await.is_err());
    visits.pop();
    assert!(told().await.is_ok());
}

#[tokio::test]
async fn one_that_fails_is_left_alone_then_probed_then_let_recover() {
    let test = test();
    assert_eq!(test.deliver("d", unavailable(None)).await, Some(false));
    assert_eq!(test.standing("d"), None);
    assert_eq!(test.deliver("d", unavailable(None)).await, Some(true));
    let until = test.clock.now().plus(SECOND);
    assert_eq!((test.standing("d"), test.destinations.get("d").room()), (Some(Standing::Held(until)), 0));
    assert_eq!(test.deliver("d", DELIVERED).await, None, "it is turned away");
    assert_eq!(test.deliver("other", DELIVERED).await, Some(false));

    test.clock.pass(SECOND);
    assert_eq!(test.standing("d"), Some(Standing::Tried(1)));
    let destination = test.destinations.get("d");
    let (mut probe, mut next) = (visit(&destination), visit(&destination));
    assert_eq!(test.standing("d"), Some(Standing::Tried(0)));
    let (probing, ()) = probe.turn(ready(()), &test.slots).await.unwrap();
    let mut waits = pin!(next.turn(ready(()), &test.slots));
    assert!(poll!(&mut waits).is_pending(), "one probe at once");
    probing.report(&test.destinations, &Ended::of(&DELIVERED, &lane("d")));
    assert!(waits.await.is_some(), "it works: the next goes at once");
    assert_eq!(test.standing("d"), None);
}

#[tokio::test]
async fn who_waits_for_its_turn_is_turned_away_when_the_destination_fails() {
    let test = test();
    let destination = test.destinations.get("d");
    let mut visits: Vec<_> = (0..3).map(|_| visit(&destination)).collect();
    let mut last = visits.pop().unwrap();
    let mut turns = Vec::new();
    for visit in &mut visits {
        turns.push(visit.turn(ready(()), &test.slots).await.unwrap().0);
    }
    let mut waits = pin!(last.turn(ready(()), &test.slots));
    assert!(poll!(&mut waits).is_pending());
    for turn in &turns {
        turn.report(&test.destinations, &Ended::of(&unavailable(None), &lane("d")));
    }
    assert!(waits.await.is_none());
}

#[tokio::test]
async fn who_waits_for_capacity_holds_no_slot() {
    let test = Test { slots: Semaphore::new(1), ..test() };
    let (mut heavy, mut light) =
        (test.destinations.visit_alone("heavy"), test.destinations.visit_alone("light"));
    let (free, freed) = tokio::sync::oneshot::channel::<()>();
    let mut waits = pin!(heavy.turn(freed, &test.slots));
    assert!(poll!(&mut waits).is_pending());
    assert!(light.turn(ready(()), &test.slots).await.is_some());
    free.send(()).unwrap();
    assert!(waits.await.is_some());
}

#[tokio::test]
async fn a_slot_that_comes_after_the_destination_failed_is_not_used() {
    let test = Test { slots: Semaphore::new(1), ..test() };
    let taken = test.slots.acquire().await.unwrap();
    let destination = test.destinations.get("d");
    let mut visit = visit(&destination);
    let mut waits = pin!(visit.turn(ready(()), &test.slots));
    assert!(poll!(&mut waits).is_pending());
    test.destinations.follow(&[opened_elsewhere(5)]);
    drop(taken);
    assert!(waits.await.is_none());
}

#[tokio::test]
async fn retry_after_holds_the_destination_for_as_long() {
    let test = test();
    let until = test.clock.now().plus(7 * SECOND);
    assert_eq!(test.deliver("d", unavailable(Some(7 * SECOND))).await, Some(true));
    assert_eq!(test.standing("d"), Some(Standing::Held(until)));
    let changes = test.destinations.changes();
    assert!(
        matches!(&changes[..], [(target, Change::Held(reason))] if target.to_string() == "d" && reason.is_asked)
    );
}

/// The destination `d`, held back for so many seconds.
fn opened_elsewhere(secs: u64) -> Hold {
    Hold {
        target: Target::Destination("d".to_owned()),
        state: aftercommit_store::HoldState::Open,
        code: "http_status".to_owned(),
        message: "not now".to_owned(),
        http_status: Some(503),
        since: Timestamp::from_micros(0),
        until: Some(Timestamp::from_micros(0).plus(Duration::from_secs(secs))),
        openings: 1,
        lanes: Vec::new(),
        definition: None,
    }
}

#[tokio::test]
async fn what_others_wrote_is_followed_and_what_is_resumed_comes_back_slowly() {
    let test = test();
    test.destinations.follow(&[opened_elsewhere(5)]);
    assert!(matches!(test.standing("d"), Some(Standing::Held(_))));
    test.destinations.follow(&[opened_elsewhere(5)]);
    assert_eq!(test.destinations.changes().len(), 0, "what was read is not written again");
    test.clock.pass(5 * SECOND);
    assert_eq!(test.standing("d"), Some(Standing::Tried(1)));
    let mut same = opened_elsewhere(5);
    same.until = same.until.map(|until| until.plus(Duration::from_millis(9)));
    test.destinations.follow(&[same]);
    assert_eq!(test.standing("d"), Some(Standing::Tried(1)), "the same end, by a clock that is known better");
    test.destinations.follow(&[]);
    assert_eq!(test.standing("d"), Some(Standing::Tried(1)));
    assert_eq!(test.deliver("d", DELIVERED).await, Some(false));
    assert_eq!(test.standing("d"), None);
}

#[tokio::test]
async fn what_is_not_written_yet_is_not_taken_for_resumed() {
    let test = test();
    test.deliver("d", unavailable(Some(5 * SECOND))).await;
    test.destinations.follow(&[]);
    assert!(matches!(test.standing("d"), Some(Standing::Held(_))));
    assert_eq!(test.destinations.changes().len(), 1);
    test.destinations.not_written(&Target::Destination("d".to_owned()));
    test.destinations.follow(&[]);
    assert!(matches!(test.standing("d"), Some(Standing::Held(_))));
    assert_eq!(test.destinations.changes().len(), 1, "it is tried again");
    test.destinations.follow(&[]);
    assert_eq!(test.standing("d"), Some(Standing::Tried(1)), "now somebody has resumed it");
}

#[tokio::test]
async fn one_that_works_again_is_written_down_once() {
    let test = test();
    test.deliver("one", unavailable(Some(SECOND))).await;
    assert_eq!(test.destinations.changes().len(), 1);
    test.clock.pass(SECOND);
    assert_eq!(test.standing("one"), Some(Standing::Tried(1)));
    test.deliver("one", DELIVERED).await;
    let changes = test.destinations.changes();
    assert!(matches!(&changes[..], [(_, Change::Works)]), "{changes:?}");
    assert_eq!(test.destinations.changes().len(), 0);
}

#[tokio::test]
async fn a_rate_is_kept_from_an_empty_bucket_on() {
    let test = test();
    let destination = test.destinations.get("rated");
    assert_eq!(destination.room(), 4, "no more than its share, and no more than a second's worth");
    let mut visit = visit(&destination);
    let mut waits = pin!(visit.turn(ready(()), &test.slots));
    assert!(poll!(&mut waits).is_pending(), "the bucket begins empty");
    test.clock.pass(Duration::from_millis(100));
    assert!(waits.await.is_some());
    let mut next = super::tests::visit(&destination);
    let mut waits = pin!(next.turn(ready(()), &test.slots));
    assert!(poll!(&mut waits).is_pending(), "one every 100 ms");
    test.destinations.share_rates(4);
    assert_eq!(test.standing("rated"), Some(Standing::Narrow(1)), "a second has 3 of a quarter of the rate");
}

#[tokio::test]
async fn one_with_a_rate_is_claimed_by_itself_before_anything_was_sent_to_it() {
    assert_eq!(test().standing("rated"), Some(Standing::Narrow(4)));
}

#[test]
fn one_with_batches_holds_two_of_them_but_never_all() {
    let batched = test().destinations.get("batched");
    batched.make_room_for(3);
    batched.make_room_for(1);
    assert_eq!(batched.room(), 6);
    batched.make_room_for(100);
    assert_eq!(batched.room(), 12);
    assert_eq!(visit(&batched).most_in_batch(100), 12);
    assert_eq!(visit(&batched).most_in_batch(7), 7);
}

/// Refused without a time to wait.
fn too_many() -> AttemptResult {
    let problem = Problem { status: Some(429), ..Problem::of_plugin("http_status", "too many requests") };
    Err(Failure::new(FailureClass::Throttled, problem))
}

#[tokio::test]
async fn a_destination_that_refuses_a_rate_is_sent_less_and_stays_open() {
    let test = test();
    assert_eq!(test.standing("d"), None);
    assert_eq!(test.deliver("d", too_many()).await, Some(false));
    assert_eq!(test.standing("d"), Some(Standing::Narrow(2)), "as many a second as may run at once");
    let mut visit = test.destinations.visit_alone("d");
    let mut waits = pin!(visit.turn(ready(()), &test.slots));
    assert!(poll!(&mut waits).is_pending(), "the bucket begins empty");
    test.clock.pass(SECOND);
    let (result, lane) = (too_many(), lane("d"));
    let again = Ended { is_retry: true, ..Ended::of(&result, &lane) };
    waits.await.unwrap().0.report(&test.destinations, &again);
    assert_eq!(test.destinations.changes().len(), 0, "its breaker heard nothing");
    assert_eq!(test.standing("other"), None);
}

#[tokio::test]
async fn events_that_always_fail_do_not_hold_a_healthy_destination() {
    let test = test();
    for _ in 0..20 {
        assert_eq!(test.deliver("d", DELIVERED).await, Some(false));
    }
    for n in 0..500 {
        let result = if n % 5 == 0 { unavailable(None) } else { DELIVERED };
        assert_eq!(test.deliver("d", result).await, Some(false), "call {n}");
    }
    assert_eq!(test.standing("d"), None);
    let opened_after = async {
        for n in 1..50 {
            if test.deliver("d", unavailable(None)).await == Some(true) {
                return n;
            }
        }
        0
    };
    assert!((10..20).contains(&opened_after.await), "when all fail it is left alone");
    assert_eq!(test.destinations.failed_last("d"), Some(lane("d")));
}

/// No connection to the server.
fn unreachable() -> AttemptResult {
    Err(Failure::new(
        FailureClass::Transient,
        Problem::of_plugin("connect", "nobody takes connections there"),
    ))
}

#[tokio::test]
async fn an_address_that_fails_is_held_back_and_its_destination_is_not() {
    for kind in [Kind::Fixed, Kind::Made] {
        let test = test();
        let at = async |address, result| test.deliver_at("d", address, kind, result).await;
        assert_eq!(at("d/a", unavailable(None)).await, Some(false));
        assert_eq!(at("d/a", unavailable(None)).await, Some(true));
        for _ in 0..40 {
            assert_eq!(at("d/a", unavailable(None)).await, None, "it is turned away");
            assert_eq!(at("d/b", DELIVERED).await, Some(false));
        }
        assert_eq!(test.standing("d"), None);
        let changes = test.destinations.changes();
        assert!(
            matches!(&changes[..], [(Target::Address(name), Change::Held(_))] if name == "d/a"),
            "{changes:?}"
        );
        test.clock.pass(SECOND);
        test.destinations.standings();
        assert_eq!(at("d/a", DELIVERED).await, Some(false), "a delivery finds out that it works");
        assert_eq!(at("d/a", DELIVERED).await, Some(false));
        let changes = test.destinations.changes();
        assert!(matches!(&changes[..], [(Target::Address(_), Change::Works)]), "{changes:?}");
    }
}

#[tokio::test]
async fn an_address_that_asks_for_a_pause_does_not_speak_for_its_destination() {
    let test = test();
    let at = async |address, result| test.deliver_at("d", address, Kind::Fixed, result).await;
    assert_eq!(at("d/a", unavailable(Some(7 * SECOND))).await, Some(true));
    for _ in 0..4 {
        assert_eq!((at("d/b", DELIVERED).await, test.standing("d")), (Some(false), None));
    }
    assert_eq!(at("d/c", unavailable(Some(7 * SECOND))).await, Some(true), "each for itself");
    assert_eq!(test.standing("d"), None, "of the last calls, some passed");
}

#[tokio::test]
async fn several_addresses_that_fail_hold_back_their_destination_and_so_does_one_that_nothing_connects_to() {
    let several = test();
    for (address, expected) in [("d/1", false), ("d/2", true)] {
        let held = several.deliver_at("d", address, Kind::Made, unavailable(None)).await;
        assert_eq!(held, Some(expected), "{address}");
    }
    assert!(matches!(several.standing("d"), Some(Standing::Held(_))));
    let dead = test();
    for expected in [false, true] {
        assert_eq!(dead.deliver_at("d", "d/1", Kind::Made, unreachable()).await, Some(expected));
    }
    assert!(matches!(dead.standing("d"), Some(Standing::Held(_))));
    assert!(!dead.destinations.addresses.has_made(), "nothing is said of the address");
}

#[tokio::test]
async fn as_many_addresses_are_known_as_may_be() {
    let test = test();
    let refused = |n: usize| {
        let address = format!("d/{n}");
        let test = &test;
        async move {
            test.deliver_at("d", &address, Kind::Made, unavailable(None)).await;
            test.deliver_at("d", "d/well", Kind::Made, DELIVERED).await;
            test.deliver_at("d", "d/well", Kind::Made, DELIVERED).await;
        }
    };
    for n in 0..2000 {
        refused(n).await;
    }
    assert_eq!(test.destinations.addresses.all().len(), 512);
    assert!(test.destinations.addresses.find("d/0").is_none(), "the oldest are forgotten");
    assert!(test.destinations.addresses.find("d/1999").is_some());
}

#[tokio::test]
async fn a_devices_own_limit_does_not_slow_the_others() {
    let test = test();
    let at = async |address: &str, result| test.deliver_at("d", address, Kind::Made, result).await;
    for n in 0..200 {
        if n % 10 == 0 {
            // Held back or refused: either way it is its own.
            at("d/limited", too_many()).await;
        }
        assert_eq!(at(&format!("d/{n}"), DELIVERED).await, Some(false), "call {n}");
    }
    assert_eq!(test.standing("d"), None, "no rate, and not held back");
    for n in 0..2 {
        at(&format!("d/{n}"), too_many()).await;
    }
    assert!(
        matches!(test.standing("d"), Some(Standing::Narrow(_))),
        "a rate that all are refused is learned"
    );
}

#[tokio::test]
async fn an_address_learns_a_rate_of_its_own() {
    let test = test();
    assert_eq!(test.deliver_at("d", "d/a", Kind::Fixed, too_many()).await, Some(false));
    assert_eq!(test.standing("d"), None);
    assert!(matches!(test.fixed("d", "d/a").standing(), Some(Standing::Narrow(_))));
    assert_eq!(test.fixed("d", "d/b").standing(), None);
}

#[tokio::test]
async fn an_address_that_others_hold_back_is_followed() {
    let test = test();
    let hold = Hold { target: Target::Address("d/a".to_owned()), ..opened_elsewhere(5) };
    test.destinations.follow(std::slice::from_ref(&hold));
    assert_eq!(test.deliver_at("d", "d/a", Kind::Made, DELIVERED).await, None);
    assert_eq!(test.deliver_at("d", "d/b", Kind::Made, DELIVERED).await, Some(false));
    test.destinations.follow(&[]);
    assert_eq!(test.deliver_at("d", "d/a", Kind::Made, DELIVERED).await, Some(false), "it was resumed");
}

#[tokio::test]
async fn a_learned_rate_is_written_down_and_recalled() {
    let test = test();
    test.deliver("d", too_many()).await;
    let news = test.destinations.rate_news();
    let target = Target::Destination("d".to_owned());
    assert_eq!(news, [(target.clone(), RateNews::Learned(120, test.clock.now()))]);
    assert_eq!(test.destinations.rate_news(), []);
    test.destinations.rate_not_written(&target);
    assert_eq!(test.destinations.rate_news().len(), 1, "it is tried again");

    let later = super::tests::test();
    later.destinations.recall([(target, 2.0)]);
    assert_eq!(later.standing("d"), None, "nothing was sent to it yet");
    later.destinations.get("d");
    assert_eq!(later.standing("d"), Some(Standing::Narrow(2)), "it begins with what was learned");
}
