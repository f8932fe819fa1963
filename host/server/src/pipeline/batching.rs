//! Gathers deliveries of one action that run in one call (`batch`).
//!
//! The first delivery that comes opens a batch and sees it through: it waits until the batch is full or its time is over,
//! then for a turn at the destination, then runs it. The others join and wait to be told. A batch is closed only when its
//! turn has come, so while the destination is busy it goes on filling. It knows the action by identity: a changed
//! definition is another action, and starts another batch.
//!
//! Each delivery keeps its own task, place, visit and end. What is never gathered is the last attempt of a delivery that
//! has several, a large event, and a delivery whose host died: each runs alone, so that its end is its own doing.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use aftercommit_core::{Care, DestinationEvidence, Failure, HostFailure};
use aftercommit_runtime::{Attempt, BatchItem, DeliveryInfo, PreparedEvent};
use aftercommit_store::ClaimedDelivery;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Notify, oneshot};

use super::{
    completer::Done,
    destinations::Visit,
    dispatch::{Dispatch, WAIT, hand_back},
    room::Place,
    secrets,
};
use crate::observers::Action;

/// While others wait for places or memory, no batch waits longer for deliveries to join it: its deliveries hold some.
const SHORT_WAIT: Duration = Duration::from_millis(100);

/// The batches that can be joined.
#[derive(Default)]
pub(super) struct Batches {
    /// By the address of their action, which they hold: no other action can have it meanwhile.
    open: Mutex<HashMap<usize, Arc<Batch>>>,
}

/// Deliveries that will run in one call.
struct Batch {
    action: Arc<Action>,
    /// The term of the room in which it was opened.
    term: u64,
    /// Changed only while the map of open batches is locked.
    members: Mutex<Vec<Member>>,
    full: Notify,
}

/// A delivery's part in its batch.
struct Member {
    event: Arc<PreparedEvent>,
    info: DeliveryInfo,
    tell: oneshot::Sender<Told>,
}

/// What a delivery is told of its batch.
enum Told {
    /// It did not start. It may be tried again after this.
    NotStarted(Option<Duration>),
    /// Its call lasted so long.
    Ran(Box<Attempt>, Duration),
}

/// Whether the attempt shares its call with others.
pub(super) fn is_gathered(delivery: &ClaimedDelivery, action: &Action) -> bool {
    let max_attempts = action.policy.retry.max_attempts;
    let is_last = max_attempts > 1 && delivery.round_attempt() >= max_attempts;
    action.written.batch.is_some() && !is_last && delivery.losses.care() == Care::Ordinary
}

impl Batches {
    fn lock(&self) -> MutexGuard<'_, HashMap<usize, Arc<Batch>>> {
        self.open.lock()
    }

    /// Joins the open batch of the action. Returns it to who has opened it, which is in this `term` of the room. One with `most`
    /// members can not be joined any more.
    fn join(&self, action: &Arc<Action>, most: usize, member: Member, term: u64) -> Option<Arc<Batch>> {
        let mut open = self.lock();
        let key = Arc::as_ptr(action).addr();
        let batch = Arc::clone(open.entry(key).or_insert_with(|| Arc::new(Batch::of(action, term))));
        let mut members = batch.members();
        let is_first = members.is_empty();
        members.push(member);
        if members.len() >= most {
            open.remove(&key);
            batch.full.notify_one();
        }
        drop(members);
        is_first.then_some(batch)
    }

    /// From now on nothing joins the batch. Returns who has.
    fn close(&self, batch: &Arc<Batch>) -> Vec<Member> {
        let mut open = self.lock();
        let key = Arc::as_ptr(&batch.action).addr();
        if open.get(&key).is_some_and(|other| Arc::ptr_eq(other, batch)) {
            open.remove(&key);
        }
        std::mem::take(&mut *batch.members())
    }
}

impl Batch {
    fn of(action: &Arc<Action>, term: u64) -> Self {
        Self { action: Arc::clone(action), term, members: Mutex::default(), full: Notify::new() }
    }

    fn members(&self) -> MutexGuard<'_, Vec<Member>> {
        self.members.lock()
    }
}

impl Dispatch {
    /// Runs a delivery in a batch of its action.
    pub(super) async fn run_together(
        &self,
        delivery: &ClaimedDelivery,
        event: &Arc<PreparedEvent>,
        action: &Arc<Action>,
        visit: &mut Visit,
        place: &Place,
    ) -> Done {
        if place.is_lost() {
            return hand_back(delivery, Some(WAIT));
        }
        let batch = action.written.batch.unwrap_or_default();
        let (tell, told) = oneshot::channel();
        let member = Member { event: Arc::clone(event), info: info(delivery, action), tell };
        let most = visit.most_in_batch(batch.max_items);
        if let Some(opened) = self.batches.join(action, most, member, self.room.term()) {
            // Hundreds wait for those who opened: what a run needs is not set aside for them.
            Box::pin(self.see_through(&opened, visit, Duration::from_millis(batch.max_wait_ms))).await;
        }
        match told.await {
            Ok(Told::Ran(attempt, duration)) => self.conclude(delivery, action, *attempt, duration),
            Ok(Told::NotStarted(pause)) => hand_back(delivery, pause),
            // Who opened it did not come to its end.
            Err(_) => {
                let message = "the host gave up the batch before it ended";
                let result = Err(Failure::of_host(HostFailure::HostLost, message));
                let attempt = Attempt::uncalled(result);
                self.conclude(delivery, action, attempt, Duration::ZERO)
            }
        }
    }

    async fn see_through(&self, batch: &Arc<Batch>, visit: &mut Visit, max_wait: Duration) {
        let filled = self.stop.run_until_cancelled(self.fill(batch, max_wait)).await;
        let turn = match (filled, &batch.action.configured) {
            (Some(()), Ok(configured)) => self.turn(visit, &batch.action, configured.admit()).await,
            _ => None,
        };
        let is_owned = self.room.term() == batch.term && self.lease.is_held();
        let members = self.batches.close(batch);
        let Some((turn, admission)) = turn.filter(|_| is_owned) else {
            let pause = (!is_owned || batch.action.configured.is_err()).then_some(WAIT);
            for member in members {
                let _ = member.tell.send(Told::NotStarted(pause));
            }
            return;
        };
        let started = Instant::now();
        let items: Vec<BatchItem<'_>> =
            members.iter().map(|member| BatchItem { event: &member.event, delivery: member.info }).collect();
        let attempts = admission.run_batch(&items).await;
        let duration = started.elapsed();
        // To look reads files: once is enough for all of them.
        let refused = attempts.iter().find(|attempt| secrets::is_for_good(attempt));
        let is_old = refused.is_some_and(|attempt| secrets::may_be_old(attempt, &batch.action));
        if is_old {
            self.reload.notify_one();
        }
        let retried = |attempt| {
            if is_old && secrets::is_for_good(&attempt) { secrets::retried(attempt) } else { attempt }
        };
        let attempts: Vec<_> = attempts.into_iter().map(retried).collect();
        // One call, and one thing that it says of where it went: the best of what its deliveries say.
        let said = members.iter().zip(&attempts);
        if let Some((member, best)) = said.min_by_key(|(_, attempt)| badness(attempt)) {
            self.heed(&batch.action, &member.event, best, &turn, false);
        }
        for (member, attempt) in members.into_iter().zip(attempts) {
            let told = if self.is_to_wait(&attempt) {
                Told::NotStarted(Some(WAIT))
            } else {
                Told::Ran(Box::new(attempt), duration)
            };
            // Who waited is gone only when the host gives up what it owns.
            let _ = member.tell.send(told);
        }
    }

    /// Waits until the batch is full or its time is over.
    async fn fill(&self, batch: &Batch, max_wait: Duration) {
        let short = async {
            tokio::time::sleep(SHORT_WAIT.min(max_wait)).await;
            self.room.is_waited_for().await;
        };
        tokio::select! {
            () = batch.full.notified() => {}
            () = tokio::time::sleep(max_wait) => {}
            () = short => {}
        }
    }
}

/// How bad an attempt is for its destination.
fn badness(attempt: &Attempt) -> u8 {
    match (&attempt.result, DestinationEvidence::of(&attempt.result)) {
        (Ok(_), _) => 0,
        (Err(_), DestinationEvidence::Up) => 1,
        (
            Err(_),
            DestinationEvidence::Busy | DestinationEvidence::Untrusted | DestinationEvidence::Down { .. },
        ) => 2,
        (Err(_), DestinationEvidence::None) => 3,
    }
}

/// What an attempt is told of its delivery.
pub(super) fn info(delivery: &ClaimedDelivery, action: &Action) -> DeliveryInfo {
    DeliveryInfo {
        id: delivery.id,
        attempt: delivery.attempt,
        max_attempts: delivery.last_attempt(action.policy.retry.max_attempts),
    }
}

#[cfg(test)]
mod tests;
