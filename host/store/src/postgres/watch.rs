//! Whether this host looks into the inbox by itself, or sleeps until a commit rings.
//!
//! To ring is dear (`NOTIFY` takes a lock of the whole server at the end of each commit), to look is cheap. So a host that is rung again
//! and again looks by itself, every few milliseconds, until nothing has been captured for a while. Then it says that it sleeps:
//! triggers read that (the sequence `observer_bell`), and their commits ring as long as any host sleeps.
//!
//! A transaction reads whether to ring when it changes a row, and may commit much later. If it read so before the host went to sleep,
//! it does not ring, and the look that follows does not see it when it is still open. So a host that has gone to sleep looks again,
//! after 2 ms, 4, 8 and so on up to the poll that stands behind each bell. Therefore no event waits longer for its look
//! than its transaction stayed open after that moment, and none longer than the poll's interval.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::{PostgresStore, connection::Sync, session::Session, statement::statements};
use crate::{HostId, Result};

/// Between two looks of a host that is awake, at least.
const LOOKS: Duration = Duration::from_millis(2);

/// After so many looks between which nothing was captured a host goes to sleep.
const QUIET_LOOKS: u32 = 10;

/// A ring after so short a wait is one in a row, and so is a take that left something behind; after so many in a row a host looks by
/// itself.
const QUICK: Duration = Duration::from_millis(10);
const QUICK_RINGS: u32 = 8;

/// For how long commits ring when a host has gone to sleep; it says so again before that is over.
const RUNG_FOR: Duration = Duration::from_secs(30);
const AGAIN_AFTER: Duration = Duration::from_secs(20);

statements! {
    RING = "-- ring
SELECT observer_ring($1, $2)::text";
}

/// The watch of one process.
pub(super) struct Watch {
    standing: tokio::sync::Mutex<Standing>,
    last: Mutex<Look>,
}

/// What the last look found.
struct Look {
    at: Instant,
    /// The number that was given to a change last, also to one that can not be seen yet.
    number: i64,
    /// Quick rings in a row.
    quick: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Standing {
    Awake {
        /// As it was at the look before.
        number: i64,
        /// Looks since it changed.
        quiet: u32,
    },
    Asleep {
        /// Until the next look.
        pause: Duration,
        /// When to say so again.
        again: Instant,
    },
}

impl Default for Watch {
    /// Awake, and about to fall asleep.
    fn default() -> Self {
        let look = Look { at: Instant::now(), number: 0, quick: 0 };
        let standing = Standing::Awake { number: 0, quiet: QUIET_LOOKS };
        Self { standing: tokio::sync::Mutex::new(standing), last: Mutex::new(look) }
    }
}

impl Watch {
    /// Notes a look at the inbox.
    pub(super) fn looked(&self, number: i64) {
        let mut last = self.last();
        (last.at, last.number) = (Instant::now(), number);
    }

    fn last(&self) -> parking_lot::MutexGuard<'_, Look> {
        self.last.lock()
    }
}

impl PostgresStore {
    /// Returns when it is time for a look, after `longest` at the latest.
    pub(super) async fn watch(&self, host: HostId, longest: Duration) {
        if !self.inner.doorbell.is_heard() {
            // Nobody rings for this host, and no commit has to.
            return sleep(longest).await;
        }
        let mut standing = self.inner.watch.standing.lock().await;
        *standing = match *standing {
            Standing::Awake { number, quiet } => self.awake(host, number, quiet, longest).await,
            Standing::Asleep { pause, again } => self.asleep(host, pause, again, longest).await,
        };
    }

    /// Notes that a take left something behind: then nobody waits for a bell, and at last commits need not ring.
    pub(super) async fn fell_behind(&self, host: HostId) {
        let quick = {
            let mut last = self.inner.watch.last();
            last.quick = last.quick.saturating_add(1);
            last.quick
        };
        if quick < QUICK_RINGS {
            return;
        }
        // Another task of this process that waits for a look decides by itself.
        let Ok(mut standing) = self.inner.watch.standing.try_lock() else { return };
        if matches!(*standing, Standing::Asleep { .. })
            && let Some(awake) = self.wake(host).await
        {
            *standing = awake;
        }
    }

    /// Says that this host looks by itself, if that can be said.
    async fn wake(&self, host: HostId) -> Option<Standing> {
        if !self.ring(host, Duration::ZERO).await {
            return None;
        }
        let mut last = self.inner.watch.last();
        last.quick = 0;
        Some(Standing::Awake { number: last.number, quiet: 0 })
    }

    async fn awake(&self, host: HostId, before: i64, quiet: u32, longest: Duration) -> Standing {
        let (at, number) = {
            let last = self.inner.watch.last();
            (last.at, last.number)
        };
        let quiet = if number == before { quiet + 1 } else { 0 };
        if quiet < QUIET_LOOKS {
            sleep_until(at + LOOKS.min(longest)).await;
            return Standing::Awake { number, quiet };
        }
        if self.ring(host, RUNG_FOR).await {
            // Returns at once: what was committed before commits rang is found by a look now.
            return Standing::Asleep { pause: LOOKS, again: Instant::now() + AGAIN_AFTER };
        }
        sleep(longest).await;
        Standing::Awake { number, quiet }
    }

    async fn asleep(&self, host: HostId, pause: Duration, mut again: Instant, longest: Duration) -> Standing {
        let is_busy = self.inner.watch.last().quick >= QUICK_RINGS;
        if is_busy && let Some(awake) = self.wake(host).await {
            return awake;
        }
        if again <= Instant::now() && self.ring(host, RUNG_FOR).await {
            again = Instant::now() + AGAIN_AFTER;
        }
        let asked = Instant::now();
        let rang = timeout(pause.min(longest), self.inner.doorbell.inbox()).await.is_ok();
        let mut last = self.inner.watch.last();
        if rang && asked.elapsed() < QUICK {
            last.quick += 1;
            return Standing::Asleep { pause, again };
        }
        last.quick = 0;
        Standing::Asleep { pause: (pause * 2).min(longest).max(LOOKS), again }
    }

    /// Has commits ring for a host for so long, or no more; whether that was done.
    async fn ring(&self, host: HostId, time: Duration) -> bool {
        let ringing = self
            .inner
            .connections
            .write("ring", Sync::Later, |session| Box::pin(async move { ring(session, host, time).await }));
        match ringing.await {
            Ok(()) => true,
            Err(error) => {
                tracing::debug!(%error, "could not say whether this host sleeps");
                false
            }
        }
    }
}

/// No commit rings for a host that ends.
pub(super) async fn leave(session: &mut Session<'_>, host: HostId) -> Result<()> {
    ring(session, host, Duration::ZERO).await
}

async fn ring(session: &mut Session<'_>, host: HostId, time: Duration) -> Result<()> {
    RING.call().bind(host.0).bind(i32::try_from(time.as_secs()).unwrap_or(i32::MAX)).execute(session).await?;
    Ok(())
}
