//! Writes what became of deliveries, in batches. Nothing is dropped: what can not be written is tried again.

use std::{collections::HashMap, sync::Arc, time::Duration};

use aftercommit_core::{Clock as _, DeliveryId, EntityEvent, Timestamp};
use aftercommit_store::{Completion, CompletionReport, End, StoreError};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{counters::add, dispatch::Dispatch, patience::Patience, room::Place, runs::Run};
use crate::alerts::{Alerts, Untold};

/// Completions that come within this time of the first are written with it: far fewer transactions, and no one waits
/// for a completion.
const LINGER: Duration = Duration::from_millis(2);

/// Completions written in one transaction at most; it bounds how long others wait for the writer.
const BATCH: usize = 500;

/// A delivery this host is done with, and the place it holds until that is durable.
pub(super) struct Finished {
    pub(super) done: Done,
    pub(super) place: Place,
    /// The run that it belongs to. What is finished of one comes in its order.
    pub(super) run: Option<Arc<Run>>,
}

impl Finished {
    fn parts(mut self) -> ((Done, Option<Arc<Run>>), Place) {
        if matches!(self.done, Done::HandedBack { .. }) {
            self.place.was_handed_back();
        }
        ((self.done, self.run), self.place)
    }
}

/// How this host is done with a delivery.
pub(super) enum Done {
    /// Its attempt ended.
    Ended {
        completion: Completion,
        /// A person should be told.
        untold: Option<Box<Untold>>,
    },
    /// It did not start.
    HandedBack { id: DeliveryId, attempt: u32, not_before: Option<Timestamp> },
}

impl Done {
    /// Whether the next of its run begins.
    pub(super) const fn lets_the_next_go(&self) -> bool {
        match self {
            Self::Ended { completion, .. } => !matches!(completion.end, End::Retry { .. }),
            Self::HandedBack { .. } => false,
        }
    }
}

/// The runs of deliveries that end.
type OfRuns = HashMap<DeliveryId, Arc<Run>>;

/// Deliveries that come back at the same time.
type HandedBack = (Option<Timestamp>, Vec<(DeliveryId, u32)>);

/// Writes until `last` says that nothing more comes, and then what is left.
pub(super) async fn run(
    dispatch: Arc<Dispatch>,
    mut finished: mpsc::Receiver<Finished>,
    last: CancellationToken,
) {
    let mut patience = Patience::new("complete", &dispatch.fatal);
    let mut alerts = Alerts::default();
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        let count = tokio::select! {
            biased;
            count = finished.recv_many(&mut batch, BATCH) => count,
            () = last.cancelled(), if !finished.is_closed() => {
                finished.close();
                continue;
            }
        };
        if count == 0 {
            return;
        }
        let linger = tokio::time::sleep(LINGER);
        tokio::pin!(linger);
        while batch.len() < BATCH {
            tokio::select! {
                biased;
                more = finished.recv() => match more {
                    Some(more) => batch.push(more),
                    None => break,
                },
                () = &mut linger => break,
            }
        }
        let (done, places): (Vec<_>, Vec<_>) = batch.drain(..).map(Finished::parts).unzip();
        write(&dispatch, done, &mut alerts, &mut patience).await;
        // Only now: the batch is durable. What could not be written is not known any more, and is freed as such.
        dispatch.room.free(places);
    }
}

async fn write(
    dispatch: &Dispatch,
    done: Vec<(Done, Option<Arc<Run>>)>,
    alerts: &mut Alerts,
    patience: &mut Patience,
) {
    let mut completions = Vec::new();
    let mut runs = OfRuns::new();
    let mut handed_back: Vec<HandedBack> = Vec::new();
    for (done, run) in done {
        match done {
            Done::Ended { completion, .. } if run.as_ref().is_some_and(|run| run.is_broken()) => {
                give_up(dispatch, &completion);
            }
            Done::Ended { completion, untold } => {
                add(&dispatch.counters.alerts, usize::from(untold.is_some()));
                let alert = untold.and_then(|untold| alerts.raise(&untold, dispatch.clock.now()));
                // First: a host that ends in between has told of what it will do once more, not kept it to itself.
                if let Some(alert) = alert {
                    tell(dispatch, alert, patience).await;
                }
                runs.extend(run.map(|run| (completion.id, run)));
                completions.push(completion);
            }
            Done::HandedBack { id, attempt, not_before } => {
                match handed_back.iter_mut().find(|(time, _)| *time == not_before) {
                    Some((_, deliveries)) => deliveries.push((id, attempt)),
                    None => handed_back.push((not_before, vec![(id, attempt)])),
                }
            }
        }
    }
    if !completions.is_empty() {
        complete(dispatch, completions, &runs, patience).await;
    }
    if handed_back.is_empty() {
        return;
    }
    // A delivery that is handed back gives its number back, too. If the answer is lost, it is handed back once more:
    // in between, this host must not claim it again, under the same number, and then take that claim away.
    let _still = dispatch.room.stand_still().await;
    for (not_before, deliveries) in handed_back {
        add(&dispatch.counters.handed_back, deliveries.len());
        release(dispatch, deliveries, not_before, patience).await;
    }
}

/// Puts an alert into the inbox. It may be there: another host told in the same span of time.
async fn tell(dispatch: &Dispatch, alert: EntityEvent, patience: &mut Patience) {
    while let Err(error) = dispatch.store.emit(alert.clone()).await {
        match error {
            StoreError::Exists { .. } => break,
            error if !error.is_transient() => {
                tracing::error!(observer = alert.entity_id, %error, "an alert can not be put into the inbox");
                return;
            }
            error => {
                if pause(dispatch, patience.failed(&error)).await.is_err() {
                    return;
                }
            }
        }
    }
    patience.reset();
}

/// Writes completions; a batch that the database refuses for good is written one by one, so that one bad row can not
/// hold up the others. What is refused even so is given up: upkeep frees it as a delivery that this host does not know
/// of. Its attempt counts, so it ends with its attempts at the latest. What ended behind it in its run is given up too: else it
/// would be made again after those.
async fn complete(
    dispatch: &Dispatch,
    mut completions: Vec<Completion>,
    runs: &OfRuns,
    patience: &mut Patience,
) {
    loop {
        match dispatch.store.complete(dispatch.host, completions.clone()).await {
            Ok(mut report) => {
                patience.reset();
                let unwritten = std::mem::take(&mut report.unwritten);
                // The store writes in order.
                completions.truncate(completions.len() - unwritten.len());
                count(dispatch, &completions, &report);
                // What this host claimed with it belongs to another by now.
                report.stale.iter().filter_map(|id| runs.get(id)).for_each(|run| run.break_off());
                if unwritten.is_empty() {
                    return;
                }
                completions = unwritten;
            }
            Err(error) if error.is_transient() => {
                if pause(dispatch, patience.failed(&error)).await.is_err() {
                    return;
                }
            }
            Err(error) if completions.len() == 1 => {
                let Completion { id, attempt, .. } = completions[0];
                give_up(dispatch, &completions[0]);
                if let Some(run) = runs.get(&id) {
                    run.break_off();
                }
                tracing::error!(delivery_id = %id, attempt, %error, "the end of an attempt can not be written; another will be made if one is left");
                return;
            }
            Err(error) => {
                tracing::error!(%error, "a batch of completions was refused; writing them one by one");
                for completion in completions {
                    if runs.get(&completion.id).is_some_and(|run| run.is_broken()) {
                        give_up(dispatch, &completion);
                    } else {
                        Box::pin(complete(dispatch, vec![completion], runs, patience)).await;
                    }
                }
                return;
            }
        }
    }
}

/// The attempt was made, and its end is not written.
fn give_up(dispatch: &Dispatch, completion: &Completion) {
    dispatch.room.give_up((completion.id, completion.attempt));
}

/// Hands deliveries back, or gives them up like refused completions.
async fn release(
    dispatch: &Dispatch,
    deliveries: Vec<(DeliveryId, u32)>,
    not_before: Option<Timestamp>,
    patience: &mut Patience,
) {
    while let Err(error) = dispatch.store.release(dispatch.host, deliveries.clone(), not_before).await {
        if !error.is_transient() {
            tracing::error!(deliveries = deliveries.len(), %error, "deliveries can not be handed back");
            return;
        }
        if pause(dispatch, patience.failed(&error)).await.is_err() {
            return;
        }
    }
    patience.reset();
    dispatch.wake_claimer();
}

/// Waits, unless the host gives up what it owns.
async fn pause(dispatch: &Dispatch, pause: Duration) -> Result<(), ()> {
    dispatch.abandon.run_until_cancelled(tokio::time::sleep(pause)).await.ok_or(())
}

fn count(dispatch: &Dispatch, completions: &[Completion], report: &CompletionReport) {
    let counters = &dispatch.counters;
    add(&counters.stale, report.stale.len());
    let mut wake = false;
    for completion in completions.iter().filter(|completion| !report.stale.contains(&completion.id)) {
        let counter = match completion.end {
            End::Succeeded => &counters.succeeded,
            End::Retry { .. } => &counters.retried,
            End::Dead { .. } => &counters.dead,
            End::Failed => &counters.failed,
        };
        add(counter, 1);
        wake |= !matches!(completion.end, End::Succeeded);
    }
    if wake || dispatch.snapshot.load().is_ordered() {
        dispatch.wake_claimer();
    }
    for id in &report.stale {
        tracing::warn!(delivery_id = %id, "completed too late: another host owns this delivery");
    }
}

#[cfg(test)]
mod tests;
