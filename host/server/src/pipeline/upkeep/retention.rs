//! Drops what is old.

use std::{sync::Arc, time::Duration};

use aftercommit_core::Clock as _;
use aftercommit_store::RetentionLimits;
use tokio_util::sync::CancellationToken;

use crate::pipeline::{dispatch::Dispatch, patience::Patience};

/// Once at the start, and then this often.
const INTERVAL: Duration = Duration::from_hours(1);

/// Small enough that the writer is free again within some milliseconds.
const BATCH: usize = 1000;

/// How long things are kept.
#[derive(Clone, Copy, Debug)]
pub(in crate::pipeline) struct RetentionSettings {
    pub(in crate::pipeline) events: Duration,
    pub(in crate::pipeline) log: Duration,
}

/// Drops what is old until `stop`.
pub(in crate::pipeline) async fn retention(
    dispatch: Arc<Dispatch>,
    settings: RetentionSettings,
    stop: CancellationToken,
) {
    let mut patience = Patience::new("retention", &dispatch.fatal);
    loop {
        let pause = if dispatch.clock.has_jumped_within(INTERVAL) {
            // A clock that was set ahead by mistake makes everything old; there is time to set it right.
            INTERVAL
        } else {
            purge(&dispatch, settings, &mut patience).await
        };
        if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
            return;
        }
    }
}

/// Drops a batch of what is old; returns when to look again.
async fn purge(dispatch: &Dispatch, settings: RetentionSettings, patience: &mut Patience) -> Duration {
    let now = dispatch.clock.now();
    let limits = RetentionLimits {
        events_before: now.minus(settings.events),
        log_before: now.minus(settings.log),
        batch: BATCH,
    };
    match dispatch.store.purge(limits).await {
        Ok(purged) => {
            patience.reset();
            // Between batches others have their turn at the writer.
            if purged.more { Duration::from_millis(50) } else { INTERVAL }
        }
        Err(error) => patience.failed(&error),
    }
}
