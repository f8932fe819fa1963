//! The tick by which CPU time is measured: one thread an engine, and the only place that turns durations into ticks.

use std::{
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
    time::Duration,
};

use wasmtime::Engine;

/// Advances an engine's epoch until dropped.
pub(crate) struct Ticker {
    period: Duration,
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    pub(crate) fn start(engine: &Engine, period: Duration) -> std::io::Result<Arc<Self>> {
        let (stop, stopped) = mpsc::channel::<()>();
        let engine = engine.weak();
        let thread = thread::Builder::new().name("aftercommit-epoch".to_owned()).spawn(move || {
            while let Err(mpsc::RecvTimeoutError::Timeout) = stopped.recv_timeout(period) {
                let Some(engine) = engine.upgrade() else { return };
                engine.increment_epoch();
            }
        })?;
        Ok(Arc::new(Self { period, stop: Some(stop), thread: Some(thread) }))
    }

    /// How many ticks a guest may use for `budget`; at least one, and one more because the first is already running.
    pub(crate) fn ticks(&self, budget: Duration) -> u64 {
        let ticks = budget.as_nanos().div_ceil(self.period.as_nanos().max(1));
        u64::try_from(ticks).unwrap_or(u64::MAX).saturating_add(1)
    }

    /// What `ticks` used ticks are worth.
    pub(crate) fn span(&self, ticks: u64) -> Duration {
        self.period.saturating_mul(u32::try_from(ticks).unwrap_or(u32::MAX))
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            // The thread only sleeps and increments; if it panicked there is nothing left to stop.
            let _ = thread.join();
        }
    }
}
