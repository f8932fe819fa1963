//! Keeps the table of what is held back and this host's memory of it together: writes down what this host found out, and
//! takes over what other hosts and people wrote.

use std::{sync::Arc, time::Duration};

use aftercommit_core::{Clock as _, Timestamp};
use aftercommit_runtime::Addressed;
use aftercommit_store::{Hold, HoldState, Lane, Lift, PacedTarget, Result, Target};
use tokio_util::sync::CancellationToken;

use crate::{
    observers::{Action, Snapshot},
    pipeline::{
        destinations::{Change, FORGOTTEN, RateNews, Reason, SAME},
        dispatch::Dispatch,
        patience::Patience,
    },
};

/// How often the table is looked at when nothing rings: it is small, and nearly always empty.
const POLL: Duration = Duration::from_secs(1);

/// Between two looks at least when the store rings, so that many changes are not followed one by one.
const LEAST: Duration = Duration::from_millis(50);

/// Writes and follows until `last` says that no delivery runs any more: when something changed here, when the store rings, and
/// every [`POLL`]. What can not be written is tried again; at the end, once.
pub(in crate::pipeline) async fn holds(dispatch: Arc<Dispatch>, last: CancellationToken) {
    let mut patience = Patience::new("holds", &dispatch.fatal);
    let mut snapshot = dispatch.snapshot.load_full();
    loop {
        let look = async {
            write(&dispatch).await?;
            follow_holds(&dispatch).await
        };
        let pause = match look.await {
            Ok(()) => {
                patience.reset();
                POLL
            }
            Err(error) => patience.failed(&error),
        };
        if !Arc::ptr_eq(&snapshot, &dispatch.snapshot.load()) {
            snapshot = dispatch.snapshot.load_full();
            keep_used(&dispatch, &snapshot);
        }
        let bell = async {
            tokio::time::sleep(LEAST).await;
            dispatch.store.holds_bell().await;
        };
        let wait = async {
            tokio::select! {
                () = dispatch.holds.notified() => {}
                () = bell => {}
                () = tokio::time::sleep(pause) => {}
            }
        };
        if last.run_until_cancelled(wait).await.is_none() {
            if let Err(error) = write(&dispatch).await {
                tracing::error!(%error, "what this host found out of destinations last is not written down");
            }
            return;
        }
    }
}

/// Writes down what this host found out.
async fn write(dispatch: &Dispatch) -> Result<()> {
    let mut result = Ok(());
    for (target, change) in dispatch.destinations.changes() {
        let written = match change {
            Change::Held(reason) => dispatch.store.hold(hold(dispatch, target.clone(), reason)).await,
            Change::Works => {
                tracing::info!(destination = %target, "the destination works again");
                // Its end was converted from steady time, and may be a little later.
                let over_at = dispatch.clock.now().plus(SAME);
                dispatch.store.lift(target.clone(), Lift::OverAt(over_at)).await.map(drop)
            }
        };
        if written.is_err() {
            dispatch.destinations.not_written(&target);
            result = written;
        }
    }
    result?;
    write_rates(dispatch).await?;
    for hold in dispatch.endpoints.unwritten() {
        let target = hold.target.clone();
        dispatch.store.hold(hold).await?;
        dispatch.endpoints.written(&target);
    }
    Ok(())
}

/// Writes down the rates that this host has learned.
async fn write_rates(dispatch: &Dispatch) -> Result<()> {
    let mut result = Ok(());
    for (target, news) in dispatch.destinations.rate_news() {
        let now = dispatch.clock.now();
        let written = match news {
            RateNews::Learned(per_minute, since) => {
                let lanes = lanes(dispatch, &target);
                let (target, since) = (target.clone(), dispatch.clock.of_steady(since));
                dispatch
                    .store
                    .keep_rate(PacedTarget { target, per_minute, since, updated_at: now, lanes })
                    .await
            }
            RateNews::Forgotten => dispatch.store.forget_rate(target.clone(), now).await,
        };
        if written.is_err() {
            dispatch.destinations.rate_not_written(&target);
            result = written;
        }
    }
    result
}

/// Recalls the rates that hosts have learned before, but for those that nobody has written for as long as logs are kept.
pub(in crate::pipeline) async fn recall_rates(dispatch: &Dispatch, kept: Duration) -> Result<()> {
    let now = dispatch.clock.now();
    let (old, rates): (Vec<_>, Vec<_>) =
        dispatch.store.learned_rates().await?.into_iter().partition(|rate| now.since(rate.updated_at) > kept);
    for PacedTarget { target, updated_at, .. } in old {
        dispatch.store.forget_rate(target, updated_at).await?;
    }
    let per_sec = |rate: PacedTarget| (rate.target, f64::from(rate.per_minute) / 60.0);
    dispatch.destinations.recall(rates.into_iter().map(per_sec));
    Ok(())
}

/// Takes over what is written down, and lifts the pauses of actions that are not what they were.
pub(in crate::pipeline) async fn follow_holds(dispatch: &Dispatch) -> Result<()> {
    let mut holds = dispatch.store.holds().await?;
    let snapshot = dispatch.snapshot.load_full();
    for hold in holds.extract_if(.., |hold| is_outdated(hold, &snapshot)) {
        tracing::warn!(endpoint = %hold.target, "its action was changed or removed: it is not paused any more");
        dispatch.store.lift(hold.target, Lift::Before(snapshot.revision)).await?;
    }
    for hold in holds.extract_if(.., |hold| is_forgotten(hold, &snapshot, dispatch.clock.now())) {
        dispatch.store.lift(hold.target, Lift::OverAt(dispatch.clock.now())).await?;
    }
    for hold in &mut holds {
        hold.until = hold.until_from(dispatch.clock.now()).map(|until| dispatch.clock.to_steady(until));
    }
    dispatch.destinations.follow(&holds);
    dispatch.endpoints.follow(&holds);
    if dispatch.destinations.have_rates() {
        dispatch.destinations.share_rates(dispatch.store.hosts().await?.len());
    }
    Ok(())
}

/// Whether the endpoint was paused for another definition of its action than the present one.
fn is_outdated(hold: &Hold, snapshot: &Snapshot) -> bool {
    let (Target::Endpoint(observer, action), Some((digest, revision))) = (&hold.target, &hold.definition)
    else {
        return false;
    };
    // A host that has not read the present observers yet decides nothing.
    if snapshot.revision <= *revision {
        return false;
    }
    match (snapshot.entry(observer), snapshot.action(observer, action)) {
        (_, Some(action)) => action.digest() != *digest,
        // It may be there, and does not load.
        (Some(entry), None) => entry.error.is_none(),
        (None, None) => true,
    }
}

/// Whether nobody would find out that it works again: nothing went to an address for long, or no action goes to a destination any
/// more.
fn is_forgotten(hold: &Hold, snapshot: &Snapshot, now: Timestamp) -> bool {
    let is_long_over = hold.until.is_some_and(|until| until.plus(FORGOTTEN) < now);
    is_long_over
        && match &hold.target {
            Target::Address(_) => true,
            Target::Destination(name) => {
                !snapshot.all_actions().any(|action| action.destination() == name.as_str())
            }
            Target::Endpoint(..) => false,
        }
}

/// Forgets what is known of destinations, addresses, endpoints and observers that are gone with their observers.
fn keep_used(dispatch: &Dispatch, snapshot: &Snapshot) {
    let destinations = snapshot.all_actions().map(|action| action.destination()).collect();
    let addresses = snapshot.all_actions().filter_map(|action| match action.addressed() {
        Addressed::Fixed(address) => Some(&**address),
        Addressed::Server | Addressed::Made(_) => None,
    });
    dispatch.destinations.keep_used(&destinations, &addresses.collect());
    dispatch.endpoints.keep_used(|lane| snapshot.action(&lane.observer, &lane.action).is_some());
    dispatch.runs.keep_used(|observer| snapshot.entry(observer).is_some());
}

/// The lanes all of whose deliveries go to a destination or an address.
fn lanes(dispatch: &Dispatch, target: &Target) -> Vec<Lane> {
    let snapshot = dispatch.snapshot.load();
    let goes_there = |action: &Action| match target {
        Target::Destination(name) => action.destination() == name,
        Target::Address(name) => {
            matches!(snapshot.addressed(action), Addressed::Fixed(address) if **address == **name)
        }
        Target::Endpoint(..) => false,
    };
    snapshot.all_actions().filter(|action| goes_there(action)).map(|action| action.lane()).collect()
}

/// A destination or an address that is held back, and the lanes that wait for it.
fn hold(dispatch: &Dispatch, target: Target, reason: Reason) -> Hold {
    Hold {
        lanes: lanes(dispatch, &target),
        target,
        state: if reason.is_asked { HoldState::Throttled } else { HoldState::Open },
        code: reason.problem.code.as_str().to_owned(),
        message: reason.problem.message,
        http_status: reason.problem.status,
        since: dispatch.clock.of_steady(reason.since),
        until: Some(dispatch.clock.of_steady(reason.until)),
        openings: reason.openings,
        definition: None,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use aftercommit_core::{AttemptResult, Failure, FailureClass, Problem, SystemClock};
    use aftercommit_store::{Backend, HostId, Schema as _, SqliteOptions, SqliteStore};
    use rusqlite::Connection;

    use super::*;
    use crate::pipeline::{HostSettings, clock::CommonClock, destinations::Ended};

    fn throttled() -> AttemptResult {
        let problem = Problem { status: Some(429), ..Problem::of_plugin("http_status", "later") };
        let retry_after = Some(Duration::from_mins(2));
        Err(Failure { retry_after, ..Failure::new(FailureClass::Throttled, problem) })
    }

    async fn store(file: &Path) -> Arc<dyn Backend> {
        let options = SqliteOptions { create: true, busy_timeout: Duration::from_millis(1) };
        let store = SqliteStore::open(&format!("sqlite:{}", file.display()), options).await.unwrap();
        store.migrate().await.unwrap();
        Arc::new(store)
    }

    fn dispatch(store: &Arc<dyn Backend>) -> Arc<Dispatch> {
        let clock = Arc::new(CommonClock::new(Arc::new(SystemClock)));
        Dispatch::new(HostId::random(), Arc::clone(store), clock, &HostSettings::default()).0
    }

    #[tokio::test]
    async fn what_can_not_be_written_is_written_later_and_then_told_to_others() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("test.db");
        let store = store(&file).await;
        let (here, elsewhere) = (dispatch(&store), dispatch(&store));
        let throttled = throttled();
        let mut visit = here.destinations.visit_alone("redis.cache");
        let lane = Lane { observer: "o".into(), action: "a".into() };
        let (turn, ()) = visit.turn(std::future::ready(()), &here.slots).await.unwrap();
        assert!(turn.report(&here.destinations, &Ended::of(&throttled, &lane)));
        drop(turn);

        let other = Connection::open(file).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        write(&here).await.unwrap_err();
        follow_holds(&here).await.unwrap();
        let is_held = |host: &Dispatch| host.destinations.get("redis.cache").room() == 0;
        assert!(is_held(&here), "it is held back, written down or not");
        other.execute_batch("COMMIT").unwrap();
        write(&here).await.unwrap();
        let holds = store.holds().await.unwrap();
        assert_eq!((holds.len(), holds[0].state, holds[0].http_status), (1, HoldState::Throttled, Some(429)));

        follow_holds(&elsewhere).await.unwrap();
        assert!(is_held(&elsewhere));
        assert!(store.lift(holds[0].target.clone(), Lift::Always).await.unwrap());
        for dispatch in [&here, &elsewhere] {
            follow_holds(dispatch).await.unwrap();
            assert!(dispatch.destinations.get("redis.cache").room() > 0, "it is resumed");
        }
    }

    #[tokio::test]
    async fn a_destination_that_no_action_goes_to_is_not_held_back_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder.path().join("test.db")).await;
        let dispatch = dispatch(&store);
        let now = dispatch.clock.now();
        for (name, over_since) in [("https://gone.example", FORGOTTEN + SAME), ("https://new.example", SAME)]
        {
            let until = now.minus(over_since);
            let reason = Reason {
                problem: Problem::of_plugin("connect", "refused"),
                is_asked: false,
                since: dispatch.clock.to_steady(until),
                until: dispatch.clock.to_steady(until),
                openings: 1,
            };
            store.hold(hold(&dispatch, Target::Destination(name.to_owned()), reason)).await.unwrap();
        }
        follow_holds(&dispatch).await.unwrap();
        let left: Vec<_> = store.holds().await.unwrap().into_iter().map(|hold| hold.target).collect();
        assert_eq!(left, [Target::Destination("https://new.example".to_owned())]);
    }
}
