//! Frees the deliveries of hosts that are gone.

use std::{sync::Arc, time::Duration};

use aftercommit_store::Result;
use tokio_util::sync::CancellationToken;

use crate::pipeline::{counters::add, dispatch::Dispatch, patience::Patience};

/// Looks for hosts that are gone, at once and then every `interval`, until `stop`.
pub(in crate::pipeline) async fn takeover(
    dispatch: Arc<Dispatch>,
    lease_timeout: Duration,
    interval: Duration,
    stop: CancellationToken,
) {
    let mut patience = Patience::new("takeover");
    loop {
        match take_over(&dispatch, lease_timeout).await {
            Ok(()) => patience.reset(),
            Err(error) => {
                patience.failed(&error);
            }
        }
        if stop.run_until_cancelled(tokio::time::sleep(interval)).await.is_none() {
            return;
        }
    }
}

/// Takes over from hosts that are gone.
pub(in crate::pipeline) async fn take_over(dispatch: &Dispatch, lease_timeout: Duration) -> Result<()> {
    let now = dispatch.clock.set_by(&*dispatch.store).await?;
    let taken = dispatch.store.take_over(now, lease_timeout).await?;
    for host in &taken.hosts {
        tracing::warn!(%host, "a host is gone");
    }
    if taken.deliveries > 0 {
        tracing::warn!(deliveries = taken.deliveries, "taken over from hosts that are gone");
        add(&dispatch.counters.taken_over, taken.deliveries);
        dispatch.wake_claimer();
    }
    Ok(())
}
