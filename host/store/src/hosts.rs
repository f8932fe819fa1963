//! Which hosts live, and what becomes of the work of those that do not.

use std::{collections::HashSet, fmt, ops::RangeInclusive, time::Duration};

use aftercommit_core::{DeliveryId, HostFailure, Losses, Timestamp};
use async_trait::async_trait;
use serde::Serialize;
use uuid::Uuid;

use crate::{Result, readable::readable, row::Row, suspects::read_losses};

/// Names one run of one host process: a restarted host has a new one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize)]
#[serde(transparent)]
pub struct HostId(pub Uuid);

impl HostId {
    /// A new one.
    #[must_use]
    pub fn random() -> Self {
        Self(Uuid::now_v7())
    }
}

impl fmt::Display for HostId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Heartbeats and takeover.
///
/// Times that one host writes and another compares with its own are to be in [`database_time`](Hosts::database_time).
#[async_trait]
pub trait Hosts: Send + Sync {
    /// What time it is for all hosts. `None` if they have one clock anyway: all run on the machine of the database.
    async fn database_time(&self) -> Result<Option<Timestamp>>;

    /// Enters a host that starts, with its first heartbeat.
    async fn register(&self, host: HostId, name: &str, now: Timestamp) -> Result<()>;

    /// Renews the heartbeat. `false` when the row is gone because others took this host for dead: it must
    /// [`register`](Hosts::register) again; what it still runs will be refused as stale.
    async fn heartbeat(&self, host: HostId, now: Timestamp) -> Result<bool>;

    /// Frees the deliveries of hosts whose heartbeat is not within `alive` (or that are known to be gone) for
    /// others to claim as [`Suspects`](crate::Suspects), their attempt logged as `lost`, and removes those hosts. An attempt
    /// counts only if it was marked as begun. Deliveries whose owner is not entered (it was removed while it claimed
    /// them) are freed too.
    async fn take_over(&self, now: Timestamp, alive: RangeInclusive<Timestamp>) -> Result<TakenOver>;

    /// Frees the running deliveries that `host` owns and does not know of: those that are not among `known`, as (delivery,
    /// attempt). It knows of none whose claim was committed and not answered, or whose end the server has lost: those
    /// attempts do not count. Of `given_up` it knows that they began and could not be ended; they count. Since the host
    /// lives, none of them becomes a suspect. Only reads when there are none. The host must claim nothing between the moment of which `known`
    /// tells and the return of this.
    async fn free_unknown(
        &self,
        host: HostId,
        known: HashSet<(DeliveryId, u32)>,
        given_up: HashSet<(DeliveryId, u32)>,
        now: Timestamp,
    ) -> Result<usize>;

    /// Removes a host that stops. It owns nothing any more: what it still owned had begun, counts, and is freed.
    async fn retire(&self, host: HostId) -> Result<()>;

    /// The hosts that are entered.
    async fn hosts(&self) -> Result<Vec<HostRow>>;

    /// Those of them that live, as far as can be known: the others would be [taken over](Hosts::take_over).
    async fn live_hosts(&self, now: Timestamp, lease_timeout: Duration) -> Result<Vec<HostRow>>;
}

/// Why an attempt has no end: for the attempt log, and for whoever looks at the delivery.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Loss {
    /// Nobody that is entered owns the delivery.
    HostGone,
    /// Its owner does not know of it.
    LostTrack,
    /// Its owner stopped, and did not wait for it.
    HostStopped,
}

/// A running delivery that is to be freed, as it was found.
pub(crate) struct Running {
    pub(crate) id: DeliveryId,
    pub(crate) owner: Uuid,
    pub(crate) attempt: u32,
    /// Whether the row is marked as begun.
    pub(crate) is_marked: bool,
    losses: Losses,
}

/// Those that can be read.
pub(crate) fn running(rows: &[impl Row]) -> Vec<Running> {
    readable("observer_deliveries", &["id"], rows, Running::read)
}

impl Running {
    fn read(row: &impl Row) -> Result<Self> {
        Ok(Self {
            id: DeliveryId(row.uuid("id")?),
            owner: row.uuid("owner")?,
            attempt: row.count("attempts")?,
            is_marked: row.flag("begun")?,
            losses: read_losses(row)?,
        })
    }

    /// Its losses after this one, and what a person reads of it. `given_up` are attempts that are known to have begun.
    pub(crate) fn lost(&self, loss: Loss, given_up: &HashSet<(DeliveryId, u32)>) -> (Losses, String) {
        let has_begun = match loss {
            Loss::HostGone => self.is_marked,
            Loss::LostTrack => self.is_marked || given_up.contains(&(self.id, self.attempt)),
            Loss::HostStopped => true,
        };
        let losses = match loss {
            Loss::HostGone => self.losses.with_host(has_begun),
            Loss::LostTrack | Loss::HostStopped => self.losses.by_living_host(has_begun),
        };
        let counts = if has_begun {
            "it had begun, so it counts"
        } else {
            "nobody knows whether it had begun, so it does not count"
        };
        let in_a_row = match losses.in_a_row {
            0 | 1 => String::new(),
            hosts => format!(" ({hosts} hosts in a row died while they owned this delivery)"),
        };
        (losses, format!("{}; {counts}{in_a_row}", loss.message()))
    }
}

impl Loss {
    /// What the log says of the attempt.
    pub(crate) const fn code(self) -> &'static str {
        let failure = match self {
            Self::HostGone => HostFailure::HostGone,
            Self::LostTrack => HostFailure::LostTrack,
            Self::HostStopped => HostFailure::HostStopped,
        };
        failure.code()
    }

    const fn message(self) -> &'static str {
        match self {
            Self::HostGone => "its host ended before the attempt did",
            Self::LostTrack => {
                "its host lost track of it: an answer of the database did not come, or the end could not be written"
            }
            Self::HostStopped => "its host stopped before the attempt ended",
        }
    }
}

/// What a takeover freed.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct TakenOver {
    /// The hosts that were removed.
    pub hosts: Vec<HostId>,
    /// How many of their deliveries were freed.
    pub deliveries: usize,
}

/// A host that is entered.
#[derive(Clone, Debug, Serialize)]
pub struct HostRow {
    /// Its id.
    pub id: HostId,
    /// Machine name and process id.
    pub name: String,
    /// When it was entered.
    pub started_at: Timestamp,
    /// Its last heartbeat.
    pub heartbeat_at: Timestamp,
    /// The revision of the observers that it works with; none while it has loaded none.
    pub revision: Option<i64>,
}

/// Those that can be read.
pub(crate) fn entered(rows: &[impl Row]) -> Vec<HostRow> {
    readable("observer_hosts", &["id"], rows, HostRow::read)
}

impl HostRow {
    fn read(row: &impl Row) -> Result<Self> {
        Ok(Self {
            id: HostId(row.uuid("id")?),
            name: row.string("name")?,
            started_at: row.time("started_at")?,
            heartbeat_at: row.time("heartbeat_at")?,
            revision: row.optional_integer("revision")?,
        })
    }
}
