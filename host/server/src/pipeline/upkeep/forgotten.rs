//! Hands back what this host owns on record and does not know of.
//!
//! A host can own what it was never told of: the answer to the commit that took it was lost with the connection. And
//! what it has ended and forgotten can come back: a server that crashes takes back the last commits. Nobody else would
//! ever free these, because this host lives.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use crate::pipeline::{counters::add, dispatch::Dispatch, patience::Patience};

/// Looks every `interval`, and when something that may have taken deliveries has failed, until `stop`.
pub(in crate::pipeline) async fn forgotten(
    dispatch: Arc<Dispatch>,
    interval: Duration,
    stop: CancellationToken,
) {
    let mut patience = Patience::new("forgotten");
    let mut pause = interval;
    loop {
        let wait = async {
            tokio::select! {
                () = dispatch.in_doubt.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
        };
        if stop.run_until_cancelled(wait).await.is_none() {
            return;
        }
        pause = match hand_back(&dispatch).await {
            Ok(()) => {
                patience.reset();
                interval
            }
            Err(error) => patience.failed(&error).min(interval),
        };
    }
}

async fn hand_back(dispatch: &Dispatch) -> aftercommit_store::Result<()> {
    // Nobody takes anything meanwhile: it would be on record before it is known here. What ends meanwhile is no longer
    // on record as it was read, so that handing it back does nothing.
    let _nobody_takes = dispatch.taking.write().await;
    let mut unknown = dispatch.store.owned(dispatch.host).await?;
    unknown.retain(|(id, attempt)| !dispatch.room.holds(*id, *attempt));
    if unknown.is_empty() {
        return Ok(());
    }
    let deliveries = dispatch.store.release(dispatch.host, unknown, None).await?;
    if deliveries > 0 {
        tracing::warn!(deliveries, "handed back what this host owned without knowing of it");
        add(&dispatch.counters.handed_back, deliveries);
        dispatch.wake_claimer();
    }
    Ok(())
}
