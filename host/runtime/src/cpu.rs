//! CPU time of one call of a guest: the time in which the thread worked on it, in the guest and in the host's functions
//! that it called. Time in which it waits is not part of it.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    task::ready,
    time::{Duration, Instant},
};

use futures::future::BoxFuture;
use tokio::sync::OwnedSemaphorePermit;
use wasmtime::UpdateDeadline;

use crate::lanes::Lanes;

/// Measures one call against its budget. Read from within the call at every tick, and from outside when it has ended.
#[derive(Debug)]
pub(crate) struct CpuMeter {
    made: Instant,
    budget: Duration,
    /// A guest that has held its thread for longer yields at a tick.
    turn: Duration,
    /// Nanoseconds used in turns that are over.
    used_ns: AtomicU64,
    lanes: Lanes,
    /// When the present turn began, in nanoseconds since `made`; [`IDLE`] between turns.
    turn_since_ns: AtomicU64,
}

const IDLE: u64 = u64::MAX;

impl CpuMeter {
    /// A meter of `budget`, for an engine with ticks of that length.
    pub(crate) fn new(budget: Duration, tick: Duration, lanes: Lanes) -> Self {
        let (used_ns, turn_since_ns) = (AtomicU64::new(0), AtomicU64::new(IDLE));
        // A tick falls anywhere into a turn; with half of one, nobody holds a thread for more than one and a half.
        Self { made: Instant::now(), budget, turn: tick / 2, used_ns, lanes, turn_since_ns }
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

    /// Runs a call and measures its turns. Once it has used more than is free, each turn waits for its place.
    pub(crate) async fn measure<F: Future>(&self, call: F) -> F::Output {
        let mut call = pin!(call);
        let mut waiting: Option<BoxFuture<'static, OwnedSemaphorePermit>> = None;
        poll_fn(|context| {
            let place = if self.used() > Lanes::FREE {
                let place = waiting.get_or_insert_with(|| Box::pin(self.lanes.clone().place()));
                let place = ready!(place.as_mut().poll(context));
                waiting = None;
                Some(place)
            } else {
                None
            };
            self.turn_since_ns.store(self.now_ns(), Relaxed);
            let polled = call.as_mut().poll(context);
            let turn = u64::try_from(self.turn().as_nanos()).unwrap_or(u64::MAX);
            self.used_ns.fetch_add(turn, Relaxed);
            self.turn_since_ns.store(IDLE, Relaxed);
            drop(place);
            polled
        })
        .await
    }

    /// Length of the present turn.
    fn turn(&self) -> Duration {
        match self.turn_since_ns.load(Relaxed) {
            IDLE => Duration::ZERO,
            since => Duration::from_nanos(self.now_ns().saturating_sub(since)),
        }
    }

    fn now_ns(&self) -> u64 {
        u64::try_from(self.made.elapsed().as_nanos()).unwrap_or(IDLE - 1)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    };

    use super::*;

    const TICK: Duration = Duration::from_millis(5);

    fn work(span: Duration) {
        let started = Instant::now();
        while started.elapsed() < span {
            std::hint::spin_loop();
        }
    }

    #[tokio::test]
    async fn turns_count_and_waiting_does_not() {
        let meter = CpuMeter::new(Duration::from_mins(1), TICK, Lanes::new(1));
        let (started, pause) = (Instant::now(), Duration::from_millis(50));
        meter
            .measure(async {
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
        let meter = CpuMeter::new(Duration::from_mins(1), TICK, Lanes::new(1));
        let small = CpuMeter::new(Duration::from_millis(1), TICK, Lanes::new(1));
        meter
            .measure(small.measure(async {
                work(TICK);
                assert!(matches!(meter.tick(), UpdateDeadline::Yield(1)));
                assert!(matches!(small.tick(), UpdateDeadline::Interrupt));
            }))
            .await;
    }

    /// Two calls that compute have turns one after the other, and one that needs little has its own between them.
    #[tokio::test(flavor = "multi_thread", worker_threads = 3)]
    async fn those_who_compute_share_the_lanes() {
        let lanes = Lanes::new(1);
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let computing: Vec<_> = (0..4)
            .map(|_| {
                let (lanes, now, most) = (lanes.clone(), Arc::clone(&now), Arc::clone(&most));
                tokio::spawn(async move {
                    let meter = CpuMeter::new(Duration::from_mins(1), TICK, lanes);
                    meter
                        .measure(async {
                            work(TICK);
                            for _ in 0..20 {
                                tokio::task::yield_now().await;
                                most.fetch_max(now.fetch_add(1, SeqCst) + 1, SeqCst);
                                work(Duration::from_millis(1));
                                now.fetch_sub(1, SeqCst);
                            }
                        })
                        .await;
                })
            })
            .collect();
        let light = CpuMeter::new(Duration::from_mins(1), TICK, lanes.clone());
        let held = lanes.clone().place().await;
        light.measure(tokio::task::yield_now()).await;
        drop(held);
        for task in computing {
            task.await.unwrap();
        }
        assert_eq!(most.load(SeqCst), 1);
    }
}
