//! Takes what was committed, plans what follows, and hands what this host owns to dispatch.

use std::{sync::Arc, time::Duration};

use aftercommit_core::Clock as _;
use aftercommit_store::{TakeRequest, Taken};
use tokio_util::sync::CancellationToken;

use super::{counters::add, dispatch::Dispatch, patience::Patience, plan::IntakePlan, room::Reservation};

/// How intake works.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    pub(super) batch_size: usize,
    pub(super) poll_interval: Duration,
}

/// Takes batches until `stop`; between them waits for the doorbell, or for the poll that stands behind it.
pub(super) async fn run(dispatch: Arc<Dispatch>, settings: Settings, stop: CancellationToken) {
    let mut patience = Patience::new("intake", &dispatch.fatal);
    loop {
        let Some(most) = stop.run_until_cancelled(dispatch.destinations.ease()).await else { return };
        let batch_size = settings.batch_size.min(most);
        // Only the waits are given up when the host stops: a batch that was begun is brought to its end.
        let Some(reservation) = stop.run_until_cancelled(dispatch.room.reserve(batch_size)).await else {
            return;
        };
        let pause = match take(&dispatch, batch_size, reservation).await {
            Ok(taken) => {
                patience.reset();
                if taken.more && !stop.is_cancelled() {
                    continue;
                }
                None
            }
            Err(error) => Some(patience.failed(&error)),
        };
        let wait = async {
            match pause {
                Some(pause) => tokio::time::sleep(pause).await,
                None => dispatch.store.doorbell(dispatch.host, settings.poll_interval).await,
            }
        };
        if stop.run_until_cancelled(wait).await.is_none() {
            return;
        }
    }
}

async fn take(
    dispatch: &Arc<Dispatch>,
    limit: usize,
    reservation: Reservation,
) -> aftercommit_store::Result<Taken> {
    // No more rows than there are places: what finds none is written, claimed and read once more than what is owned
    // at once.
    let limit = limit.min(reservation.len());
    let request = TakeRequest {
        host: dispatch.host,
        limit,
        max_bytes: reservation.text_bytes(),
        own: reservation.len(),
        own_bytes: reservation.text_bytes(),
        now: dispatch.clock.now(),
    };
    let plan = Arc::new(IntakePlan::new(
        dispatch.snapshot.load_full(),
        Arc::clone(&dispatch.destinations),
        Arc::clone(&dispatch.endpoints),
        dispatch.room.memory().clone(),
    ));
    let mut taken = dispatch.store.take(request, plan).await?;
    add(&dispatch.counters.events, taken.events);
    add(&dispatch.counters.condition_errors, taken.condition_errors);
    add(&dispatch.counters.quarantined, taken.quarantined.len());
    for (event_id, reason) in &taken.quarantined {
        tracing::error!(%event_id, reason, "a captured row can not become an event; it is in quarantine");
    }
    dispatch.start(std::mem::take(&mut taken.owned), reservation);
    if taken.ready > 0 {
        dispatch.wake_claimer();
    }
    Ok(taken)
}
