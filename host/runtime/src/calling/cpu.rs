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
    calling::{
        compute_pool::ComputePool,
        cpu_profile::{CpuClass, CpuProfile},
    },
    engine::ticker::Ticker,
    limits::Limits,
};

/// Measures one call against its budget. The call reads it at every tick, and the host when the call has ended.
///
/// A call of a light action is measured by the wall clock, which costs a tenth of the thread's processor clock, until it has
/// used more than [`ComputePool::LIGHT`]; on a busy machine that may be time that others had. From then on, and for actions of an unknown
/// profile, only processor time counts.
#[derive(Debug)]
pub(crate) struct CpuMeter {
    made: Instant,
    budget: Duration,
    ticker: Arc<Ticker>,
    pool: ComputePool,
    profile: Arc<CpuProfile>,
    /// Whether processor time counts, or wall time.
    exact: AtomicBool,
    /// Nanoseconds used in turns that have ended.
    used_ns: AtomicU64,
    /// The part of them that was measured by the wall clock.
    cheaply_ns: AtomicU64,
    /// Start of the present turn, in nanoseconds of the clock that counts; [`IDLE`] between turns.
    turn_since_ns: AtomicU64,
}

const IDLE: u64 = u64::MAX;

impl CpuMeter {
    /// A meter with a budget, for the engine of this ticker.
    pub(crate) fn new(
        budget: Duration,
        ticker: Arc<Ticker>,
        pool: ComputePool,
        profile: Arc<CpuProfile>,
    ) -> Self {
        Self {
            made: Instant::now(),
            budget,
            ticker,
            pool,
            profile,
            exact: AtomicBool::new(false),
            used_ns: AtomicU64::new(0),
            cheaply_ns: AtomicU64::new(0),
            turn_since_ns: AtomicU64::new(IDLE),
        }
    }

    /// Time used so far.
    pub(crate) fn used(&self) -> Duration {
        Duration::from_nanos(self.used_ns.load(Relaxed)) + self.turn()
    }

    /// Time left.
    pub(crate) fn left(&self) -> Duration {
        self.budget.saturating_sub(self.used())
    }

    /// Runs blocking work of the call in the compute pool, and charges its time. `None` if it panics.
    pub(crate) async fn work<T: Send + 'static>(
        self: Arc<Self>,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let pool = self.pool.clone();
        let counted = move || {
            let since = processor_ns();
            let done = work();
            self.used_ns.fetch_add(processor_ns().saturating_sub(since), Relaxed);
            done
        };
        pool.run_blocking(counted).await
    }

    /// Decides at a tick whether a guest goes on, yields or ends. A guest that only calls functions of the host that answer
    /// at once comes here too: without a yield nothing could end it.
    pub(crate) fn tick(&self) -> UpdateDeadline {
        // A tick can fall anywhere into a turn. With a bound of half a period, no guest holds a thread for more than one and a half.
        let longest = self.ticker.period() / 2;
        if self.used() > self.budget {
            UpdateDeadline::Interrupt
        } else if self.turn() > longest {
            UpdateDeadline::Yield(1)
        } else {
            UpdateDeadline::Continue(1)
        }
    }

    /// Runs a call and measures its turns. It begins in the compute pool, or moves there when it has used more than a light call.
    pub(crate) async fn measure<F>(self: Arc<Self>, call: F) -> F::Output
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        let mut call = Box::pin(call);
        if let Some(output) = self.outside(call.as_mut()).await {
            return output;
        }
        self.measure_exactly();
        let pool = self.pool.clone();
        let rest = poll_fn(move |context| {
            let polled = self.take_turn(call.as_mut(), context);
            if self.exceeds(ComputePool::LIGHT) {
                self.profile.record(CpuClass::Heavy);
            } else if polled.is_ready() {
                self.profile.record(CpuClass::Light);
            }
            polled
        });
        pool.run_rest(rest).await
    }

    /// Measures processor time from the next turn on.
    fn measure_exactly(&self) {
        if !self.exact.load(Relaxed) {
            self.cheaply_ns.store(self.used_ns.load(Relaxed), Relaxed);
            self.exact.store(true, Relaxed);
        }
    }

    /// Whether it has used more processor time than `free`.
    fn exceeds(&self, free: Duration) -> bool {
        let exactly = self.used_ns.load(Relaxed) - self.cheaply_ns.load(Relaxed);
        self.exact.load(Relaxed) && Duration::from_nanos(exactly) > free
    }

    /// Runs a call on the host's threads for as long as it is light. Calls of an unknown profile take turns: many that
    /// begin at once and all compute would hold all threads.
    async fn outside<F: Future>(&self, mut call: Pin<&mut F>) -> Option<F::Output> {
        let mut waiting: Option<BoxFuture<'static, OwnedSemaphorePermit>> = None;
        poll_fn(|context| {
            let mut turn_taken = None;
            if self.profile.class() == CpuClass::Unknown {
                self.measure_exactly();
                let turn = waiting.get_or_insert_with(|| Box::pin(self.pool.clone().turn_of_unknown()));
                turn_taken = Some(ready!(turn.as_mut().poll(context)));
                waiting = None;
            }
            if self.profile.class() == CpuClass::Heavy {
                return Poll::Ready(None);
            }
            let polled = self.take_turn(call.as_mut(), context);
            if self.used() > ComputePool::LIGHT {
                self.measure_exactly();
            }
            let computes = self.exceeds(if turn_taken.is_some() {
                ComputePool::LIGHT_WHEN_UNKNOWN
            } else {
                ComputePool::LIGHT
            });
            if turn_taken.is_some() && (computes || polled.is_ready()) {
                self.profile.record(if computes { CpuClass::Heavy } else { CpuClass::Light });
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

    /// Length of the present turn. To be called on the thread that runs it.
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

/// The deadline of work on a thread.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Until {
    wall: Instant,
    processor_ns: u64,
}

impl Until {
    /// A time of the wall clock, and processor time from now on.
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

    /// A meter for a call of a light action.
    fn meter(budget: Duration, pool: &ComputePool) -> Arc<CpuMeter> {
        let profile = Arc::<CpuProfile>::default();
        profile.record(CpuClass::Light);
        Arc::new(CpuMeter::new(budget, Arc::clone(&TICKER), pool.clone(), profile))
    }

    fn pool_of_one() -> ComputePool {
        ComputePool::new(1).unwrap()
    }

    /// Uses processor time.
    fn work(span: Duration) {
        let used = || Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap();
        let started = used();
        while used() < started + span {
            std::hint::spin_loop();
        }
    }

    #[tokio::test]
    async fn turns_count_and_waiting_does_not() {
        let meter = meter(Duration::from_mins(1), &pool_of_one());
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
            (meter(Duration::from_mins(1), &pool_of_one()), meter(Duration::from_millis(1), &pool_of_one()));
        let (outer, inner) = (Arc::clone(&meter), Arc::clone(&small));
        let call = Arc::clone(&small).measure(async move {
            work(TICK);
            assert!(matches!(outer.tick(), UpdateDeadline::Yield(1)));
            assert!(matches!(inner.tick(), UpdateDeadline::Interrupt));
        });
        meter.measure(call).await;
    }

    /// Calls that compute run one after the other in a pool of one thread; a light call stays on its own.
    #[tokio::test(flavor = "multi_thread", worker_threads = 3)]
    async fn calls_that_compute_share_the_pool() {
        let pool = pool_of_one();
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let computing: Vec<_> = (0..4)
            .map(|_| {
                let (pool, now, most) = (pool.clone(), Arc::clone(&now), Arc::clone(&most));
                tokio::spawn(meter(Duration::from_mins(1), &pool).measure(async move {
                    // Twice: the first may have been measured by the wall clock.
                    for _ in 0..2 {
                        work(TICK);
                        tokio::task::yield_now().await;
                    }
                    assert_eq!(std::thread::current().name(), Some("aftercommit-cpu"));
                    for _ in 0..20 {
                        tokio::task::yield_now().await;
                        most.fetch_max(now.fetch_add(1, SeqCst) + 1, SeqCst);
                        work(Duration::from_millis(1));
                        now.fetch_sub(1, SeqCst);
                    }
                }))
            })
            .collect();
        meter(Duration::from_mins(1), &pool)
            .measure(async {
                tokio::task::yield_now().await;
                assert_ne!(std::thread::current().name(), Some("aftercommit-cpu"));
            })
            .await;
        for task in computing {
            task.await.unwrap();
        }
        assert_eq!(most.load(SeqCst), 1);
    }

    /// Whether a call of so many turns of a millisecond is in the pool when it begins and when it ends.
    async fn places_of(pool: &ComputePool, profile: &Arc<CpuProfile>, turns: usize) -> [bool; 2] {
        let ticker = Arc::clone(&TICKER);
        let meter = CpuMeter::new(Duration::from_mins(1), ticker, pool.clone(), Arc::clone(profile));
        let in_pool = || std::thread::current().name() == Some("aftercommit-cpu");
        let call = async move {
            let began = in_pool();
            for _ in 0..turns {
                work(Duration::from_millis(1));
                tokio::task::yield_now().await;
            }
            [began, in_pool()]
        };
        Arc::new(meter).measure(call).await
    }

    #[tokio::test]
    async fn the_profile_follows_the_last_call() {
        let (pool, profile) = (pool_of_one(), Arc::<CpuProfile>::default());
        for (turns, expected, shown) in [
            (0, [false, false], CpuClass::Light),
            (5, [false, true], CpuClass::Heavy),
            (5, [true, true], CpuClass::Heavy),
            (0, [true, true], CpuClass::Light),
            (0, [false, false], CpuClass::Light),
        ] {
            assert_eq!(places_of(&pool, &profile, turns).await, expected);
            assert_eq!(profile.class(), shown);
        }
        let profile = Arc::<CpuProfile>::default();
        assert_eq!(places_of(&pool, &profile, 5).await, [false, true]);
        assert_eq!(places_of(&pool, &profile, 5).await, [true, true]);
    }

    /// Of many calls that begin at once, few run before the profile is known.
    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn calls_of_an_unknown_profile_begin_one_at_a_time() {
        let (pool, profile) = (pool_of_one(), Arc::<CpuProfile>::default());
        let calls: Vec<_> = (0..16)
            .map(|_| {
                let (pool, profile) = (pool.clone(), Arc::clone(&profile));
                tokio::spawn(async move { places_of(&pool, &profile, 5).await })
            })
            .collect();
        let mut began_outside = 0;
        for call in calls {
            let [began_in_pool, ended_in_pool] = call.await.unwrap();
            assert!(ended_in_pool);
            began_outside += usize::from(!began_in_pool);
        }
        assert!((1..=3).contains(&began_outside), "{began_outside}");
    }

    /// Eight calls share one thread; each is charged for its own processor time only.
    #[tokio::test]
    async fn time_of_others_is_not_charged() {
        let pool = pool_of_one();
        let calls = (0..8).map(|_| {
            let meter = meter(Duration::from_mins(1), &pool);
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

    /// A call that is dropped while it runs in the pool ends there, and soon.
    #[tokio::test]
    async fn a_call_that_is_given_up_ends() {
        let (pool, (told, mut ended)) = (pool_of_one(), tokio::sync::mpsc::channel::<()>(1));
        let call = meter(Duration::from_mins(1), &pool).measure(async move {
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
