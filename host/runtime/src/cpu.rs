//! CPU time of one call of a guest: the time that its thread spent on it, in the guest and in the host's functions that
//! it called. Time in which it waits is not part of it.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use rustix::time::{ClockId, clock_gettime};
use wasmtime::UpdateDeadline;

use crate::{lanes::Lanes, standing::Standing};

/// Measures one call against its budget. Read from within the call at every tick, and from outside when it has ended.
///
/// Outside of the lanes it measures by the wall's clock, which costs a tenth of the other; a call is not there for long.
/// In a lane only the processor's time counts.
#[derive(Debug)]
pub(crate) struct CpuMeter {
    made: Instant,
    budget: Duration,
    /// A guest that has held its thread for longer yields at a tick.
    turn: Duration,
    lanes: Lanes,
    standing: Arc<Standing>,
    in_lane: AtomicBool,
    /// Nanoseconds used in turns that are over.
    used_ns: AtomicU64,
    /// When the present turn began, in nanoseconds of the clock that counts; [`IDLE`] between turns.
    turn_since_ns: AtomicU64,
}

const IDLE: u64 = u64::MAX;

impl CpuMeter {
    /// A meter of `budget`, for an engine with ticks of that length.
    pub(crate) fn new(budget: Duration, tick: Duration, lanes: Lanes, standing: Arc<Standing>) -> Self {
        Self {
            made: Instant::now(),
            budget,
            // A tick falls anywhere into a turn; with half of one, nobody holds a thread for more than one and a half.
            turn: tick / 2,
            lanes,
            standing,
            in_lane: AtomicBool::new(false),
            used_ns: AtomicU64::new(0),
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

    /// Counts work that another thread did for the call.
    pub(crate) fn charge(&self, work: Duration) {
        self.used_ns.fetch_add(u64::try_from(work.as_nanos()).unwrap_or(IDLE), Relaxed);
    }

    /// What a guest does at a tick: go on, let others have their turn, or end. Also a guest that only calls functions of
    /// the host that answer at once comes here: it must yield too, or nothing else could end it.
    pub(crate) fn tick(&self) -> UpdateDeadline {
        if self.used() > self.budget {
            UpdateDeadline::Interrupt
        } else if self.turn() > self.turn {
            UpdateDeadline::Yield(1)
        } else {
            UpdateDeadline::Continue(1)
        }
    }

    /// Runs a call and measures its turns. Once it has used more than is free, it goes on in a lane.
    pub(crate) async fn measure<F>(self: Arc<Self>, call: F) -> F::Output
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        let meter = Arc::clone(&self);
        let mut call = Box::pin(async move {
            let mut call = pin!(call);
            poll_fn(|context| meter.take_turn(call.as_mut(), context)).await
        });
        if self.standing.is_light() {
            let ended = poll_fn(|context| match call.as_mut().poll(context) {
                Poll::Ready(output) => Poll::Ready(Some(output)),
                Poll::Pending if self.used() > Lanes::FREE => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            });
            if let Some(output) = ended.await {
                return output;
            }
        }
        let most = self.used() + Lanes::FREE;
        self.in_lane.store(true, Relaxed);
        let meter = Arc::clone(&self);
        let rest = poll_fn(move |context| {
            let polled = call.as_mut().poll(context);
            let computes = meter.used() > most;
            if computes || polled.is_ready() {
                meter.standing.set_light(!computes);
            }
            polled
        });
        self.lanes.finish(rest).await
    }

    fn take_turn<F: Future>(&self, call: Pin<&mut F>, context: &mut Context<'_>) -> Poll<F::Output> {
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
        if self.in_lane.load(Relaxed) {
            let now = clock_gettime(ClockId::ThreadCPUTime);
            let (seconds, nanos) = (now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs());
            seconds.saturating_mul(1_000_000_000).saturating_add(nanos)
        } else {
            u64::try_from(self.made.elapsed().as_nanos()).unwrap_or(IDLE - 1)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    use super::*;

    const TICK: Duration = Duration::from_millis(5);

    /// Of an action that needed little so far.
    fn meter(budget: Duration, lanes: &Lanes) -> Arc<CpuMeter> {
        let standing = Arc::<Standing>::default();
        standing.set_light(true);
        Arc::new(CpuMeter::new(budget, TICK, lanes.clone(), standing))
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
                    work(TICK);
                    tokio::task::yield_now().await;
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

    #[tokio::test]
    async fn an_action_has_to_show_that_it_needs_little() {
        let (lanes, standing) = (one_lane(), Arc::<Standing>::default());
        let call = async |span: Duration| {
            let meter = CpuMeter::new(Duration::from_mins(1), TICK, lanes.clone(), Arc::clone(&standing));
            let call = async move {
                let began_in = std::thread::current().name().map(str::to_owned);
                work(span);
                tokio::task::yield_now().await;
                began_in.as_deref() == Some("aftercommit-lane")
            };
            Arc::new(meter).measure(call).await
        };
        let (little, much) = (Duration::from_micros(10), Duration::from_millis(3));
        assert!(call(little).await, "nothing is known of it");
        assert!(!call(little).await);
        assert!(!call(much).await);
        assert!(!call(much).await, "less than the free time of it was in a lane");
        let long = async move {
            for _ in 0..3 {
                work(much);
                tokio::task::yield_now().await;
            }
        };
        Arc::new(CpuMeter::new(Duration::from_mins(1), TICK, lanes.clone(), Arc::clone(&standing)))
            .measure(long)
            .await;
        assert!(call(much).await);
        assert!(call(little).await);
        assert!(!call(little).await);
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
