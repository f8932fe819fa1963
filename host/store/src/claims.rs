//! Running deliveries: claim, complete, hand back. Ownership is (host, attempt); a completion by anyone else is stale.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use aftercommit_core::{DeliveryId, EntityEvent, Losses, Timestamp};
use async_trait::async_trait;

use crate::{AttemptRecord, ClaimShare, Result, hosts::HostId};

/// What dispatch asks of the store.
#[async_trait]
pub trait Claims: Send + Sync {
    /// Claims deliveries that are `ready`, or `waiting` and due, for a host. Numbers the attempts. Passes over those of disabled
    /// observers, those whose `ordering_key` has an earlier live delivery, and [`Suspects`](crate::Suspects).
    ///
    /// Where there is room for more, it claims with the first of an `ordering_key` those that follow it, as many as
    /// [`runs`](ClaimRequest::runs) says: `ready`, without an attempt that counts in this round, without losses. They come
    /// behind all others, the next of each key first. The host must run those of a key one after the other, hand
    /// back the rest as soon as one has to be tried again, and end them in their order.
    async fn claim(&self, request: ClaimRequest<'_>) -> Result<Vec<ClaimedDelivery>>;

    /// When the next delivery outside the lanes of `except` can be claimed, if any is `ready` (then a time that has
    /// passed) or `waiting`. Cheap; may name one that [`claim`](Claims::claim) then passes over.
    async fn next_due(&self, except: &[Lane]) -> Result<Option<Timestamp>>;

    /// Ends attempts, each in one transaction, many of them in the same: each delivery that is still owned as (`host`, attempt) moves
    /// on, its attempt is logged, and what is dead is copied to the dead letter queue. Others are left as they are and
    /// reported as stale. An error means that nothing was written.
    async fn complete(&self, host: HostId, completions: Vec<Completion>) -> Result<CompletionReport>;

    /// Hands back deliveries that `host` claimed and did not start: `ready` again, the attempt without its number. With
    /// a pause they wait for so long from `now` on.
    async fn release(
        &self,
        host: HostId,
        deliveries: Vec<(DeliveryId, u32)>,
        pause: Option<Duration>,
        now: Timestamp,
    ) -> Result<usize>;
}

/// What to claim, and for whom.
#[derive(Clone, Copy, Debug)]
pub struct ClaimRequest<'r> {
    /// Who claims.
    pub host: HostId,
    /// At most so many deliveries.
    pub limit: usize,
    /// Their events have at most so many bytes of text; the first is claimed however large it is.
    pub max_bytes: usize,
    /// Lanes to pass over: their destination is busy, or their action can not run now.
    pub except: &'r [Lane],
    /// How many are retries. Those go by their time, and what is ready by priority and age.
    pub share: ClaimShare,
    /// How many of one ordering key are claimed together.
    pub runs: &'r RunLengths,
    /// The time now.
    pub now: Timestamp,
}

impl ClaimRequest<'_> {
    /// One for up to `limit` deliveries, however large their events are, in all lanes, with one of each ordering key; due retries
    /// first.
    #[must_use]
    pub const fn new(host: HostId, limit: usize, now: Timestamp) -> Self {
        static ALONE: RunLengths = RunLengths { others: 0, by_observer: BTreeMap::new() };
        Self {
            host,
            limit,
            max_bytes: usize::MAX,
            except: &[],
            share: ClaimShare::DUE_FIRST,
            runs: &ALONE,
            now,
        }
    }
}

/// How many deliveries of one ordering key are claimed together with the first of them, at most: so many behind it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RunLengths {
    /// Of observers that are not named.
    pub others: usize,
    /// By the observer's name.
    pub by_observer: BTreeMap<Arc<str>, usize>,
}

impl RunLengths {
    pub(crate) fn of(&self, observer: &str) -> usize {
        self.by_observer.get(observer).copied().unwrap_or(self.others)
    }
}

/// All deliveries of one action of one observer.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Lane {
    /// Name of the observer.
    pub observer: Arc<str>,
    /// Name of the action within the observer.
    pub action: Arc<str>,
}

/// A delivery that a host owns.
#[derive(Clone, Debug)]
pub struct ClaimedDelivery {
    /// Its id.
    pub id: DeliveryId,
    /// What happened.
    pub event: Arc<EntityEvent>,
    /// Name of the observer.
    pub observer: Arc<str>,
    /// Name of the action within the observer.
    pub action: Arc<str>,
    /// Name of the action's plugin when the delivery was made.
    pub action_type: Arc<str>,
    /// This attempt, counted from 1 over the whole life of the delivery, replays included.
    pub attempt: u32,
    /// Attempts that were made before the last replay; 0 without one.
    pub attempts_before: u32,
    /// What is on record of its losses.
    pub losses: Losses,
    /// Bytes of the event's images as text.
    pub event_bytes: usize,
    /// Deliveries with the same key run one at a time in the order of their events.
    pub ordering_key: Option<Arc<str>>,
}

impl ClaimedDelivery {
    /// This attempt, counted from 1 since the delivery was made or last replayed, without those that do not count: what the
    /// retry policy counts.
    #[must_use]
    pub const fn round_attempt(&self) -> u32 {
        self.attempt.saturating_sub(self.uncounted())
    }

    /// The number of the last attempt of this round, by a policy that allows so many.
    #[must_use]
    pub const fn last_attempt(&self, max_attempts: u32) -> u32 {
        self.uncounted().saturating_add(max_attempts)
    }

    const fn uncounted(&self) -> u32 {
        self.attempts_before.saturating_add(self.losses.uncharged)
    }
}

/// The end of one attempt.
#[derive(Clone, Debug)]
pub struct Completion {
    /// Which delivery.
    pub id: DeliveryId,
    /// Which attempt; must be the present one.
    pub attempt: u32,
    /// What follows.
    pub end: End,
    /// For the attempt log.
    pub record: AttemptRecord,
}

/// What follows from an attempt.
#[derive(Clone, Debug)]
pub enum End {
    /// Done: the delivery is deleted.
    Succeeded,
    /// Once more.
    Retry {
        /// Not before.
        at: Timestamp,
    },
    /// To the dead letter queue, with a copy of the event and of this.
    Dead {
        /// The action as it is written in its observer (JSON; secrets by name only); null if it is gone.
        action: serde_json::Value,
    },
    /// Given up: the delivery is deleted.
    Failed,
}

/// What became of completions.
#[derive(Clone, Default, Debug)]
pub struct CompletionReport {
    /// How many were applied.
    pub applied: usize,
    /// Those that were no longer owned as (host, attempt): nothing was changed for them.
    pub stale: Vec<DeliveryId>,
    /// Those that were not written, since the database refused the first of them for now or for good: to be completed once more.
    pub unwritten: Vec<Completion>,
}
