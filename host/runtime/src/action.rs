//! An action that can run: a plugin, its configuration, its grants and its limits.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use aftercommit_core::{AttemptResult, DeliveryId, Failure, FailureClass, Outcome, Problem};

use crate::{
    bindings::aftercommit::action::model,
    capability::Effective,
    egress::{self, Permit},
    event::PreparedEvent,
    guest::Phase,
    hostapi::LogSink,
    invocation::{Circumstances, Instance, within},
    limits::Limits,
    plugin::Plugin,
    rendering::ConfigText,
    result,
    warm::WarmInstances,
};

/// The delivery that an attempt belongs to.
#[derive(Clone, Copy, Debug)]
pub struct DeliveryInfo {
    /// The idempotency key.
    pub id: DeliveryId,
    /// Counts from 1.
    pub attempt: u32,
    /// The last attempt.
    pub max_attempts: u32,
}

/// What an attempt used.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Usage {
    /// From start to end, waiting for a free instance not counted.
    pub wall: Duration,
    /// CPU time of the guest and of the host's functions that it called.
    pub cpu_ms: u64,
    /// Memory of the guest at the end.
    pub memory_bytes: u64,
    /// Calls of the host.
    pub host_calls: u64,
    /// Lines logged.
    pub log_lines: u64,
    /// Lines dropped because there were too many.
    pub log_dropped: u64,
}

/// One run of an action for one event.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// How it ended.
    pub result: AttemptResult,
    /// What it used.
    pub usage: Usage,
}

/// An action, ready to run for any number of events at the same time.
pub struct ConfiguredAction {
    plugin: Arc<Plugin>,
    permit: Arc<Permit>,
    limits: Arc<Limits>,
    config: ConfigText,
    destination: String,
    warm: WarmInstances,
}

impl ConfiguredAction {
    pub(crate) fn new(
        plugin: Arc<Plugin>,
        permit: Arc<Permit>,
        limits: Arc<Limits>,
        config: ConfigText,
        destination: String,
    ) -> Self {
        let warm = WarmInstances::new(limits.reuse, Arc::clone(&plugin.runtime.warm));
        Self { plugin, permit, limits, config, destination, warm }
    }

    /// Its plugin.
    pub fn plugin(&self) -> &Arc<Plugin> {
        &self.plugin
    }

    /// What bounds on concurrency are counted by: the origin of the first URL that the configuration names in full, else
    /// the server of the host's that the action was granted, else plugin, observer and action.
    pub fn destination(&self) -> &str {
        &self.destination
    }

    /// What the action may do: declared by its plugin and granted.
    pub fn effective_grants(&self) -> &Effective {
        &self.permit.effective
    }

    /// The bounds of an attempt.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Posts a body through this action's egress without a guest: what `cargo xtask bench` compares a guest with.
    #[doc(hidden)]
    pub async fn post_natively(&self, url: &str, body: &str) -> Result<u16, String> {
        let request = egress::Request {
            method: "POST".to_owned(),
            url: url.to_owned(),
            body: Some(egress::Body::Text(body.to_owned())),
            ..egress::Request::default()
        };
        let bounds = egress::Bounds {
            deadline: Instant::now() + Duration::from_millis(self.limits.timeout_ms),
            response_bytes: self.limits.response_bytes,
        };
        let sent = self.plugin.runtime.egress.send(&self.permit, &request, bounds).await;
        sent.map(|response| response.status).map_err(|error| error.to_string())
    }

    /// Decides on a request and puts its secrets in, without sending it: what that costs is measured with it.
    #[doc(hidden)]
    pub fn prepare_natively(&self, url: &str, headers: &[(String, String)]) -> Result<usize, String> {
        let request =
            egress::Request { url: url.to_owned(), headers: headers.to_vec(), ..egress::Request::default() };
        self.permit.prepare(&request).map_err(|error| error.to_string())
    }

    /// Runs the action once. Never fails itself: whatever happens is an attempt's result.
    pub async fn run(&self, event: &PreparedEvent, delivery: DeliveryInfo) -> Attempt {
        let config = match self.config.render(event, self.limits.rendered_bytes) {
            Ok(config) => config,
            Err((pointer, problem)) => {
                let problem = Problem::new("template", format!("{pointer}: {problem}"));
                return Attempt {
                    result: Err(Failure::new(FailureClass::Permanent, problem)),
                    usage: Usage::default(),
                };
            }
        };
        // The semaphore is never closed, so this only waits.
        let _running = self.plugin.runtime.running.acquire().await;
        self.attempt(event, delivery, &config).await
    }

    async fn attempt(&self, event: &PreparedEvent, delivery: DeliveryInfo, config: &String) -> Attempt {
        let started = Instant::now();
        let id = delivery.id.to_string();
        let log = LogSink::new(
            Arc::clone(&self.permit.who),
            id.clone(),
            self.limits.log_lines,
            self.limits.log_bytes,
        );
        let told = model::Delivery {
            id,
            observer: self.permit.who.observer.clone(),
            attempt: delivery.attempt,
            max_attempts: delivery.max_attempts,
            budget_ms: u32::try_from(self.limits.timeout_ms).unwrap_or(u32::MAX),
        };
        let runtime = &self.plugin.runtime;
        let call =
            runtime.call(Phase::Run, Arc::clone(&self.permit), Arc::clone(&self.limits), Arc::clone(&log));
        // Told from within, because a timeout drops the instance.
        let used = Mutex::new(Usage::default());
        let (cpu, mut memory_refused) = (Arc::clone(&call.cpu), false);
        let ended = within(Duration::from_millis(self.limits.timeout_ms), &cpu, async {
            let mut instance = match self.warm.take() {
                Some(mut kept) => {
                    kept.instance.renew(call);
                    kept
                }
                None => self.warm.adopt(Instance::fresh(&self.plugin.loaded.pre, call).await?),
            };
            let Instance { store, exports } = &mut instance.instance;
            let said = exports
                .aftercommit_action_plugin()
                .call_run(&mut *store, event.record(), &told, config)
                .await;
            let guest = store.data();
            memory_refused = guest.memory.refused;
            *used.lock().unwrap_or_else(PoisonError::into_inner) = Usage {
                memory_bytes: guest.memory.used_bytes(),
                host_calls: guest.call.host_calls,
                ..Usage::default()
            };
            // A store that trapped is never used again: only what returned is kept.
            if said.is_ok() {
                self.warm.give_back(instance);
            }
            said
        })
        .await;
        let result = match ended {
            Ok(said) => result::read(said, self.limits.result_bytes),
            Err(ended) => Err(ended.failure(&Circumstances {
                timeout_ms: self.limits.timeout_ms,
                cpu_ms: self.limits.cpu_ms,
                memory_mb: self.limits.memory_mb,
                memory_refused,
                last_error: log.last_error().as_deref(),
            })),
        };
        let (log_lines, log_dropped) = log.counts();
        let usage = used.into_inner().unwrap_or_else(PoisonError::into_inner);
        let cpu_ms = u64::try_from(cpu.used().as_millis()).unwrap_or(u64::MAX);
        Attempt { result, usage: Usage { wall: started.elapsed(), cpu_ms, log_lines, log_dropped, ..usage } }
    }
}

impl std::fmt::Debug for ConfiguredAction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConfiguredAction")
            .field("plugin", &self.plugin)
            .field("destination", &self.destination)
            .finish_non_exhaustive()
    }
}

/// An attempt that succeeded, for tests of embedding programs.
impl Default for Attempt {
    fn default() -> Self {
        Self { result: Ok(Outcome::default()), usage: Usage::default() }
    }
}
