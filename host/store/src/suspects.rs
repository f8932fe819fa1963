//! Suspects: deliveries whose hosts died while they owned them, since an attempt of theirs last came to an end. One of
//! them may have killed its host. [`loss`](aftercommit_core::loss) says how each is to be claimed.

use aftercommit_core::{DeliveryId, Losses, Timestamp};
use async_trait::async_trait;

use crate::{ClaimedDelivery, HostId, Lane, Result, row::Row};

/// What recovery asks of the store.
#[async_trait]
pub trait Suspects: Send + Sync {
    /// Whether a suspect waits that a host could claim, now or later. Cheap when there is none.
    async fn has_suspects(&self) -> Result<bool>;

    /// Claims suspects like [`claim`](crate::Claims::claim), which passes over them: those that were lost least often first, then
    /// by priority and age.
    async fn claim_suspects(
        &self,
        host: HostId,
        which: Trial,
        max_bytes: usize,
        except: &[Lane],
        now: Timestamp,
    ) -> Result<Vec<ClaimedDelivery>>;

    /// Marks an attempt as begun: should its host die from now on, the attempt counts. `false` if it does not belong to
    /// (`host`, `attempt`) any more; then it must not begin.
    async fn begin(&self, host: HostId, id: DeliveryId, attempt: u32) -> Result<bool>;
}

/// Which suspects to claim.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trial {
    /// Up to so many that were lost once.
    Together(usize),
    /// One that was lost more than once in a row.
    Alone,
}

impl Trial {
    /// How many.
    #[must_use]
    pub const fn limit(self) -> usize {
        match self {
            Self::Together(limit) => limit,
            Self::Alone => 1,
        }
    }

    /// How often they were lost in a row, at least and at most.
    pub(crate) const fn losses(self) -> (i32, i32) {
        match self {
            Self::Together(_) => (1, 1),
            Self::Alone => (2, i32::MAX),
        }
    }
}

/// The losses in a row of `observer_deliveries`.
pub(crate) fn read_losses(row: &impl Row) -> Result<Losses> {
    Ok(Losses {
        uncharged: row.count("uncharged")?,
        in_a_row: row.count("losses")?,
        alone: row.count("lone_losses")?,
    })
}
