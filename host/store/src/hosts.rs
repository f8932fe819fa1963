//! Which hosts live, and what becomes of the work of those that do not.

use std::{fmt, time::Duration};

use aftercommit_core::Timestamp;
use async_trait::async_trait;
use serde::Serialize;
use uuid::Uuid;

use crate::Result;

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
#[async_trait]
pub trait Hosts: Send + Sync {
    /// Enters a host that starts, with its first heartbeat.
    async fn register(&self, host: HostId, name: &str, now: Timestamp) -> Result<()>;

    /// Renews the heartbeat. `false` when the row is gone because others took this host for dead: it must
    /// [`register`](Hosts::register) again; what it still runs will be refused as stale.
    async fn heartbeat(&self, host: HostId, now: Timestamp) -> Result<bool>;

    /// Frees the deliveries of hosts whose heartbeat is older than `lease_timeout` (or that are known to be gone) for
    /// others to claim, their attempt counted and logged as `lost`, and removes those hosts. Deliveries whose owner is
    /// not entered (it was removed while it claimed them) are freed too.
    async fn take_over(&self, now: Timestamp, lease_timeout: Duration) -> Result<TakenOver>;

    /// Removes a host that stops. It owns nothing any more: what it still owned is freed.
    async fn retire(&self, host: HostId) -> Result<()>;

    /// The hosts that are entered.
    async fn hosts(&self) -> Result<Vec<HostRow>>;
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
