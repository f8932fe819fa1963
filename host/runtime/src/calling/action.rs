//! An action that can run: a plugin, its configuration, its grants and its limits.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use aftercommit_core::BatchConfig;

use crate::{
    calling::{
        address::Address,
        admission::Admission,
        attempt::{Attempt, DeliveryInfo},
        batch::BatchItem,
        callee::Callee,
        event::PreparedEvent,
        rendering::ConfigText,
        warm::WarmInstances,
    },
    capability::Effective,
    configure::problem::ConfigProblem,
    egress::{self, Permit},
    limits::Limits,
    loading::plugin::Plugin,
    secrets::{Secret, SecretProvider as _},
};

/// An action, ready to run for any number of events at the same time.
pub struct ConfiguredAction {
    callee: Callee,
    goal: Goal,
    /// Their values when it was configured.
    secrets: BTreeMap<String, Secret>,
}

/// Where an action's deliveries go.
pub(crate) struct Goal {
    pub(crate) destination: String,
    /// A template names the server: what does not connect is one of many.
    pub(crate) is_many_servers: bool,
    pub(crate) address: Address,
}

/// How an action's deliveries are addressed at their destination.
#[derive(Clone, Copy, Debug)]
pub enum Addressed<'a> {
    /// The destination is all that is known.
    Server,
    /// All to the same path, channel or device.
    Fixed(&'a Arc<str>),
    /// Each event to its own; this is the template.
    Made(&'a Arc<str>),
}

impl ConfiguredAction {
    pub(crate) fn new(
        plugin: Arc<Plugin>,
        permit: Arc<Permit>,
        limits: Arc<Limits>,
        batch: Option<BatchConfig>,
        config: ConfigText,
        goal: Goal,
        secrets: BTreeMap<String, Secret>,
    ) -> Self {
        let warm = Arc::new(WarmInstances::new(limits.reuse, Arc::clone(&plugin.runtime.warm)));
        let cpu_profile = Arc::default();
        let callee = Callee { plugin, permit, limits, batch, warm, cpu_profile, config };
        Self { callee, goal, secrets }
    }

    /// Whether one of its secrets has another value by now, so that the action has to be configured anew. A secret that can not
    /// be read at present counts as unchanged.
    pub fn has_old_secret(&self) -> bool {
        let provider = &self.callee.plugin.runtime.secrets;
        self.secrets.iter().any(|(name, old)| {
            provider
                .secret_of_action(name)
                .is_ok_and(|now| now.is_some_and(|now| now.expose() != old.expose()))
        })
    }

    /// Its plugin.
    pub fn plugin(&self) -> &Arc<Plugin> {
        &self.callee.plugin
    }

    /// What bounds on concurrency are counted by: the origin of the first URL that the configuration names in full, else
    /// the server of the host's that the action was granted, else plugin, observer and action.
    pub fn destination(&self) -> &str {
        &self.goal.destination
    }

    /// Whether its configuration names in full where all events go: URLs, and names such as a channel.
    pub fn is_one_endpoint(&self) -> bool {
        matches!(self.goal.address, Address::Fixed(_)) && !self.goal.is_many_servers
    }

    /// Whether a template names the server.
    pub fn is_many_servers(&self) -> bool {
        self.goal.is_many_servers
    }

    /// What its deliveries go to at the destination.
    pub fn addressed(&self) -> Addressed<'_> {
        match &self.goal.address {
            Address::None => Addressed::Server,
            Address::Fixed(address) => Addressed::Fixed(address),
            Address::Made(made) => Addressed::Made(made.written()),
        }
    }

    /// The address of an event's delivery; none if it has none, or does not render.
    pub fn address(&self, event: &PreparedEvent) -> Option<Arc<str>> {
        match &self.goal.address {
            Address::None => None,
            Address::Fixed(address) => Some(Arc::clone(address)),
            Address::Made(made) => made.render(event, &self.callee.limits, &self.goal.destination),
        }
    }

    /// What is not wrong with its configuration but makes no delivery for some events.
    pub fn hints(&self) -> impl Iterator<Item = ConfigProblem> {
        self.callee.config.hints()
    }

    /// What the action may do: declared by its plugin and granted.
    pub fn effective_grants(&self) -> &Effective {
        &self.callee.permit.effective
    }

    /// The bounds of a call.
    pub fn limits(&self) -> &Limits {
        &self.callee.limits
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
            deadline: Instant::now() + Duration::from_millis(self.callee.limits.timeout_ms),
            response_bytes: self.callee.limits.response_bytes,
        };
        let sent = self.callee.plugin.runtime.egress.send(&self.callee.permit, &request, bounds).await;
        sent.map(|response| response.status).map_err(|error| error.to_string())
    }

    /// Decides on a request and puts its secrets in, without sending it: what that costs is measured with it.
    #[doc(hidden)]
    pub fn prepare_natively(&self, url: &str, headers: &[(String, String)]) -> Result<usize, String> {
        let request =
            egress::Request { url: url.to_owned(), headers: headers.to_vec(), ..egress::Request::default() };
        self.callee.permit.prepare(&request).map_err(|error| error.to_string())
    }

    /// Waits until an instance of its plugin fits into the pool. Plugins that take no more than others never wait.
    pub async fn admit(&self) -> Admission<'_> {
        Admission::of(&self.callee).await
    }

    /// Runs the action once: [`Admission::run`], as soon as it is admitted.
    pub async fn run(&self, event: &PreparedEvent, delivery: DeliveryInfo) -> Attempt {
        self.admit().await.run(event, delivery).await
    }

    /// Runs the action for several deliveries: [`Admission::run_batch`], as soon as it is admitted.
    pub async fn run_batch(&self, items: &[BatchItem<'_>]) -> Vec<Attempt> {
        self.admit().await.run_batch(items).await
    }

    /// How its deliveries are gathered; `None` when each runs alone.
    #[must_use]
    pub const fn batch(&self) -> Option<BatchConfig> {
        self.callee.batch
    }
}

impl std::fmt::Debug for ConfiguredAction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConfiguredAction")
            .field("plugin", &self.callee.plugin)
            .field("destination", &self.goal.destination)
            .finish_non_exhaustive()
    }
}
