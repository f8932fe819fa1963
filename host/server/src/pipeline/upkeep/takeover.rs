//! Frees deliveries that nobody runs: those of hosts that are gone, and those that this host does not know of. Shortens waits
//! that began before the clock was set back.

use std::{sync::Arc, time::Duration};

use aftercommit_core::{Clock as _, Timestamp};
use aftercommit_store::Result;
use tokio_util::sync::CancellationToken;

use crate::pipeline::{counters::add, dispatch::Dispatch, patience::Patience, room::Still};

/// Looks for them, at once and then every `interval`, until `stop`.
pub(in crate::pipeline) async fn takeover(
    dispatch: Arc<Dispatch>,
    lease_timeout: Duration,
    interval: Duration,
    stop: CancellationToken,
) {
    let mut patience = Patience::new("takeover", &dispatch.fatal);
    loop {
        let look = async {
            take_over(&dispatch, lease_timeout).await?;
            // The room may not stand still for as long as the database does not answer; a host that stops waits no longer.
            let Some(still) = stop.run_until_cancelled(dispatch.room.stand_still()).await else {
                return Ok(());
            };
            free_unknown(&dispatch, &still).await
        };
        match look.await {
            Ok(()) => patience.reset(),
            Err(error) => {
                patience.failed(&error);
            }
        }
        let wait = async {
            tokio::select! {
                () = tokio::time::sleep(interval) => {}
                () = dispatch.clock.jumped() => {}
            }
        };
        if stop.run_until_cancelled(wait).await.is_none() {
            return;
        }
    }
}

/// Keeps waits as long as they were planned if the clock was set back since they began.
async fn pull_in(dispatch: &Dispatch, now: Timestamp) -> Result<()> {
    let deliveries = dispatch.store.pull_in(now).await?;
    if deliveries > 0 {
        tracing::warn!(deliveries, "began to wait before the clock was set back; they wait from now on");
        dispatch.wake_claimer();
    }
    Ok(())
}

/// Takes over from hosts that are gone.
pub(in crate::pipeline) async fn take_over(dispatch: &Dispatch, lease_timeout: Duration) -> Result<()> {
    let now = dispatch.clock.set_by(&*dispatch.store).await?;
    pull_in(dispatch, now).await?;
    let taken = dispatch.store.take_over(now, dispatch.clock.alive(now, lease_timeout)).await?;
    for host in &taken.hosts {
        tracing::warn!(%host, "a host is gone");
    }
    if taken.deliveries > 0 {
        tracing::warn!(deliveries = taken.deliveries, "taken over from hosts that are gone");
        add(&dispatch.counters.taken_over, taken.deliveries);
        dispatch.recovery.wake();
    }
    Ok(())
}

/// Frees what this host owns and has no place for: the answer of a claim was lost, the server lost an end, or refused it.
pub(in crate::pipeline) async fn free_unknown(dispatch: &Dispatch, still: &Still<'_>) -> Result<()> {
    let now = dispatch.clock.now();
    let given_up = still.given_up();
    let freed = dispatch.store.free_unknown(dispatch.host, still.known(), given_up.clone(), now).await?;
    still.settle(&given_up);
    if freed > 0 {
        tracing::warn!(deliveries = freed, "freed what this host owned and lost track of");
        add(&dispatch.counters.lost_track, freed);
        dispatch.wake_claimer();
    }
    Ok(())
}
