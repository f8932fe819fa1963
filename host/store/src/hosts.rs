//! Which hosts live, and what becomes of the work of those that do not.

use std::{collections::HashSet, fmt, time::Duration};

use aftercommit_core::{DeliveryId, Timestamp};
use async_trait::async_trait;
use serde::Serialize;
use uuid::Uuid;

use crate::{Result, row::Row};

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

    /// Frees the deliveries of hosts whose heartbeat is older than `lease_timeout` (or that are known to be gone) for
    /// others to claim, their attempt counted and logged as `lost`, and removes those hosts. Deliveries whose owner is
    /// not entered (it was removed while it claimed them) are freed too.
    async fn take_over(&self, now: Timestamp, lease_timeout: Duration) -> Result<TakenOver>;

    /// Frees the running deliveries that `host` owns and does not know of, like a takeover: those that are not among
    /// `known`, as (delivery, attempt). It knows of none whose claim was committed and not answered, or whose end the
    /// server has lost. Only reads when there are none. The host must claim nothing between the moment of which `known`
    /// tells and the return of this.
    async fn free_unknown(
        &self,
        host: HostId,
        known: HashSet<(DeliveryId, u32)>,
        now: Timestamp,
    ) -> Result<usize>;

    /// Removes a host that stops. It owns nothing any more: what it still owned is freed.
    async fn retire(&self, host: HostId) -> Result<()>;

    /// The hosts that are entered.
    async fn hosts(&self) -> Result<Vec<HostRow>>;
}

/// Why an attempt that began has no end: for the attempt log, and for whoever looks at the delivery.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Loss {
    /// A short stable word.
    pub(crate) code: &'static str,
    /// What happened.
    pub(crate) message: &'static str,
}

impl Loss {
    /// Nobody that is entered owns the delivery.
    pub(crate) const HOST_GONE: Self =
        Self { code: "host_gone", message: "its host ended before the attempt did" };
    /// Its owner does not know of it.
    pub(crate) const UNKNOWN: Self = Self {
        code: "lost_track",
        message: "its host lost track of it: an answer of the database did not come, or the end could not be written",
    };
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
}

impl HostRow {
    pub(crate) fn read(row: &impl Row) -> Result<Self> {
        Ok(Self {
            id: HostId(row.uuid("id")?),
            name: row.string("name")?,
            started_at: row.time("started_at")?,
            heartbeat_at: row.time("heartbeat_at")?,
        })
    }
}
