//! CPU time of one call of a guest: the time that its thread spent on it, in the guest and in the host's functions that
//! it called. Time in which it waits is not part of it.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use futures::future::BoxFuture;
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::OwnedSemaphorePermit;
use wasmtime::UpdateDeadline;

use crate::{
    lanes::Lanes,
    limits::Limits,
    standing::{Shown, Standing},
    ticker::Ticker,
};

/// Measures one call against its budget. Read from within the call at every tick, and from outside when it has ended.
///
/// A call that is expected to need little is measured by the wall's clock, which costs a tenth of the other, until it has
/// needed more, on a busy machine perhaps because others had the processor. Then, and where nothing is known of an action,
/// only the processor's time counts.
#[derive(Debug)]
pub(crate) struct CpuMeter {
    made: Instant,
    budget: Duration,
    ticker: Arc<Ticker>,
    lanes: Lanes,
    standing: Arc<Standing>,
    /// Whether the processor's time counts, or the wall's.
    exact: AtomicBool,
    /// Nanoseconds used in turns that are over.
    used_ns: AtomicU64,
    /// Those of them that were measured by the wall's clock.
    cheaply_ns: AtomicU64,
    /// When the present turn began, in nanoseconds of the clock that counts; [`IDLE`] between turns.
    turn_since_ns: AtomicU64,
}

const IDLE: u64 = u64::MAX;

impl CpuMeter {
    /// A meter of `budget`, for the engine that has this ticker.
    pub(crate) fn new(budget: Duration, ticker: Arc<Ticker>, lanes: Lanes, standing: Arc<Standing>) -> Self {
        Self {
            made: Instant::now(),
            budget,
            ticker,
            lanes,
            standing,
            exact: AtomicBool::new(false),
            used_ns: AtomicU64::new(0),
            cheaply_ns: AtomicU64::new(0),
            turn_since_ns: AtomicU64::new(IDLE),
        }
    }

    /// What was used so far.
    pub(crate) fn used(&self) -> Duration {
        Duration::from_nanos(self.used_ns.load(Relaxed)) + self.turn()
    }

    /// What is left.
    pub(crate) fn left(&self) -> Duration {
        self.budget.saturating_sub(self.used())
    }

    /// Does a part of the call's work that takes its time at once, at the priority of the lanes, and counts it. `None` if it
    /// panics.
    pub(crate) async fn work<T: Send + 'static>(
        self: Arc<Self>,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let lanes = self.lanes.clone();
        let counted = move || {
            let since = processor_ns();
            let done = work();
            self.used_ns.fetch_add(processor_ns().saturating_sub(since), Relaxed);
            done
        };
        lanes.at_once(counted).await
    }

    /// What a guest does at a tick: go on, let others have their turn, or end. Also a guest that only calls functions of
    /// the host that answer at once comes here: it must yield too, or nothing else could end it.
    pub(crate) fn tick(&self) -> UpdateDeadline {
        // A tick falls anywhere into a turn; with half of one, nobody holds a thread for more than one and a half.
        let longest = self.ticker.period() / 2;
        if self.used() > self.budget {
            UpdateDeadline::Interrupt
        } else if self.turn() > longest {
            UpdateDeadline::Yield(1)
        } else {
            UpdateDeadline::Continue(1)
        }
    }

    /// Runs a call and measures its turns. It goes on in a lane once it has used more than is free, or begins there.
    pub(crate) async fn measure<F>(self: Arc<Self>, call: F) -> F::Output
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        let mut call = Box::pin(call);
        if let Some(output) = self.outside(call.as_mut()).await {
            return output;
        }
        self.measure_exactly();
        let lanes = self.lanes.clone();
        let rest = poll_fn(move |context| {
            let polled = self.take_turn(call.as_mut(), context);
            if self.exceeds(Lanes::FREE) {
                self.standing.show(Shown::Heavy);
            } else if polled.is_ready() {
                self.standing.show(Shown::Light);
            }
            polled
        });
        lanes.finish(rest).await
    }

    /// From the next turn on.
    fn measure_exactly(&self) {
        if !self.exact.load(Relaxed) {
            self.cheaply_ns.store(self.used_ns.load(Relaxed), Relaxed);
            self.exact.store(true, Relaxed);
        }
    }

    /// Whether it has used more than that, by what was measured exactly.
    fn exceeds(&self, free: Duration) -> bool {
        let exactly = self.used_ns.load(Relaxed) - self.cheaply_ns.load(Relaxed);
        self.exact.load(Relaxed) && Duration::from_nanos(exactly) > free
    }

    /// Runs a call on the threads of those who need little, for as long as it does. Of calls that nothing is known of, one at
    /// a time has a turn: many that begin at once, and all compute, would hold all threads.
    async fn outside<F: Future>(&self, mut call: Pin<&mut F>) -> Option<F::Output> {
        let mut waiting: Option<BoxFuture<'static, OwnedSemaphorePermit>> = None;
        poll_fn(|context| {
            let mut trial = None;
            if self.standing.shown() == Shown::Nothing {
                self.measure_exactly();
                let turn = waiting.get_or_insert_with(|| Box::pin(self.lanes.clone().trial()));
                trial = Some(ready!(turn.as_mut().poll(context)));
                waiting = None;
            }
            if self.standing.shown() == Shown::Heavy {
                return Poll::Ready(None);
            }
            let polled = self.take_turn(call.as_mut(), context);
            if self.used() > Lanes::FREE {
                self.measure_exactly();
            }
            let computes = self.exceeds(if trial.is_some() { Lanes::TRIAL } else { Lanes::FREE });
            if trial.is_some() && (computes || polled.is_ready()) {
                self.standing.show(if computes { Shown::Heavy } else { Shown::Light });
            }
            match polled {
                Poll::Ready(output) => Poll::Ready(Some(output)),
                Poll::Pending if computes => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }

    fn take_turn<F: Future>(&self, call: Pin<&mut F>, context: &mut Context<'_>) -> Poll<F::Output> {
        let _ticks = self.ticker.turn();
        self.turn_since_ns.store(self.now_ns(), Relaxed);
        let polled = call.poll(context);
        let turn = u64::try_from(self.turn().as_nanos()).unwrap_or(u64::MAX);
        self.used_ns.fetch_add(turn, Relaxed);
        self.turn_since_ns.store(IDLE, Relaxed);
        polled
    }

    /// Length of the present turn. Asked on the thread that has it.
    fn turn(&self) -> Duration {
        match self.turn_since_ns.load(Relaxed) {
            IDLE => Duration::ZERO,
            since => Duration::from_nanos(self.now_ns().saturating_sub(since)),
        }
    }

    fn now_ns(&self) -> u64 {
        if self.exact.load(Relaxed) {
            processor_ns()
        } else {
            u64::try_from(self.made.elapsed().as_nanos()).unwrap_or(IDLE - 1)
        }
    }
}

/// How long work on a thread may go on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Until {
    wall: Instant,
    processor_ns: u64,
}

impl Until {
    /// By the wall's clock, and for so much of the processor's time from now on.
    pub(crate) fn on_this_thread(wall: Instant, left: Duration) -> Self {
        let left = u64::try_from(left.as_nanos()).unwrap_or(u64::MAX);
        Self { wall, processor_ns: processor_ns().saturating_add(left) }
    }

    /// Within the time of an attempt with these limits, from now on.
    pub(crate) fn of(limits: &Limits) -> Self {
        let wall = Instant::now() + Duration::from_millis(limits.timeout_ms);
        Self::on_this_thread(wall, Duration::from_millis(limits.cpu_ms))
    }

    pub(crate) fn is_over(&self) -> bool {
        Instant::now() >= self.wall || processor_ns() >= self.processor_ns
    }
}

/// Processor time of this thread so far.
fn processor_ns() -> u64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    let (seconds, nanos) = (now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs());
    seconds.saturating_mul(1_000_000_000).saturating_add(nanos)
}

#[cfg(test)]
mod tests {
    use std::sync::{
        LazyLock,
        atomic::{AtomicUsize, Ordering::SeqCst},
    };

    use super::*;

    const TICK: Duration = Duration::from_millis(5);
    static TICKER: LazyLock<Arc<Ticker>> =
        LazyLock::new(|| Ticker::start(&wasmtime::Engine::default(), TICK).unwrap());

    /// Of an action that needed little so far.
    fn meter(budget: Duration, lanes: &Lanes) -> Arc<CpuMeter> {
        let standing = Arc::<Standing>::default();
        standing.show(Shown::Light);
        Arc::new(CpuMeter::new(budget, Arc::clone(&TICKER), lanes.clone(), standing))
    }

    fn one_lane() -> Lanes {
        Lanes::new(1).unwrap()
    }

    /// Uses processor time, which on a machine that others use too takes longer than it.
    fn work(span: Duration) {
        let used = || Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap();
        let started = used();
        while used() < started + span {
            std::hint::spin_loop();
        }
    }

    #[tokio::test]
    async fn turns_count_and_waiting_does_not() {
        let meter = meter(Duration::from_mins(1), &one_lane());
        let (started, pause) = (Instant::now(), Duration::from_millis(50));
        Arc::clone(&meter)
            .measure(async move {
                for _ in 0..3 {
                    work(Duration::from_millis(2));
                    tokio::time::sleep(pause).await;
                }
            })
            .await;
        let used = meter.used();
        assert!(used >= Duration::from_millis(6), "{used:?}");
        assert!(started.elapsed() >= used + pause * 3, "{used:?}");
        assert_eq!(meter.used(), used, "between turns nothing is used");
    }

    #[tokio::test]
    async fn a_long_turn_yields_and_a_used_budget_ends() {
        let (meter, small) =
            (meter(Duration::from_mins(1), &one_lane()), meter(Duration::from_millis(1), &one_lane()));
        let (outer, inner) = (Arc::clone(&meter), Arc::clone(&small));
        let call = Arc::clone(&small).measure(async move {
            work(TICK);
            assert!(matches!(outer.tick(), UpdateDeadline::Yield(1)));
            assert!(matches!(inner.tick(), UpdateDeadline::Interrupt));
        });
        meter.measure(call).await;
    }

    /// Two calls that compute have turns one after the other, on a thread of their own, and one that needs little stays where it is.
    #[tokio::test(flavor = "multi_thread", worker_threads = 3)]
    async fn those_who_compute_share_the_lanes() {
        let lanes = one_lane();
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let computing: Vec<_> = (0..4)
            .map(|_| {
                let (lanes, now, most) = (lanes.clone(), Arc::clone(&now), Arc::clone(&most));
                tokio::spawn(meter(Duration::from_mins(1), &lanes).measure(async move {
                    // By the wall's clock it could be somebody else's.
                    for _ in 0..2 {
                        work(TICK);
                        tokio::task::yield_now().await;
                    }
                    assert_eq!(std::thread::current().name(), Some("aftercommit-lane"));
                    for _ in 0..20 {
                        tokio::task::yield_now().await;
                        most.fetch_max(now.fetch_add(1, SeqCst) + 1, SeqCst);
                        work(Duration::from_millis(1));
                        now.fetch_sub(1, SeqCst);
                    }
                }))
            })
            .collect();
        meter(Duration::from_mins(1), &lanes)
            .measure(async {
                tokio::task::yield_now().await;
                assert_ne!(std::thread::current().name(), Some("aftercommit-lane"));
            })
            .await;
        for task in computing {
            task.await.unwrap();
        }
        assert_eq!(most.load(SeqCst), 1);
    }

    /// Whether a call of that length, in turns of a millisecond, is in a lane when it begins and when it ends.
    async fn lanes_of(lanes: &Lanes, standing: &Arc<Standing>, turns: usize) -> [bool; 2] {
        let ticker = Arc::clone(&TICKER);
        let meter = CpuMeter::new(Duration::from_mins(1), ticker, lanes.clone(), Arc::clone(standing));
        let in_lane = || std::thread::current().name() == Some("aftercommit-lane");
        let call = async move {
            let began = in_lane();
            for _ in 0..turns {
                work(Duration::from_millis(1));
                tokio::task::yield_now().await;
            }
            [began, in_lane()]
        };
        Arc::new(meter).measure(call).await
    }

    #[tokio::test]
    async fn an_action_shows_what_its_calls_need() {
        let (lanes, standing) = (one_lane(), Arc::<Standing>::default());
        for (turns, expected, shown) in [
            (0, [false, false], Shown::Light),
            (5, [false, true], Shown::Heavy),
            (5, [true, true], Shown::Heavy),
            (0, [true, true], Shown::Light),
            (0, [false, false], Shown::Light),
        ] {
            assert_eq!(lanes_of(&lanes, &standing, turns).await, expected);
            assert_eq!(standing.shown(), shown);
        }
        let standing = Arc::<Standing>::default();
        assert_eq!(lanes_of(&lanes, &standing, 5).await, [false, true]);
        assert_eq!(lanes_of(&lanes, &standing, 5).await, [true, true]);
    }

    /// Of many that begin at once, few have a turn before it is known what they are.
    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn those_of_whom_nothing_is_known_begin_one_at_a_time() {
        let (lanes, standing) = (one_lane(), Arc::<Standing>::default());
        let calls: Vec<_> = (0..16)
            .map(|_| {
                let (lanes, standing) = (lanes.clone(), Arc::clone(&standing));
                tokio::spawn(async move { lanes_of(&lanes, &standing, 5).await })
            })
            .collect();
        let mut began_outside = 0;
        for call in calls {
            let [began_in_lane, ended_in_lane] = call.await.unwrap();
            assert!(ended_in_lane);
            began_outside += usize::from(!began_in_lane);
        }
        assert!((1..=3).contains(&began_outside), "{began_outside}");
    }

    /// Processor time that others had is not counted in a lane: eight calls that each need some, on one thread.
    #[tokio::test]
    async fn nobody_pays_for_others() {
        let lanes = one_lane();
        let calls = (0..8).map(|_| {
            let meter = meter(Duration::from_mins(1), &lanes);
            async move {
                let call = Arc::clone(&meter).measure(async {
                    for _ in 0..20 {
                        work(Duration::from_millis(1));
                        tokio::task::yield_now().await;
                    }
                });
                call.await;
                meter.used()
            }
        });
        for used in futures::future::join_all(calls).await {
            assert!((Duration::from_millis(20)..Duration::from_millis(80)).contains(&used), "{used:?}");
        }
    }

    /// A call that is given up in its lane is dropped there, and soon.
    #[tokio::test]
    async fn a_call_that_is_given_up_ends() {
        let (lanes, (told, mut ended)) = (one_lane(), tokio::sync::mpsc::channel::<()>(1));
        let call = meter(Duration::from_mins(1), &lanes).measure(async move {
            let _told = told;
            loop {
                work(Duration::from_millis(1));
                tokio::task::yield_now().await;
            }
        });
        assert!(tokio::time::timeout(Duration::from_millis(20), call).await.is_err());
        assert_eq!(ended.recv().await, None);
    }
}
