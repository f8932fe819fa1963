//! Tries suspects with care: deliveries whose hosts died while they owned them, one of which may have killed its host.
//!
//! Those that were lost once are claimed a few at a time: few at first, more while this host survives them, so that
//! what was merely owned by a host that died is soon behind. Those that were lost again run one at a time, while no other
//! suspect does, and are marked before they begin. Fresh deliveries go on beside them. The rule is in
//! [`loss`](aftercommit_core::loss).

use std::{sync::Arc, time::Duration};

use aftercommit_core::{Care, Clock as _};
use aftercommit_store::{ClaimedDelivery, Lane, Result, Trial};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{claimable::Claimable, dispatch::Dispatch, patience::Patience};

/// Suspects that run together at first. Each that ends makes room for one more.
const FIRST: usize = 4;

/// Suspects that run together at most. If this host dies, so many are tried one by one: it is twice the deliveries that one
/// destination takes at once by default.
const MOST: usize = 32;

/// Suspects that can not be claimed now (their destination is held back, their time has not come) are looked at this often.
const POLL: Duration = Duration::from_millis(500);

/// The suspects that this host owns.
pub(super) struct Recovery {
    under_way: Mutex<UnderWay>,
    /// There may be a suspect to claim.
    woken: Notify,
}

struct UnderWay {
    together: usize,
    is_alone: bool,
    /// How many may run together.
    window: usize,
}

/// A suspect that this host owns; dropped when its end is durable.
pub(super) struct Suspect {
    recovery: Arc<Recovery>,
    is_alone: bool,
    was_tried: bool,
}

impl Default for Recovery {
    fn default() -> Self {
        let under_way = UnderWay { together: 0, is_alone: false, window: FIRST };
        Self { under_way: Mutex::new(under_way), woken: Notify::new() }
    }
}

impl Recovery {
    fn under_way(&self) -> MutexGuard<'_, UnderWay> {
        self.under_way.lock()
    }

    /// There may be suspects: hosts died.
    pub(super) fn wake(&self) {
        self.woken.notify_one();
    }

    /// Follows the delivery if it is a suspect.
    pub(super) fn follow(self: &Arc<Self>, delivery: &ClaimedDelivery) -> Option<Suspect> {
        let is_alone = match delivery.losses.care() {
            Care::Ordinary => return None,
            Care::Together => false,
            Care::Alone | Care::GivenUp => true,
        };
        let mut under_way = self.under_way();
        under_way.is_alone |= is_alone;
        under_way.together += usize::from(!is_alone);
        Some(Suspect { recovery: Arc::clone(self), is_alone, was_tried: true })
    }

    /// How many suspects may be claimed to run together; 0 while one runs alone, or when too few would be worth a claim.
    fn room(&self) -> usize {
        let UnderWay { together, is_alone, window } = *self.under_way();
        let room = window.saturating_sub(together);
        if is_alone || room < window / 4 { 0 } else { room }
    }

    /// Whether one may be claimed to run alone.
    fn is_idle(&self) -> bool {
        let under_way = self.under_way();
        under_way.together == 0 && !under_way.is_alone
    }

    /// No suspect is left: the next that come are tried as if they were the first.
    fn is_over(&self) {
        let mut under_way = self.under_way();
        if under_way.together == 0 {
            under_way.window = FIRST;
        }
    }
}

impl Suspect {
    /// It was handed back, and will come again.
    pub(super) fn was_handed_back(&mut self) {
        self.was_tried = false;
    }
}

impl Drop for Suspect {
    fn drop(&mut self) {
        let mut under_way = self.recovery.under_way();
        if self.is_alone {
            under_way.is_alone = false;
        } else {
            under_way.together -= 1;
        }
        if self.was_tried {
            under_way.window = MOST.min(under_way.window + 1);
            drop(under_way);
            self.recovery.wake();
        }
    }
}

/// Tries suspects until `stop`: when hosts died, when a suspect has ended, and every `interval`.
pub(super) async fn run(dispatch: Arc<Dispatch>, interval: Duration, stop: CancellationToken) {
    let mut patience = Patience::new("recover", &dispatch.fatal);
    loop {
        let pause = match recover(&dispatch, &stop).await {
            Ok(are_left) => {
                patience.reset();
                if are_left { POLL } else { interval }
            }
            Err(error) => patience.failed(&error),
        };
        let woken = tokio::time::timeout(pause, dispatch.recovery.woken.notified());
        if stop.run_until_cancelled(woken).await.is_none() {
            return;
        }
    }
}

/// Claims what may be claimed now; returns whether there is more.
async fn recover(dispatch: &Arc<Dispatch>, stop: &CancellationToken) -> Result<bool> {
    while dispatch.store.has_suspects().await? {
        if claim_some(dispatch, stop).await? == 0 {
            return Ok(true);
        }
    }
    dispatch.recovery.is_over();
    Ok(false)
}

async fn claim_some(dispatch: &Arc<Dispatch>, stop: &CancellationToken) -> Result<usize> {
    let claimable = Claimable::now(dispatch);
    // Lanes of destinations with little room are claimed by themselves, for no more than there is.
    let mut passes = vec![(vec![claimable.except().to_vec()], usize::MAX)];
    passes.extend(claimable.narrow.iter().map(|narrow| {
        let tries = narrow.tries().map(|lanes| claimable.all_but(lanes));
        (tries.collect(), narrow.room)
    }));
    let mut claimed = 0;
    for (tries, most) in &passes {
        let limit = dispatch.recovery.room().min(*most);
        if limit > 0 {
            claimed += claim_first(dispatch, Trial::Together(limit), tries, stop).await?;
        }
    }
    for (tries, _) in &passes {
        if claimed == 0 && dispatch.recovery.is_idle() {
            claimed += claim_first(dispatch, Trial::Alone, tries, stop).await?;
        }
    }
    Ok(claimed)
}

/// Claims suspects; of several tries the first that finds any. Each names the lanes to pass over.
async fn claim_first(
    dispatch: &Arc<Dispatch>,
    which: Trial,
    tries: &[Vec<Lane>],
    stop: &CancellationToken,
) -> Result<usize> {
    for except in tries {
        let claimed = claim(dispatch, which, except, stop).await?;
        if claimed > 0 {
            return Ok(claimed);
        }
    }
    Ok(0)
}

/// Claims suspects and starts them; returns how many.
async fn claim(
    dispatch: &Arc<Dispatch>,
    which: Trial,
    except: &[Lane],
    stop: &CancellationToken,
) -> Result<usize> {
    // Only the wait is given up when the host stops.
    let reserve = stop.run_until_cancelled(dispatch.room.reserve(which.limit()));
    let Some(reservation) = reserve.await else { return Ok(0) };
    let which = match which {
        Trial::Together(limit) => Trial::Together(limit.min(reservation.len())),
        Trial::Alone => Trial::Alone,
    };
    let (host, bytes, now) = (dispatch.host, reservation.text_bytes(), dispatch.clock.now());
    let claimed = dispatch.store.claim_suspects(host, which, bytes, except, now).await?;
    let count = claimed.len();
    if count > 0 {
        tracing::info!(deliveries = count, ?which, "tries with care what was lost with its host");
    }
    dispatch.start(claimed, reservation);
    Ok(count)
}

#[cfg(test)]
mod tests {
    use aftercommit_core::{DeliveryId, Losses};

    use super::*;
    use crate::sample;

    fn lost(times: u32) -> ClaimedDelivery {
        let event = sample::event();
        ClaimedDelivery {
            id: DeliveryId::of(event.id, "watcher", "hook"),
            event,
            observer: "watcher".into(),
            action: "hook".into(),
            action_type: "webhook".into(),
            attempt: times + 1,
            attempts_before: 0,
            losses: (0..times).fold(Losses::default(), |losses, _| losses.with_host(false)),
            event_bytes: 0,
            ordering_key: None,
        }
    }

    #[test]
    fn more_run_together_while_the_host_survives_them() {
        let recovery = Arc::new(Recovery::default());
        assert!(recovery.follow(&lost(0)).is_none());
        let mut most = Vec::new();
        for _ in 0..6 {
            let suspects: Vec<_> = (0..recovery.room()).map(|_| recovery.follow(&lost(1))).collect();
            assert_eq!(recovery.room(), 0);
            assert!(!recovery.is_idle());
            most.push(suspects.len());
        }
        assert_eq!(most, [4, 8, 16, 32, 32, 32]);
        recovery.is_over();
        assert_eq!(recovery.room(), 4);
    }

    #[test]
    fn what_is_handed_back_proves_nothing() {
        let recovery = Arc::new(Recovery::default());
        let mut suspect = recovery.follow(&lost(1)).unwrap();
        suspect.was_handed_back();
        drop(suspect);
        assert_eq!(recovery.room(), 4);
    }

    #[test]
    fn one_that_was_lost_twice_runs_alone() {
        let recovery = Arc::new(Recovery::default());
        let together = recovery.follow(&lost(1));
        assert!(!recovery.is_idle());
        drop(together);
        assert!(recovery.is_idle());
        let alone = recovery.follow(&lost(2));
        assert_eq!((recovery.room(), recovery.is_idle()), (0, false));
        drop(alone);
        assert!(recovery.room() > 0 && recovery.is_idle());
    }
}
