//! Endpoints (one action of one observer each) that are paused, or on their way to it.
//!
//! One origin serves many endpoints: the hooks of all customers, the devices of a push service. One that is gone must not
//! stop the others, so a pause belongs to the endpoint. It lasts until a person resumes it or its action is changed.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{
            AtomicUsize,
            Ordering::{Acquire, Release},
        },
    },
};

use aftercommit_core::{EndpointEvidence, Problem, Timestamp};
use aftercommit_store::{Hold, HoldState, Lane, Target};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

use crate::observers::Action;

/// All endpoints that are not just well.
pub(in crate::pipeline) struct Endpoints {
    /// So many refusals in a row pause an endpoint; 0: never.
    refusals: u32,
    /// How many are known here: whoever is well has nothing to do with the others.
    count: AtomicUsize,
    known: Mutex<HashMap<Lane, Endpoint>>,
    changed: Arc<Notify>,
    room: Arc<Notify>,
}

#[derive(Default)]
struct Endpoint {
    /// In a row.
    refused: u32,
    paused: Option<Pause>,
}

struct Pause {
    hold: Hold,
    is_written: bool,
}

impl Endpoints {
    pub(in crate::pipeline) fn new(refusals: u32, changed: Arc<Notify>, room: Arc<Notify>) -> Self {
        Self { refusals, count: AtomicUsize::new(0), known: Mutex::default(), changed, room }
    }

    /// Whether the action's endpoint is paused.
    pub(in crate::pipeline) fn is_paused(&self, action: &Action) -> bool {
        self.count.load(Acquire) > 0
            && self.lock().get(&action.lane()).is_some_and(|endpoint| endpoint.paused.is_some())
    }

    /// The endpoint took a request: earlier refusals are forgotten. A pause is not: the request was under way already.
    pub(in crate::pipeline) fn took(&self, action: &Action) {
        if self.count.load(Acquire) == 0 {
            return;
        }
        let mut known = self.lock();
        let lane = action.lane();
        if let Some(endpoint) = known.get_mut(&lane) {
            endpoint.refused = 0;
            if endpoint.paused.is_none() {
                known.remove(&lane);
            }
        }
        self.count.store(known.len(), Release);
    }

    /// What a failed attempt, and its problem, say of the endpoint. `revision` is that of the observers in which the action
    /// stands. Whether this paused the endpoint.
    pub(in crate::pipeline) fn refused(
        &self,
        action: &Action,
        evidence: EndpointEvidence,
        problem: &Problem,
        revision: i64,
        now: Timestamp,
    ) -> bool {
        if evidence == EndpointEvidence::None {
            return false;
        }
        let mut known = self.lock();
        let endpoint = known.entry(action.lane()).or_default();
        endpoint.refused = endpoint.refused.saturating_add(1);
        let is_enough = self.refusals > 0 && endpoint.refused >= self.refusals;
        let is_news = endpoint.paused.is_none() && (evidence == EndpointEvidence::Gone || is_enough);
        if is_news {
            let message = match evidence {
                EndpointEvidence::Gone => problem.message.clone(),
                _ => format!("{} times in a row: {}", endpoint.refused, problem.message),
            };
            let problem = Problem { message, ..problem.clone() };
            tracing::warn!(
                observer = %action.observer,
                action = %action.name,
                code = problem.code.as_str(),
                http_status = problem.status,
                "the endpoint is paused, its deliveries wait until it is resumed or its action changed: {}",
                problem.message
            );
            let hold = paused(action, problem, revision, now);
            endpoint.paused = Some(Pause { hold, is_written: false });
            self.changed.notify_one();
        }
        self.count.store(known.len(), Release);
        is_news
    }

    /// Pauses that are to be written down.
    pub(in crate::pipeline) fn unwritten(&self) -> Vec<Hold> {
        let known = self.lock();
        let pauses = known.values().filter_map(|endpoint| endpoint.paused.as_ref());
        pauses.filter(|pause| !pause.is_written).map(|pause| pause.hold.clone()).collect()
    }

    /// A pause is written down.
    pub(in crate::pipeline) fn written(&self, target: &Target) {
        for endpoint in self.lock().values_mut() {
            if let Some(pause) = endpoint.paused.as_mut().filter(|pause| pause.hold.target == *target) {
                pause.is_written = true;
            }
        }
    }

    /// Takes over what is written down.
    pub(in crate::pipeline) fn follow(&self, holds: &[Hold]) {
        let mut known = self.lock();
        let mut written = HashSet::new();
        for hold in holds {
            let Target::Endpoint(observer, action) = &hold.target else { continue };
            let lane = Lane { observer: observer.as_str().into(), action: action.as_str().into() };
            let endpoint = known.entry(lane.clone()).or_default();
            if endpoint.paused.is_none() {
                tracing::warn!(observer, action, "the endpoint is paused, as it is written down");
            }
            endpoint.paused = Some(Pause { hold: hold.clone(), is_written: true });
            written.insert(lane);
        }
        known.retain(|lane, endpoint| {
            let is_lifted =
                endpoint.paused.as_ref().is_some_and(|pause| pause.is_written) && !written.contains(lane);
            if is_lifted {
                tracing::warn!(observer = %lane.observer, action = %lane.action, "the endpoint is resumed");
                self.room.notify_one();
            }
            !is_lifted
        });
        self.count.store(known.len(), Release);
    }

    /// Forgets what was refused to actions that are gone. A pause is lifted where it is written down.
    pub(in crate::pipeline) fn keep_used(&self, is_used: impl Fn(&Lane) -> bool) {
        let mut known = self.lock();
        known.retain(|lane, endpoint| endpoint.paused.is_some() || is_used(lane));
        self.count.store(known.len(), Release);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Lane, Endpoint>> {
        self.known.lock()
    }
}

fn paused(action: &Action, problem: Problem, revision: i64, now: Timestamp) -> Hold {
    let Problem { code, message, status } = problem;
    Hold {
        target: Target::Endpoint(action.observer.to_string(), action.name.to_string()),
        state: HoldState::Paused,
        code: code.as_str().to_owned(),
        message,
        http_status: status,
        since: now,
        until: None,
        openings: 0,
        lanes: vec![action.lane()],
        definition: Some((action.digest(), revision)),
    }
}
