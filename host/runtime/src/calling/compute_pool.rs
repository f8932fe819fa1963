//! The compute pool: threads of a lower priority for calls that compute, so that the operating system runs short calls first,
//! whatever other guests do. `docs/design/computing.md` has the reasons.

use std::{panic, pin::Pin, sync::Arc, thread, time::Duration};

use tokio::{
    runtime::{Builder, Handle, Runtime},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
};
use tracing::{Instrument as _, instrument::WithSubscriber as _};

/// The threads for calls that compute, shared by all actions.
#[derive(Clone, Debug)]
pub(crate) struct ComputePool {
    threads: Arc<Threads>,
    /// One turn, on the host's threads, for calls of actions with an unknown profile.
    unknown: Arc<Semaphore>,
}

#[derive(Debug)]
struct Threads(Option<Runtime>);

/// The nice value that these threads add (nice(2)): beside a thread of the host they get a third of a processor. With much more, guests
/// that compute a few milliseconds would time out on a busy machine.
#[cfg(target_os = "linux")]
const NICER: i32 = 3;

impl ComputePool {
    /// A call that uses more processor time than this computes. Built-in plugins need less than half a millisecond.
    pub(crate) const LIGHT: Duration = Duration::from_millis(2);
    /// The same for the first calls of an action. It is less than a guest has before a tick ends its turn, so one turn decides.
    pub(crate) const LIGHT_WHEN_UNKNOWN: Duration = Duration::from_millis(1);

    /// One thread fewer than this machine has processors, but at least one.
    pub(crate) fn of_this_machine() -> std::io::Result<Self> {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        Self::new(processors.saturating_sub(1).max(1))
    }

    pub(crate) fn new(threads: usize) -> std::io::Result<Self> {
        let threads = Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_name("aftercommit-cpu")
            .on_thread_start(lower_priority)
            // First come, first served, whichever thread woke the call.
            .global_queue_interval(1)
            .build()?;
        Ok(Self { threads: Arc::new(Threads(Some(threads))), unknown: Arc::new(Semaphore::new(1)) })
    }

    /// Waits for the turn of a call whose action has an unknown profile. The turn ends when the permit is dropped.
    pub(crate) async fn turn_of_unknown(self) -> OwnedSemaphorePermit {
        self.unknown.acquire_owned().await.expect("the semaphore is never closed")
    }

    /// Runs the rest of a call on these threads. Its timers, sockets and spawned tasks stay on the runtime that calls this. Dropping the future
    /// ends the call on these threads, where its memory is freed.
    pub(crate) async fn run_rest<F>(&self, mut call: F) -> F::Output
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

    /// Runs blocking work at the priority of these threads. `None` if it panics.
    pub(crate) async fn run_blocking<T: Send + 'static>(
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
    /// Does not wait for the threads: one of them may be dropping it.
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
        tracing::warn!(%error, "the threads of the compute pool have the priority of all others");
    }
}
