//! The tick at which guests are looked at, wherever they are: one thread an engine. What they used is measured apart (`cpu.rs`).
//!
//! The thread sleeps while no guest runs: five hundred ticks a second cost an idle host a percent of a core.

use std::{
    sync::{
        Arc,
        atomic::{
            AtomicBool, AtomicUsize,
            Ordering::{Relaxed, SeqCst},
        },
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use wasmtime::Engine;

/// The thread goes to sleep after so many ticks at which no guest ran. To wake it costs a guest's call some microseconds, so it
/// stays awake between calls that follow each other.
const QUIET_TICKS: u32 = 50;

/// Advances an engine's epoch while a guest runs, until dropped.
#[derive(Debug)]
pub(crate) struct Ticker {
    period: Duration,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default, Debug)]
struct Shared {
    /// Guests that have a thread now.
    turns: AtomicUsize,
    is_asleep: AtomicBool,
    is_stopped: AtomicBool,
}

/// A guest has a thread until this is dropped.
pub(crate) struct Turn<'t>(&'t Shared);

impl Ticker {
    pub(crate) fn start(engine: &Engine, period: Duration) -> std::io::Result<Arc<Self>> {
        let engine = engine.weak();
        Self::start_with(period, move || {
            if let Some(engine) = engine.upgrade() {
                engine.increment_epoch();
            }
        })
    }

    fn start_with(period: Duration, tick: impl Fn() + Send + 'static) -> std::io::Result<Arc<Self>> {
        let shared = Arc::<Shared>::default();
        let seen = Arc::clone(&shared);
        let thread = thread::Builder::new().name("aftercommit-epoch".to_owned());
        let thread = thread.spawn(move || seen.tick_until_stopped(period, tick))?;
        Ok(Arc::new(Self { period, shared, thread: Some(thread) }))
    }

    /// Time between two ticks.
    pub(crate) const fn period(&self) -> Duration {
        self.period
    }

    /// A guest goes on. There are ticks until the turn is dropped.
    pub(crate) fn turn(&self) -> Turn<'_> {
        // This order, and the reverse in the thread: one of the two sees the other.
        self.shared.turns.fetch_add(1, SeqCst);
        if self.shared.is_asleep.load(SeqCst) {
            self.wake();
        }
        Turn(&self.shared)
    }

    #[cold]
    fn wake(&self) {
        self.shared.is_asleep.store(false, SeqCst);
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }
}

impl Shared {
    fn tick_until_stopped(&self, period: Duration, tick: impl Fn()) {
        let mut quiet = 0;
        while !self.is_stopped.load(SeqCst) {
            if quiet < QUIET_TICKS {
                // Woken early it ticks early, which does no harm.
                thread::park_timeout(period);
            } else {
                self.sleep();
                quiet = 0;
            }
            tick();
            quiet = if self.turns.load(Relaxed) == 0 { quiet + 1 } else { 0 };
        }
    }

    /// Returns when a guest has a turn.
    fn sleep(&self) {
        self.is_asleep.store(true, SeqCst);
        while self.turns.load(SeqCst) == 0 && self.is_asleep.load(SeqCst) && !self.is_stopped.load(SeqCst) {
            thread::park();
        }
        self.is_asleep.store(false, SeqCst);
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.turns.fetch_sub(1, SeqCst);
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.is_stopped.store(true, SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // The thread only sleeps and increments; if it panicked there is nothing left to stop.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn it_ticks_while_a_guest_has_a_turn_and_then_sleeps() {
        let (each, ticks) = mpsc::channel();
        let ticker = Ticker::start_with(Duration::from_millis(1), move || each.send(()).unwrap()).unwrap();
        for _ in 0..2 {
            let turn = ticker.turn();
            for _ in 0..2 * QUIET_TICKS {
                ticks.recv().unwrap();
                assert!(!ticker.shared.is_asleep.load(SeqCst), "a guest has a turn");
            }
            drop(turn);
            while !ticker.shared.is_asleep.load(SeqCst) {
                thread::yield_now();
            }
            // The last ticks of before.
            while ticks.try_recv().is_ok() {}
        }
        drop(ticker);
        assert!(ticks.iter().count() <= 1, "it ends");
    }
}
