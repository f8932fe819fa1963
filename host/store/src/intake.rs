//! From the inbox to deliveries.

use std::{sync::Arc, time::Duration};

use aftercommit_core::{DeliveryId, EntityEvent, Timestamp};
use async_trait::async_trait;
use uuid::Uuid;

use crate::{Result, claims::ClaimedDelivery, hosts::HostId};

/// Takes what was committed and makes deliveries of it.
#[async_trait]
pub trait Intake: Send + Sync {
    /// Takes up to `request.limit` visible inbox rows in order, no more than `request.max_bytes` of them, asks `plan` what each event sets off, inserts those
    /// deliveries (the first `request.own` of them that are not on hold already `running` and owned by `request.host`,
    /// attempt 1), writes the condition errors to the attempt log and deletes the inbox rows: for each row all in one transaction,
    /// or nothing. PostgreSQL takes all rows in one. SQLite, where the application waits as long as a transaction lasts, asks `plan`
    /// before it begins one, and takes a few rows in each.
    ///
    /// Events are numbered in the order of changes: a row is never taken before an earlier one of its entity, whoever takes
    /// it, and whenever its transaction commits.
    ///
    /// A row that can not become an event, or that the database can not read or write as one, is moved to quarantine with
    /// its reason; the rest of the batch goes on.
    /// A delivery whose `ordering_key` has an earlier live delivery, and one of a disabled observer, is never owned at
    /// once; it waits as `ready`.
    /// A delivery that exists already is left alone.
    async fn take(&self, request: TakeRequest, plan: Arc<dyn Plan>) -> Result<Taken>;

    /// Returns when it is time for `host` to look whether something was committed, by whatever the backend hears: after `longest` at
    /// the latest, and often for nothing. May miss a commit, which the look after `longest` then finds.
    async fn doorbell(&self, host: HostId, longest: Duration);
}

/// What an event sets off. Pure: on PostgreSQL it is asked inside the intake transaction, and what a transaction that was repeated, or
/// rows that another host took meanwhile, made it answer is forgotten.
pub trait Plan: Send + Sync {
    /// The deliveries of one event, in the order in which they should be made.
    fn plan(&self, event: &EntityEvent) -> Planned;
}

/// How much to take, and for whom.
#[derive(Clone, Copy, Debug)]
pub struct TakeRequest {
    /// Who takes.
    pub host: HostId,
    /// At most so many inbox rows.
    pub limit: usize,
    /// Images of at most so many bytes of text are read at once; a larger one is read alone.
    pub max_bytes: usize,
    /// At most so many of the new deliveries are owned by `host` at once.
    pub own: usize,
    /// The events of the deliveries that are owned have at most so many bytes; a larger one can be owned alone, if
    /// `own_bytes` is not 0.
    pub own_bytes: usize,
    /// The time now.
    pub now: Timestamp,
}

/// What follows from one event.
#[derive(Clone, Default, Debug)]
pub struct Planned {
    /// To be made.
    pub deliveries: Vec<NewDelivery>,
    /// Conditions that could not be evaluated.
    pub errors: Vec<ConditionError>,
}

/// A delivery to be made.
#[derive(Clone, Debug)]
pub struct NewDelivery {
    /// [`DeliveryId::of`] the three names.
    pub id: DeliveryId,
    /// Name of the observer.
    pub observer: Arc<str>,
    /// Name of the action within the observer.
    pub action: Arc<str>,
    /// Name of the action's plugin.
    pub action_type: Arc<str>,
    /// 0 to 1000, higher first.
    pub priority: u16,
    /// Attempts before it is given up.
    pub max_attempts: u32,
    /// Deliveries with the same key run one at a time in the order of their events.
    pub ordering_key: Option<String>,
    /// Never owned at once: its destination is busy, or its action can not run now. It is made as `ready`.
    pub hold: bool,
}

/// A condition that could not be evaluated for an event: the delivery is not made, and that is on record.
#[derive(Clone, Debug)]
pub struct ConditionError {
    /// Name of the observer.
    pub observer: Arc<str>,
    /// Why.
    pub message: String,
}

impl Taken {
    /// Adds what a later part of the same call took.
    pub(crate) fn merge(&mut self, part: Self) {
        self.events += part.events;
        self.quarantined.extend(part.quarantined);
        self.condition_errors += part.condition_errors;
        self.ready += part.ready;
        self.owned.extend(part.owned);
        self.more |= part.more;
    }
}

/// What one call took.
#[derive(Default, Debug)]
pub struct Taken {
    /// Inbox rows that became events.
    pub events: usize,
    /// Inbox rows that went to quarantine, with their reasons.
    pub quarantined: Vec<(Uuid, String)>,
    /// The events' conditions that could not be evaluated.
    pub condition_errors: usize,
    /// New deliveries left `ready` for anyone to claim.
    pub ready: usize,
    /// New deliveries that run now, by this host.
    pub owned: Vec<ClaimedDelivery>,
    /// Whether there may be more to take at once.
    pub more: bool,
}
