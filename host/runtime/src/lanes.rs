//! Threads for calls that compute. They have a lower priority than the others, so that the operating system lets a
//! call that needs little go first, whatever other guests do, honest or not.

use std::{panic, pin::Pin, sync::Arc, thread, time::Duration};

use tokio::{
    runtime::{Builder, Handle, Runtime},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
};
use tracing::{Instrument as _, instrument::WithSubscriber as _};

/// The threads of all calls that compute, over all actions.
#[derive(Clone, Debug)]
pub(crate) struct Lanes {
    threads: Arc<Threads>,
    /// Outside of them, the turn of those of whom nothing is known.
    trial: Arc<Semaphore>,
}

#[derive(Debug)]
struct Threads(Option<Runtime>);

/// How much nicer than the others they are (nice(2)): where both want a processor, they get a third of it. With much more, guests
/// that compute a few honest milliseconds would time out on a busy machine.
#[cfg(target_os = "linux")]
const NICER: i32 = 3;

impl Lanes {
    /// From that much time on a call counts as one that computes. Built-in plugins need less than half a millisecond.
    pub(crate) const FREE: Duration = Duration::from_millis(2);
    /// The same for the first calls of an action: less than a guest has before a tick ends its turn, so that it needs one only.
    pub(crate) const TRIAL: Duration = Duration::from_millis(1);

    /// A thread less than this machine has processors, but at least one.
    pub(crate) fn of_this_machine() -> std::io::Result<Self> {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        Self::new(processors.saturating_sub(1).max(1))
    }

    pub(crate) fn new(threads: usize) -> std::io::Result<Self> {
        let threads = Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_name("aftercommit-lane")
            .on_thread_start(lower_priority)
            // Calls have turns one after the other, whoever woke them.
            .global_queue_interval(1)
            .build()?;
        Ok(Self { threads: Arc::new(Threads(Some(threads))), trial: Arc::new(Semaphore::new(1)) })
    }

    /// Waits for a turn among those of whom nothing is known. It is over when what is returned is dropped.
    pub(crate) async fn trial(self) -> OwnedSemaphorePermit {
        self.trial.acquire_owned().await.expect("the semaphore is never closed")
    }

    /// Sees a call through on these threads; what it waits for, and what it spawns, stays where it was. Dropped before
    /// that, it ends the call there, with all its memory.
    pub(crate) async fn finish<F>(&self, mut call: F) -> F::Output
    where
        F: Future<Output: Send + 'static> + Unpin + Send + 'static,
    {
        let home = Handle::current();
        let rest = std::future::poll_fn(move |context| {
            let _home = home.enter();
            Pin::new(&mut call).poll(context)
        });
        let mut task = JoinSet::new();
        task.spawn_on(rest.in_current_span().with_current_subscriber(), self.handle());
        match task.join_next().await {
            Some(Ok(output)) => output,
            Some(Err(error)) => panic::resume_unwind(error.into_panic()),
            None => unreachable!("it was spawned"),
        }
    }

    /// Does work that can not wait, beside the calls. `None` if it panics.
    pub(crate) async fn at_once<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        self.handle().spawn_blocking(work).await.ok()
    }

    fn handle(&self) -> &Handle {
        self.threads.0.as_ref().expect("it is taken only when it is dropped").handle()
    }
}

impl Drop for Threads {
    /// Waits for nothing: whoever drops it may be one of the threads.
    fn drop(&mut self) {
        if let Some(threads) = self.0.take() {
            threads.shutdown_background();
        }
    }
}

fn lower_priority() {
    // Elsewhere the call is for the whole process.
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::nice(NICER) {
        tracing::warn!(%error, "the threads of guests that compute keep the priority of all others");
    }
}
