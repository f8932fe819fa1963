//! Claims what waits in the store: due retries, deliveries that found no room, and what other hosts handed back.

use std::{sync::Arc, time::Duration};

use aftercommit_core::{Clock as _, Timestamp};
use aftercommit_store::{ClaimRequest, ClaimShare, Lane, Result, RunLengths};
use tokio_util::sync::CancellationToken;

use super::{claimable::Claimable, dispatch::Dispatch, patience::Patience, retry_share, room::Reservation};

/// Nothing may ring for work that other processes make (a replay, another host's takeover); it is looked for this often.
const POLL: Duration = Duration::from_millis(500);

/// What is due but can not be claimed (another host's turn, an earlier delivery of its entity) is tried again after this.
const BLOCKED: Duration = Duration::from_millis(50);

/// Claims until `stop`.
pub(super) async fn run(dispatch: Arc<Dispatch>, batch_size: usize, stop: CancellationToken) {
    let mut patience = Patience::new("claim", &dispatch.fatal);
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

/// Claims while full batches come; returns when there may be more to claim.
async fn claim_all(
    dispatch: &Arc<Dispatch>,
    batch_size: usize,
    stop: &CancellationToken,
) -> Result<Option<Timestamp>> {
    loop {
        let next = dispatch.store.next_due(&[]).await?;
        if next.is_none_or(|at| at > dispatch.clock.now()) {
            return Ok(next);
        }
        // Only the wait is given up when the host stops: what was claimed is always started or handed back.
        let reserve = |wanted| stop.run_until_cancelled(dispatch.room.reserve(wanted));
        let Some(reservation) = reserve(batch_size).await else { return Ok(None) };
        let claimable = Claimable::now(dispatch);
        let mut claimed = claim(dispatch, claimable.except(), reservation, false).await?;
        let is_full = claimed.is_full;
        claimed.until(claimable.until);
        for narrow in &claimable.narrow {
            for lanes in narrow.tries() {
                let Some(reservation) = reserve(narrow.room).await else { return Ok(None) };
                let found = claim(dispatch, &claimable.all_but(lanes), reservation, narrow.is_tried).await?;
                claimed.until(found.next);
                if found.count > 0 {
                    break;
                }
            }
        }
        if !is_full {
            return Ok(claimed.next);
        }
    }
}

/// What a claim found.
struct Claimed {
    /// As many as were wanted, or as many bytes.
    is_full: bool,
    count: usize,
    /// When there is more to claim, as far as it is known.
    next: Option<Timestamp>,
}

impl Claimed {
    /// Something else may be claimed then.
    fn until(&mut self, at: Option<Timestamp>) {
        self.next = self.next.into_iter().chain(at).min();
    }
}

/// Claims once, for all lanes but these; with `is_tried`, what was not tried before goes first.
async fn claim(
    dispatch: &Arc<Dispatch>,
    except: &[Lane],
    reservation: Reservation,
    is_tried: bool,
) -> Result<Claimed> {
    if !except.is_empty() {
        // What waits in lanes that are passed over does not cost the writer.
        let next = dispatch.store.next_due(except).await?;
        if next.is_none_or(|at| at > dispatch.clock.now()) {
            return Ok(Claimed { is_full: false, count: 0, next });
        }
    }
    let (wanted, bytes) = (reservation.len(), reservation.text_bytes());
    let (host, now) = (dispatch.host, dispatch.clock.now());
    // Whether a destination works again is found out one by one, and not by what failed there again and again.
    let (share, runs) = if is_tried {
        (ClaimShare::READY_FIRST, RunLengths::default())
    } else {
        (retry_share::of_claim(wanted), dispatch.runs.lengths())
    };
    let request = ClaimRequest { host, limit: wanted, max_bytes: bytes, except, share, runs: &runs, now };
    let claimed = dispatch.store.claim(request).await?;
    let count = claimed.len();
    let claimed_bytes = claimed.iter().map(|delivery| delivery.event_bytes).fold(0, usize::saturating_add);
    // The next event may not have fitted in.
    let is_full = claimed.len() >= wanted || claimed_bytes > bytes / 2;
    dispatch.start(claimed, reservation);
    let next = if is_full { None } else { dispatch.store.next_due(except).await? };
    Ok(Claimed { is_full, count, next })
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
