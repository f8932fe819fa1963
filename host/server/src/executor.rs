//! Processes single events in the memory of the program that embeds it: match, condition, actions with their retries,
//! dead letter queue. Nothing here is durable; for that, run a [`Host`](crate::Host).

use std::{collections::HashMap, sync::Arc, time::Instant};

use aftercommit_core::{Clock, DeliveryId, EntityEvent, Failure, HostFailure, SystemClock, Verdict};
use aftercommit_runtime::{DeliveryInfo, EnvSecrets, PreparedEvent, Runtime, RuntimeSettings};
use futures::future::join_all;
use parking_lot::Mutex;

use crate::{
    alerts::{Alerts, Untold},
    dead_letter_queue::{DeadLetterQueue, DlqItem},
    error::{Error, Result},
    observers::{Action, EventMatcher},
    plugins::Catalog,
    source::EventSource,
};

/// Runs the actions of the observers that want an event.
pub struct ObserverExecutor {
    matcher: EventMatcher,
    /// By observer.
    actions: HashMap<Arc<str>, Vec<Action>>,
    /// What alerts, by observer.
    alert_actions: HashMap<Arc<str>, Action>,
    alerts: Mutex<Alerts>,
    dlq: Arc<dyn DeadLetterQueue>,
    clock: Arc<dyn Clock>,
    catalog: Arc<Catalog>,
}

/// What became of an event.
#[derive(Default, Debug)]
pub struct ExecutionSummary {
    /// Actions that succeeded, retries included.
    pub successful_actions: usize,
    /// Actions that failed for good.
    pub failed_actions: usize,
    /// Observers whose condition was not true.
    pub conditions_skipped: usize,
    /// Observers whose condition could not be evaluated.
    pub condition_errors: usize,
    /// Failed actions that went to the dead letter queue.
    pub dead_letters: usize,
    /// Wall time of it all, in milliseconds.
    pub total_duration_ms: f64,
    /// Why actions failed and conditions could not be evaluated.
    pub errors: Vec<Error>,
}

impl ExecutionSummary {
    /// Actions that were run.
    #[must_use]
    pub const fn total_actions(&self) -> usize {
        self.successful_actions + self.failed_actions
    }

    /// Whether everything that should run ran and succeeded.
    #[must_use]
    pub const fn is_success(&self) -> bool {
        self.failed_actions == 0 && self.condition_errors == 0
    }
}

impl ObserverExecutor {
    /// An executor with the built-in plugins; secrets come from the environment. Fails when an action of an observer
    /// does not load.
    pub async fn new(matcher: EventMatcher, dlq: Arc<dyn DeadLetterQueue>) -> Result<Self> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let runtime = Runtime::new(RuntimeSettings::default(), Arc::new(EnvSecrets), Arc::clone(&clock))
            .map_err(|error| Error::InvalidConfig { message: error.to_string() })?;
        Self::with_catalog(matcher, dlq, Arc::new(Catalog::new(runtime, [])), clock).await
    }

    /// An executor with other plugins and another clock.
    pub async fn with_catalog(
        matcher: EventMatcher,
        dlq: Arc<dyn DeadLetterQueue>,
        catalog: Arc<Catalog>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        let (mut actions, mut alert_actions) = (HashMap::new(), HashMap::new());
        for watcher in matcher.watchers() {
            let mut prepared = Vec::new();
            for position in 0..watcher.definition.actions.len() {
                match Action::prepare(&watcher.definition, position, &catalog).await {
                    Action { configured: Err(error), .. } => return Err(error),
                    action => prepared.push(action),
                }
            }
            actions.insert(Arc::clone(&watcher.name), prepared);
            match Action::prepare_alert(&watcher.definition, &catalog).await {
                Some(Action { configured: Err(error), .. }) => return Err(error),
                Some(action) => drop(alert_actions.insert(Arc::clone(&watcher.name), action)),
                None => {}
            }
        }
        Ok(Self { matcher, actions, alert_actions, alerts: Mutex::default(), dlq, clock, catalog })
    }

    /// Runs every action that the event sets off; retries wait within this call.
    pub async fn process_event(&self, event: &EntityEvent) -> Result<ExecutionSummary> {
        let started = Instant::now();
        let prepared = PreparedEvent::new(event.clone());
        let mut summary = ExecutionSummary::default();
        let mut wanted = Vec::new();
        for watcher in self.matcher.find(event) {
            match watcher.wants(event) {
                Ok(true) => wanted.extend(self.actions.get(&watcher.name).into_iter().flatten()),
                Ok(false) => summary.conditions_skipped += 1,
                Err(error) => {
                    summary.condition_errors += 1;
                    summary.errors.push(Error::ConditionEvaluationFailed { reason: watcher.explain(&error) });
                }
            }
        }
        for end in join_all(wanted.into_iter().map(|action| self.run(&prepared, action))).await {
            match end? {
                None => summary.successful_actions += 1,
                Some((error, dead)) => {
                    summary.failed_actions += 1;
                    summary.dead_letters += usize::from(dead);
                    summary.errors.push(error);
                }
            }
        }
        summary.total_duration_ms = started.elapsed().as_secs_f64() * 1000.0;
        Ok(summary)
    }

    /// The same for an event that somebody has to want: one that no observer is for is
    /// [`Error::NoMatchingObservers`]. Whether their conditions are true makes no difference.
    pub async fn process_expected(&self, event: &EntityEvent) -> Result<ExecutionSummary> {
        if self.matcher.find(event).next().is_none() {
            let event_type = format!("{} {}", event.entity_type, event.event_kind.as_str());
            return Err(Error::NoMatchingObservers { event_type });
        }
        self.process_event(event).await
    }

    /// Processes events until the source has no more; returns how many. A source that failed is
    /// [`Error::ListenerConnectionFailed`].
    pub async fn process_all(&self, source: &mut dyn EventSource) -> Result<usize> {
        let mut count = 0;
        while let Some(event) = source.next_event().await {
            self.process_event(&event).await?;
            source.acknowledge(event.id).await;
            count += 1;
        }
        source.failure().map_or(Ok(count), |error| Err(error.of_source()))
    }

    /// Runs one dead letter again and tells the queue how it went; `Ok(false)` when it failed again.
    pub async fn replay(&self, item: &DlqItem) -> Result<bool> {
        let mut definition = aftercommit_core::ObserverDefinition::new("replay");
        definition.actions.push(item.action.clone());
        let action = Action::prepare(&definition, 0, &self.catalog).await;
        let end = match &action.configured {
            Ok(_) => self.attempts(&PreparedEvent::new(item.event.clone()), &action).await.err(),
            Err(error) => Some(not_configured(error)),
        };
        let marked = match end {
            None => self.dlq.mark_success(item.id).await.map(|()| true),
            Some(ended) => {
                self.dlq.mark_retry_failed(item.id, &ended.failure.to_string()).await.map(|()| false)
            }
        };
        marked.map_err(Error::of_queue)
    }

    /// `None` when the action succeeded, else the error and whether it is a dead letter now.
    async fn run(&self, event: &PreparedEvent, action: &Action) -> Result<Option<(Error, bool)>> {
        let Err(ended) = self.attempts(event, action).await else { return Ok(None) };
        let alert = matches!(ended.verdict, Verdict::Failed { alert: true });
        let error = ended.failure.to_string();
        tracing::error!(event_id = %event.event().id, observer = %action.observer, action = %action.name, alert, "{error}");
        if alert {
            self.alert(event, action, &ended).await;
        }
        let dead = ended.verdict == Verdict::Dead;
        if dead {
            let pushed = self.dlq.push(event.event().clone(), action.written.clone(), error).await;
            pushed.map_err(Error::of_queue)?;
        }
        Ok(Some((Error::of_failure(&ended.failure, ended.attempt), dead)))
    }

    /// Tells a person, if the observer has an action for that and no one was told just now.
    async fn alert(&self, event: &PreparedEvent, action: &Action, ended: &Ended) {
        let Some(alert_action) = self.alert_actions.get(&action.observer) else { return };
        let id = DeliveryId::of(event.event().id, &action.observer, &action.name);
        let failed = Arc::new(event.event().clone());
        let untold = Untold::of(action, id, ended.attempt, &ended.failure, &failed);
        let now = self.clock.now();
        let alert = self.alerts.lock().raise(&untold, now);
        let Some(alert) = alert else { return };
        if let Err(ended) = self.attempts(&PreparedEvent::new(alert), alert_action).await {
            tracing::error!(observer = %action.observer, "the alert failed: {}", ended.failure);
        }
    }

    async fn attempts(&self, event: &PreparedEvent, action: &Action) -> std::result::Result<(), Ended> {
        let configured = action.configured.as_ref().map_err(not_configured)?;
        let max_attempts = action.policy.retry.max_attempts;
        for attempt in 1.. {
            let id = DeliveryId::of(event.event().id, &action.observer, &action.name);
            let info = DeliveryInfo { id, attempt, max_attempts };
            let result = configured.run(event, info).await.result;
            let now = self.clock.now();
            let verdict = action.policy.rules().judge(&result, attempt, now, fastrand::f64());
            match (result, verdict) {
                (Ok(_), _) => return Ok(()),
                (Err(_), Verdict::Retry(at)) => tokio::time::sleep(at.since(now)).await,
                (Err(failure), verdict) => return Err(Ended { attempt, failure, verdict }),
            }
        }
        unreachable!("the retry policy ends")
    }
}

/// How an action failed for good.
struct Ended {
    attempt: u32,
    failure: Failure,
    verdict: Verdict,
}

fn not_configured(error: &Error) -> Ended {
    let failure = Failure::of_host(HostFailure::Configuration, error.to_string());
    Ended { attempt: 1, failure, verdict: Verdict::Dead }
}
