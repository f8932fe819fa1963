//! The circuit breaker of one destination: a pure state machine.
//!
//! ```text
//! closed ── most calls fail, or a Retry-After ──▶ open ── its time is over ──▶ half open ── a probe succeeds ──▶ recovering
//!    ▲                                             ▲              a probe fails │                                     │ │
//!    │                                             └────────────────────────────┴──────────── most calls fail ───────┘ │
//!    └──────────────────────────── as many calls as ever are let through at once ──────────────────────────────────────┘
//! ```
//!
//! It limits how many calls are under way at once ([`Breaker::limit`]) and is given their ends; the caller counts the calls.
//! The names are those of Hystrix and resilience4j, and so is the rule: a breaker opens by the rate of failures among the last calls
//! (`failureRateThreshold`, `minimumNumberOfCalls`). A few events that a healthy destination refuses again and again do not open it.
//! The open time grows with every opening up to a bound, as in Envoy's outlier detection (`base_ejection_time`,
//! `max_ejection_time`). Recovery starts slowly and doubles, as TCP does.

use std::time::Duration;

use crate::time::Timestamp;

/// When a breaker opens, and for how long.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BreakerSettings {
    /// It opens after no fewer failures than this, if most of the last calls failed; 0: never, except when the destination
    /// asks to be left alone.
    pub failures: u32,
    /// How long it is open at first. Doubles with every opening until the destination has recovered.
    pub open: Duration,
    /// How long it is open at most, also when the destination asks for more.
    pub max_open: Duration,
    /// Calls at once while it is half open; 0 counts as 1.
    pub probes: usize,
}

/// The breaker of one destination.
#[derive(Clone, Debug)]
pub struct Breaker {
    settings: BreakerSettings,
    /// Calls at once while it is closed.
    concurrency: usize,
    phase: Phase,
    window: Window,
    /// Openings since it was closed last.
    openings: u32,
    /// The end of the last opening.
    until: Timestamp,
    generation: u64,
}

/// How the last calls ended. Each new end takes a part of the weight of those before it (an exponentially weighted moving average).
#[derive(Clone, Copy, PartialEq, Default, Debug)]
struct Window {
    succeeded: f64,
    failed: f64,
    /// Failures since the window was empty or quiet.
    failures: u32,
}

impl Window {
    /// The weight of all ends together approaches this.
    const CALLS: f64 = 16.0;
    /// Most calls fail: this part of them. A destination that refuses every fifth event is five standard deviations away.
    const FAILING: f64 = 0.6;
    /// Failures of less weight than this are forgotten.
    const QUIET: f64 = 0.5;
    const SUCCESSES: Self = Self { succeeded: Self::CALLS, failed: 0.0, failures: 0 };
    /// The weight of a retry that fails. An event that a healthy destination refuses is sent there some sixteen times: if one in five is such
    /// an event, most of all calls are retries of them, and many of them are due at once.
    const RETRY: f64 = 1.0 / 64.0;

    fn add(&mut self, is_success: bool, weight: f64) {
        let kept = 1.0 - weight / Self::CALLS;
        self.succeeded *= kept;
        self.failed *= kept;
        if is_success {
            self.succeeded += weight;
            if self.failed < Self::QUIET {
                *self = Self { failed: 0.0, failures: 0, ..*self };
            }
        } else {
            self.failed += weight;
            self.failures = self.failures.saturating_add(1);
        }
    }

    fn is_failing(&self, failures: u32) -> bool {
        failures > 0
            && self.failures >= failures
            && self.failed >= Self::FAILING * (self.failed + self.succeeded)
    }
}

/// What a failed call was.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FailedCall {
    /// The destination asked to be left alone for so long.
    pub retry_after: Option<Duration>,
    /// Its delivery had failed before: it may be the delivery's own fault.
    pub is_retry: bool,
    /// All calls end so until a person does something: it opens at once, if no call has succeeded of late.
    pub is_certain: bool,
    /// One endpoint of several failed: even if it asked to be left alone, that alone does not open the breaker.
    pub is_one_of_many: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Closed,
    Open,
    HalfOpen,
    Recovering { limit: usize, succeeded: usize },
}

/// Where a breaker stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BreakerState {
    /// All is well.
    Closed,
    /// No calls.
    Open,
    /// A few calls find out whether the destination works again.
    HalfOpen,
    /// It works again; more calls are let through step by step.
    Recovering,
}

impl Breaker {
    /// A closed one, for a destination that takes `concurrency` calls at once.
    #[must_use]
    pub fn new(settings: BreakerSettings, concurrency: usize) -> Self {
        Self {
            settings,
            concurrency: concurrency.max(1),
            phase: Phase::Closed,
            window: Window::default(),
            openings: 0,
            until: Timestamp::from_micros(i64::MIN),
            generation: 0,
        }
    }

    /// Where it stands. Whether an open one is open still is found out by [`look`](Self::look).
    #[must_use]
    pub const fn state(&self) -> BreakerState {
        match self.phase {
            Phase::Closed => BreakerState::Closed,
            Phase::Open => BreakerState::Open,
            Phase::HalfOpen => BreakerState::HalfOpen,
            Phase::Recovering { .. } => BreakerState::Recovering,
        }
    }

    /// How many calls of the present generation may be under way at once.
    #[must_use]
    pub fn limit(&self) -> usize {
        match self.phase {
            Phase::Closed => self.concurrency,
            Phase::Open => 0,
            Phase::HalfOpen => self.probes(),
            Phase::Recovering { limit, .. } => limit,
        }
    }

    /// Calls that begin now belong to this generation. What became of those of another says nothing of the destination as
    /// it is now, and is passed over.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// Until when it is open, or was the last time.
    #[must_use]
    pub const fn until(&self) -> Timestamp {
        self.until
    }

    /// How often it opened since it was closed last.
    #[must_use]
    pub const fn openings(&self) -> u32 {
        self.openings
    }

    /// Whether a success changes nothing.
    #[must_use]
    pub fn is_calm(&self) -> bool {
        self.phase == Phase::Closed && self.window.failures == 0
    }

    /// A great many calls succeeded while it was [calm](Self::is_calm), of which it was not told one by one.
    pub fn worked(&mut self) {
        if self.is_calm() {
            self.window = Window::SUCCESSES;
        }
    }

    /// Becomes half open when the open time is over. A time far ahead of what this breaker ever waits for (a clock was set
    /// back) counts as over.
    pub fn look(&mut self, now: Timestamp) {
        let is_over = now >= self.until || self.until.since(now) > self.settings.max_open;
        if self.phase == Phase::Open && is_over {
            self.enter(Phase::HalfOpen);
        }
    }

    /// A call reached the destination, and was not turned away for the destination's sake.
    pub fn succeeded(&mut self, generation: u64) {
        if generation != self.generation {
            return;
        }
        if self.phase != Phase::Open {
            self.window.add(true, 1.0);
        }
        let (limit, succeeded) = match self.phase {
            Phase::Closed | Phase::Open => return,
            Phase::HalfOpen => (self.probes(), 1),
            Phase::Recovering { limit, succeeded } => (limit, succeeded + 1),
        };
        let (limit, succeeded) = if succeeded >= limit { (limit * 2, 0) } else { (limit, succeeded) };
        if limit < self.concurrency {
            self.phase = Phase::Recovering { limit, succeeded };
        } else {
            // The same generation: what is under way counts on.
            self.phase = Phase::Closed;
            self.openings = 0;
        }
    }

    /// A call failed by the destination's fault. Whether this opened the breaker.
    pub fn failed(&mut self, generation: u64, now: Timestamp, call: FailedCall) -> bool {
        if generation != self.generation || self.phase == Phase::Open {
            return false;
        }
        let asked = call.retry_after.filter(|asked| !asked.is_zero());
        if asked.is_none() || call.is_one_of_many {
            self.window.add(false, if call.is_retry { Window::RETRY } else { 1.0 });
            let is_certain =
                call.is_certain && self.settings.failures > 0 && self.window.succeeded < Window::QUIET;
            let is_failing = is_certain || self.window.is_failing(self.settings.failures);
            if self.phase != Phase::HalfOpen && !is_failing {
                return false;
            }
        }
        match asked {
            // The destination knows best; this is no growing trouble, so the open time does not grow.
            Some(asked) => self.until = now.plus(asked.min(self.settings.max_open)),
            None => self.open_longer(now, call.is_retry),
        }
        self.enter(Phase::Open);
        true
    }

    /// Another host opened its own until then. Whether this changed anything: only a later end does.
    pub fn open_until(&mut self, until: Timestamp, openings: u32) -> bool {
        if until <= self.until {
            return false;
        }
        self.until = until;
        self.openings = self.openings.max(openings);
        self.enter(Phase::Open);
        true
    }

    /// The destination works again, says a person or another host: calls are let through step by step.
    pub fn resume(&mut self) {
        if self.state() == BreakerState::Closed {
            return;
        }
        self.openings = 0;
        self.until = Timestamp::from_micros(i64::MIN);
        let first = self.probes();
        if first < self.concurrency {
            self.enter(Phase::Recovering { limit: first, succeeded: 0 });
        } else {
            self.enter(Phase::Closed);
        }
    }

    /// Retries that fail as probes make an opening no longer than this many doublings.
    const DOUBLINGS_BY_RETRIES: u32 = 4;

    fn probes(&self) -> usize {
        self.settings.probes.clamp(1, self.concurrency)
    }

    /// What fails again and again says little: if nothing else is there to try, the open time stops growing early, so that
    /// what comes next is tried soon.
    fn open_longer(&mut self, now: Timestamp, is_retry: bool) {
        let most = if is_retry { Self::DOUBLINGS_BY_RETRIES } else { u32::MAX };
        let doublings = 1_u32.checked_shl(self.openings.min(most)).unwrap_or(u32::MAX);
        let open = self.settings.open.saturating_mul(doublings).min(self.settings.max_open);
        self.openings = self.openings.saturating_add(1);
        self.until = now.plus(open);
    }

    /// Goes on with calls of its own.
    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.window = Window::default();
        self.generation += 1;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SETTINGS: BreakerSettings = BreakerSettings {
        failures: 3,
        open: Duration::from_secs(1),
        max_open: Duration::from_secs(10),
        probes: 1,
    };

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_micros(millis * 1000)
    }

    /// One that has opened at the beginning of time.
    fn opened() -> Breaker {
        let mut breaker = Breaker::new(SETTINGS, 8);
        for _ in 0..3 {
            breaker.failed(0, at(0), FailedCall::default());
        }
        assert_eq!((breaker.state(), breaker.limit(), breaker.until()), (BreakerState::Open, 0, at(1000)));
        breaker
    }

    fn fail(breaker: &mut Breaker, now: Timestamp) -> bool {
        breaker.failed(breaker.generation(), now, FailedCall::default())
    }

    fn asked(span: Duration) -> FailedCall {
        FailedCall { retry_after: Some(span), ..FailedCall::default() }
    }

    fn succeed(breaker: &mut Breaker) {
        breaker.succeeded(breaker.generation());
    }

    #[test]
    fn it_opens_when_most_calls_fail() {
        let mut breaker = Breaker::new(SETTINGS, 8);
        assert!(!fail(&mut breaker, at(0)) && !fail(&mut breaker, at(0)));
        assert!(!breaker.is_calm());
        for _ in 0..30 {
            succeed(&mut breaker);
        }
        assert!(breaker.is_calm(), "old failures are forgotten");
        let failures = (1..100).find(|_| fail(&mut breaker, at(0)));
        assert_eq!(failures, Some(13), "after many successes");
        let mut fresh = Breaker::new(SETTINGS, 8);
        assert_eq!((1..100).find(|_| fail(&mut fresh, at(0))), Some(3), "before any");
        let mut quiet = Breaker::new(SETTINGS, 8);
        quiet.worked();
        assert_eq!((1..100).find(|_| fail(&mut quiet, at(0))), Some(15));
    }

    #[test]
    fn a_few_events_that_fail_again_and_again_do_not_open_it() {
        let mut breaker = Breaker::new(SETTINGS, 8);
        breaker.worked();
        assert!((0..12).all(|_| !fail(&mut breaker, at(0))), "twelve of them in a row");
        for n in 0..10_000 {
            if n % 5 == 0 {
                assert!(!fail(&mut breaker, at(0)));
            } else {
                succeed(&mut breaker);
            }
        }
        assert_eq!(breaker.state(), BreakerState::Closed);
    }

    #[test]
    fn retries_of_events_that_always_fail_do_not_open_it() {
        let mut breaker = Breaker::new(SETTINGS, 8);
        breaker.worked();
        let again = FailedCall { is_retry: true, ..FailedCall::default() };
        for _ in 0..1000 {
            // One event in five fails, and each of them sixteen times.
            assert!(!fail(&mut breaker, at(0)));
            (0..4).for_each(|_| succeed(&mut breaker));
            assert!((0..15).all(|_| !breaker.failed(0, at(0), again)));
        }
        assert!((0..400).all(|_| !breaker.failed(0, at(0), again)), "many that are due at once");
        let failures = (1..100).find(|_| fail(&mut breaker, at(0)));
        assert!(failures.is_some_and(|failures| failures < 15), "when fresh ones fail too, {failures:?}");
        let mut fresh = Breaker::new(SETTINGS, 8);
        assert_eq!((1..100).find(|_| fresh.failed(0, at(0), again)), Some(3), "when nothing else is known");
    }

    #[test]
    fn zero_failures_means_never() {
        let mut breaker = Breaker::new(BreakerSettings { failures: 0, ..SETTINGS }, 8);
        assert!((0..1000).all(|_| !fail(&mut breaker, at(0))));
        assert!(
            breaker.failed(0, at(0), asked(Duration::from_secs(2))),
            "it is left alone when it asks for it"
        );
    }

    #[test]
    fn after_its_time_a_probe_decides() {
        let mut breaker = opened();
        breaker.look(at(999));
        assert_eq!(breaker.state(), BreakerState::Open);
        breaker.look(at(1000));
        assert_eq!((breaker.state(), breaker.limit()), (BreakerState::HalfOpen, 1));
        assert!(fail(&mut breaker, at(1500)));
        assert_eq!(breaker.until(), at(3500), "the second time is twice as long");
    }

    #[test]
    fn the_open_time_grows_to_its_bound() {
        let mut breaker = opened();
        let mut spans = Vec::new();
        for _ in 0..5 {
            let now = breaker.until();
            breaker.look(now);
            fail(&mut breaker, now);
            spans.push(breaker.until().since(now).as_secs());
        }
        assert_eq!(spans, [2, 4, 8, 10, 10]);
    }

    #[test]
    fn recovery_doubles_with_each_round_of_successes() {
        let mut breaker = opened();
        breaker.look(at(1000));
        let mut limits = Vec::new();
        while breaker.state() != BreakerState::Closed {
            limits.push(breaker.limit());
            succeed(&mut breaker);
        }
        assert_eq!(limits, [1, 2, 2, 4, 4, 4, 4]);
        assert_eq!((breaker.limit(), breaker.openings()), (8, 0));
    }

    #[test]
    fn many_failures_while_recovering_open_it_again_and_a_few_do_not() {
        let mut breaker = opened();
        breaker.look(at(1000));
        succeed(&mut breaker);
        assert_eq!(breaker.state(), BreakerState::Recovering);
        assert!(!fail(&mut breaker, at(1000)) && !fail(&mut breaker, at(1000)));
        assert_eq!(breaker.state(), BreakerState::Recovering);
        assert!(fail(&mut breaker, at(1000)));
        assert_eq!(breaker.until(), at(3000));
    }

    #[test]
    fn retries_that_fail_as_probes_do_not_hold_it_for_long() {
        let mut breaker = opened();
        let mut spans = Vec::new();
        for _ in 0..6 {
            let now = breaker.until();
            breaker.look(now);
            let call = FailedCall { is_retry: true, ..FailedCall::default() };
            breaker.failed(breaker.generation(), now, call);
            spans.push(breaker.until().since(now).as_secs());
        }
        assert_eq!(spans, [2, 4, 8, 10, 10, 10], "with a bound of ten seconds the bound decides");
        let longer = BreakerSettings { max_open: Duration::from_mins(5), ..SETTINGS };
        let mut breaker = Breaker { settings: longer, ..opened() };
        for _ in 0..9 {
            let now = breaker.until();
            breaker.look(now);
            let call = FailedCall { is_retry: true, ..FailedCall::default() };
            breaker.failed(breaker.generation(), now, call);
            spans.push(breaker.until().since(now).as_secs());
        }
        assert_eq!(spans[6..], [2, 4, 8, 16, 16, 16, 16, 16, 16]);
    }

    #[test]
    fn a_failure_that_is_certain_opens_at_once_where_nothing_works() {
        let certain = FailedCall { is_certain: true, ..FailedCall::default() };
        let mut breaker = Breaker::new(SETTINGS, 8);
        assert!(breaker.failed(0, at(0), certain));
        assert_eq!((breaker.state(), breaker.until()), (BreakerState::Open, at(1000)));
        // One server of several behind an address: the others go on.
        let mut breaker = Breaker::new(SETTINGS, 8);
        succeed(&mut breaker);
        assert!(!breaker.failed(0, at(0), certain));
        let mut never = Breaker::new(BreakerSettings { failures: 0, ..SETTINGS }, 8);
        assert!(!never.failed(0, at(0), certain));
    }

    #[test]
    fn retry_after_is_followed_and_bounded() {
        let mut breaker = Breaker::new(SETTINGS, 8);
        assert!(breaker.failed(0, at(0), asked(Duration::from_secs(7))));
        assert_eq!((breaker.until(), breaker.openings()), (at(7000), 0));
        breaker.look(at(7000));
        assert!(breaker.failed(breaker.generation(), at(7000), asked(Duration::from_hours(1000))));
        assert_eq!(breaker.until(), at(17_000));
        let mut none = Breaker::new(SETTINGS, 8);
        assert!(!none.failed(0, at(0), asked(Duration::ZERO)), "no time at all is a failure like others");
    }

    #[test]
    fn one_endpoint_of_many_that_asks_for_a_pause_does_not_speak_for_all() {
        let mut breaker = Breaker::new(SETTINGS, 8);
        let one = FailedCall { is_one_of_many: true, ..asked(Duration::from_secs(7)) };
        assert!(!breaker.failed(0, at(0), one) && !breaker.failed(0, at(0), one));
        assert!(breaker.failed(0, at(0), one), "several do");
        assert_eq!(breaker.until(), at(7000));
    }

    #[test]
    fn what_began_before_it_opened_says_nothing() {
        let mut breaker = opened();
        breaker.look(at(1000));
        breaker.succeeded(0);
        assert!(!breaker.failed(0, at(1000), asked(Duration::from_secs(5))));
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
    }

    #[test]
    fn another_hosts_opening_counts_if_it_lasts_longer() {
        let mut breaker = Breaker::new(SETTINGS, 8);
        assert!(breaker.open_until(at(5000), 3));
        assert!(!breaker.open_until(at(5000), 3), "it is known");
        assert!(!breaker.open_until(at(4000), 9));
        breaker.look(at(5000));
        fail(&mut breaker, at(5000));
        assert_eq!(breaker.until(), at(13_000), "the fourth opening");
    }

    #[test]
    fn a_person_can_resume_it() {
        let mut breaker = opened();
        breaker.resume();
        assert_eq!((breaker.state(), breaker.limit()), (BreakerState::Recovering, 1));
        let mut alone = Breaker::new(SETTINGS, 1);
        alone.open_until(at(5), 1);
        alone.resume();
        assert_eq!(alone.state(), BreakerState::Closed);
    }

    #[test]
    fn a_clock_that_was_set_back_does_not_hold_it_for_ever() {
        let mut breaker = opened();
        breaker.look(at(-1_000_000));
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Pass(u32),
        Succeed { stale: bool },
        Fail { stale: bool, retry_after_ms: Option<u64> },
        Adopt(u32),
        Resume,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            (0..20_000_u32).prop_map(Step::Pass),
            any::<bool>().prop_map(|stale| Step::Succeed { stale }),
            (any::<bool>(), proptest::option::of(0..100_000_u64))
                .prop_map(|(stale, retry_after_ms)| Step::Fail { stale, retry_after_ms }),
            (0..20_000_u32).prop_map(Step::Adopt),
            Just(Step::Resume),
        ];
        proptest::collection::vec(step, 0..200)
    }

    proptest! {
        #[test]
        fn it_keeps_its_bounds_and_always_finds_back(
            failures in 0..5_u32, probes in 0..5_usize, concurrency in 1..20_usize, steps in steps(),
        ) {
            let settings = BreakerSettings { failures, probes, ..SETTINGS };
            let mut breaker = Breaker::new(settings, concurrency);
            let mut now = at(0);
            for step in steps {
                let generation = breaker.generation();
                let of = |stale: bool| if stale { generation.wrapping_sub(1) } else { generation };
                let before = (breaker.state(), breaker.limit());
                match step {
                    Step::Pass(millis) => now = now.plus(Duration::from_millis(u64::from(millis))),
                    Step::Succeed { stale } => breaker.succeeded(of(stale)),
                    Step::Fail { stale, retry_after_ms } => {
                        let call = FailedCall {
                            retry_after: retry_after_ms.map(Duration::from_millis),
                            is_retry: stale,
                            is_certain: false,
                            is_one_of_many: retry_after_ms.is_some_and(|millis| millis % 2 == 0),
                        };
                        let opened = breaker.failed(of(stale), now, call);
                        prop_assert_eq!(opened, breaker.generation() != generation);
                        prop_assert!(!(stale && opened));
                        prop_assert!(!opened || breaker.until() > now);
                    }
                    Step::Adopt(millis) => {
                        breaker.open_until(now.plus(Duration::from_millis(u64::from(millis.min(10_000)))), 1);
                    }
                    Step::Resume => breaker.resume(),
                }
                if matches!(step, Step::Succeed { stale: true } | Step::Fail { stale: true, .. }) {
                    prop_assert_eq!((breaker.state(), breaker.limit()), before);
                }
                breaker.look(now);
                let limit = breaker.limit();
                match breaker.state() {
                    BreakerState::Closed => prop_assert_eq!(limit, concurrency),
                    BreakerState::Open => {
                        prop_assert_eq!(limit, 0);
                        prop_assert!(breaker.until() > now);
                        prop_assert!(breaker.until().since(now) <= settings.max_open);
                    }
                    BreakerState::HalfOpen => prop_assert_eq!(limit, probes.clamp(1, concurrency)),
                    BreakerState::Recovering => prop_assert!((1..concurrency).contains(&limit)),
                }
            }
            breaker.look(now.plus(settings.max_open));
            let mut successes = 0;
            while breaker.state() != BreakerState::Closed {
                succeed(&mut breaker);
                successes += 1;
                prop_assert!(successes <= 2 * concurrency);
            }
            prop_assert!(successes <= 2 * concurrency);
        }
    }
}
