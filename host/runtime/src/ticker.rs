//! The tick at which guests are looked at, wherever they are: one thread an engine. What they used is measured apart (`cpu.rs`).

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

    /// Time between two ticks.
    pub(crate) const fn period(&self) -> Duration {
        self.period
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
