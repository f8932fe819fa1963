//! Keeps this host alive in the eyes of the others.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use crate::pipeline::{dispatch::Dispatch, patience::Patience};

/// Renews the heartbeat every `interval` until `stop`.
pub(in crate::pipeline) async fn heartbeat(
    dispatch: Arc<Dispatch>,
    name: String,
    interval: Duration,
    stop: CancellationToken,
) {
    let mut patience = Patience::new("heartbeat", &dispatch.fatal);
    while stop.run_until_cancelled(tokio::time::sleep(interval)).await.is_some() {
        match beat(&dispatch, &name).await {
            Ok(()) => patience.reset(),
            Err(error) => {
                patience.failed(&error);
            }
        }
    }
}

/// Renews the heartbeat, or enters this host again.
pub(in crate::pipeline) async fn beat(dispatch: &Dispatch, name: &str) -> aftercommit_store::Result<()> {
    let now = dispatch.clock.set_by(&*dispatch.store).await?;
    if dispatch.store.heartbeat(dispatch.host, now).await? {
        return Ok(());
    }
    tracing::error!(
        "other hosts took this one for dead and took its deliveries over; what it still runs may run twice. \
         Raise dispatch.lease_timeout_ms if the machine or the database stalls that long"
    );
    dispatch.store.register(dispatch.host, name, now).await?;
    // The entry is a new one, which does not say yet what this host has loaded.
    dispatch.is_reported.store(false, Relaxed);
    dispatch.reload.notify_one();
    Ok(())
}
