//! Claims what waits in the store: due retries, deliveries that found no room, and what other hosts left.

use std::{sync::Arc, time::Duration};

use aftercommit_core::{Clock as _, Timestamp};
use tokio_util::sync::CancellationToken;

use super::{dispatch::Dispatch, patience::Patience};

/// Nothing may ring for work that other processes make (a replay, another host's takeover); it is looked for this often.
const POLL: Duration = Duration::from_millis(500);

/// What is due but can not be claimed (another host's turn, an earlier delivery of its entity) is tried again after this.
const BLOCKED: Duration = Duration::from_millis(50);

/// Claims until `stop`.
pub(super) async fn run(dispatch: Arc<Dispatch>, batch_size: usize, stop: CancellationToken) {
    let mut patience = Patience::new("claim");
    loop {
        let pause = match claim_all(&dispatch, batch_size, &stop).await {
            Ok(next) => {
                patience.reset();
                pause_until(next, dispatch.clock.now())
            }
            Err(error) => patience.failed(&error),
        };
        let wait = async {
            tokio::select! {
                () = dispatch.claimer_woken() => {}
                () = tokio::time::sleep(pause) => {}
            }
        };
        if stop.run_until_cancelled(wait).await.is_none() {
            return;
        }
    }
}

/// Claims while full batches come; returns when the next delivery is due.
async fn claim_all(
    dispatch: &Arc<Dispatch>,
    batch_size: usize,
    stop: &CancellationToken,
) -> aftercommit_store::Result<Option<Timestamp>> {
    loop {
        let next = dispatch.store.next_due().await?;
        if next.is_none_or(|at| at > dispatch.clock.now()) {
            return Ok(next);
        }
        // Only the wait is given up when the host stops: what was claimed is always started or handed back.
        let Some(reservation) = stop.run_until_cancelled(dispatch.room.reserve(batch_size)).await else {
            return Ok(None);
        };
        let held = dispatch.held_lanes();
        let wanted = reservation.len();
        let claimed = dispatch.store.claim(dispatch.host, wanted, &held, dispatch.clock.now()).await?;
        let count = claimed.len();
        dispatch.start(claimed, reservation);
        if count < wanted {
            return dispatch.store.next_due().await;
        }
    }
}

fn pause_until(next: Option<Timestamp>, now: Timestamp) -> Duration {
    match next {
        None => POLL,
        Some(at) => at.since(now).clamp(if at <= now { BLOCKED } else { Duration::from_millis(1) }, POLL),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_bounded_on_both_sides() {
        let now = Timestamp::from_micros(10_000_000);
        assert_eq!(pause_until(None, now), POLL);
        assert_eq!(pause_until(Some(now), now), BLOCKED);
        assert_eq!(pause_until(Some(now.plus(Duration::from_millis(20))), now), Duration::from_millis(20));
        assert_eq!(pause_until(Some(now.plus(Duration::from_hours(1))), now), POLL);
    }
}
