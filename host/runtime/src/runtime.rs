//! The runtime: one engine, its linker, its cache and its egress, and the plugins loaded so far.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError, Weak},
    time::{Duration, Instant},
};

use aftercommit_core::Clock;
use ring::rand::SecureRandom as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime::{Engine, component::Linker};

use crate::{
    cache::CompileCache,
    capability::Effective,
    cpu::CpuMeter,
    descriptor::Descriptor,
    egress::{Clients, Egress, Permit, Services, Who},
    engine::{self, CHECKS_AT_ONCE, EngineError},
    guest::{Call, Guest, Phase},
    hostapi::{LogSink, ProviderTokens},
    invocation::{Instance, within},
    lanes::Lanes,
    limits::Limits,
    linking::{self, Linked},
    loading::{self, Compiled, ComponentSource, LoadError, Whole},
    plugin::{Loaded, Plugin},
    reserve::Reserve,
    secrets::{LiveSecrets, SecretProvider},
    settings::RuntimeSettings,
    standing::Standing,
    ticker::Ticker,
};

/// Runs plugins. Cheap to clone: all clones are the same runtime.
#[derive(Clone)]
pub struct Runtime {
    pub(crate) shared: Arc<Shared>,
}

/// What all plugins of a runtime share.
pub(crate) struct Shared {
    pub(crate) settings: RuntimeSettings,
    pub(crate) engine: Engine,
    pub(crate) ticker: Arc<Ticker>,
    pub(crate) egress: Arc<Egress>,
    pub(crate) secrets: Arc<LiveSecrets>,
    /// Stays below the pool: an exhausted pool is an error, not a wait.
    pub(crate) running: Arc<Semaphore>,
    pub(crate) warm: Arc<Semaphore>,
    /// Shares of the pool for instances that take more of it than others.
    pub(crate) reserve: Arc<Reserve>,
    /// Bounds the calls of `describe` and `check`, for which the pool has instances of their own.
    pub(crate) checks: Arc<Semaphore>,
    lanes: Lanes,
    linker: Linker<Guest>,
    pub(crate) cache: Option<CompileCache>,
    /// The right to compile: whoever compiles has all the processors that others leave.
    pub(crate) compiling: Semaphore,
    /// What took more than the bounds, by its digest: each reload would begin it again.
    pub(crate) too_costly: Mutex<HashMap<String, String>>,
    /// By digest: the same component is compiled and described once, whatever names it has.
    loaded: Mutex<HashMap<String, Weak<Loaded>>>,
}

impl Runtime {
    /// Starts the engine.
    pub fn new(
        settings: RuntimeSettings,
        secrets: Arc<dyn SecretProvider>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, EngineError> {
        ring::rand::SystemRandom::new().fill(&mut [0; 8]).map_err(|_| EngineError::Random)?;
        let (engine, ticker) = engine::start(&settings)?;
        let linker = linking::linker(&engine).map_err(|error| EngineError::Engine(format!("{error:#}")))?;
        let cache = settings.cache_dir.as_deref().and_then(|folder| CompileCache::open(folder, &engine));
        let secrets = Arc::new(LiveSecrets::new(secrets));
        let provider: Arc<dyn SecretProvider> = Arc::<LiveSecrets>::clone(&secrets);
        let clients = Clients::new(&settings.user_agent, &settings.extra_ca_pem)?
            .with_max_idle(settings.max_idle_connections)
            .with_routes(&settings.routes, &provider)?;
        let services = Services::new(&settings.services, &settings.extra_ca_pem, &provider)?;
        let shared = Shared {
            running: Arc::new(Semaphore::new(settings.max_instances.max(1) as usize)),
            warm: Arc::new(Semaphore::new(settings.max_warm_instances as usize)),
            reserve: Arc::new(Reserve::new(settings.max_instances)),
            checks: Arc::new(Semaphore::new(CHECKS_AT_ONCE as usize)),
            lanes: Lanes::of_this_machine().map_err(EngineError::Lanes)?,
            engine,
            ticker,
            egress: Arc::new(Egress { clients, services, clock, provider_tokens: ProviderTokens::default() }),
            secrets,
            linker,
            cache,
            compiling: Semaphore::new(1),
            too_costly: Mutex::default(),
            loaded: Mutex::default(),
            settings,
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The names of the secrets that have changed, come or gone since this was called last, or since they were asked for first.
    /// Whoever embeds the runtime configures the actions anew that name them ([`ConfiguredAction::has_old_secret`](crate::ConfiguredAction)).
    /// The files and passwords of [`RuntimeSettings::routes`], and the files of [`RuntimeSettings::services`], are read again too; what
    /// changed of them is used from now on.
    pub fn changed_secrets(&self) -> BTreeSet<String> {
        self.shared.egress.clients.follow_routes();
        self.shared.egress.services.follow();
        self.shared.secrets.changed()
    }

    /// Loads a component under the name that operators gave it. Compiling takes its time, one component at a time; one
    /// that was compiled before takes under a millisecond.
    pub async fn load(
        &self,
        name: &str,
        component: ComponentSource,
        expected_digest: Option<&str>,
    ) -> Result<Arc<Plugin>, LoadError> {
        let expected = expected_digest.map(str::to_owned);
        let builtin = matches!(component, ComponentSource::Bytes(_));
        let limit_bytes = self.shared.settings.max_component_bytes;
        let read = move || Whole::read(component, expected.as_deref(), limit_bytes);
        let whole = loading::on_a_thread(read).await?;
        let loaded = match self.shared.known(&whole.digest) {
            Some(loaded) => loaded,
            // Boxed: it is large, and seldom.
            None => Box::pin(self.shared.fresh(name, whole)).await?,
        };
        Ok(Arc::new(Plugin { name: name.to_owned(), builtin, loaded, runtime: Arc::clone(&self.shared) }))
    }
}

impl Shared {
    async fn fresh(self: &Arc<Self>, name: &str, whole: Whole) -> Result<Arc<Loaded>, LoadError> {
        let compiled = self.compile(name, whole).await?;
        self.describe(name, compiled).await
    }

    /// The component of this digest, if it is in use.
    fn known(&self, digest: &str) -> Option<Arc<Loaded>> {
        let loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        loaded.get(digest).and_then(Weak::upgrade)
    }

    /// Links a component and asks it what it is.
    async fn describe(&self, name: &str, compiled: Compiled) -> Result<Arc<Loaded>, LoadError> {
        let shares_beyond = self.reserve.beyond(compiled.component.resources_required().as_ref())?;
        let linked = Linked::new(&self.linker, &compiled.component, compiled.exports_batch)
            .map_err(|error| loading::unlinkable(&compiled, &self.engine, &error))?;
        let limits = Arc::new(loading::describe_limits());
        let who = Arc::new(Who { plugin: name.to_owned(), ..Who::default() });
        let permit = Permit::new(Arc::clone(&who), Effective::default(), &self.egress.clients);
        let permit = Arc::new(permit);
        let log = LogSink::new(who, String::new(), limits.log_lines, limits.log_bytes);
        let capacity = self.check_capacity(shares_beyond).await;
        let call = self.call(Phase::Describe, permit, Arc::clone(&limits), Arc::clone(&log), Arc::default());
        let (said, linked) = within(&limits, Arc::clone(&call.cpu), async move {
            // Until the instance is gone, on whatever thread that is.
            let _capacity = capacity;
            let mut instance = Instance::fresh(&linked, call).await?;
            instance.find_batch(&linked)?;
            Ok((instance.describe().await?, linked))
        })
        .await
        .map_err(|ended| {
            let last_error = log.last_error();
            let failure = ended.failure(&limits, last_error.as_deref());
            LoadError::Describe { why: failure.problem.message }
        })?;
        // A schema takes its time to compile.
        let (descriptor, schema) = tokio::task::spawn_blocking(move || Descriptor::read(said))
            .await
            .map_err(|error| LoadError::Describe { why: format!("its answer can not be read: {error}") })??;
        let loaded = Arc::new(Loaded { linked, descriptor, schema, compiled, shares_beyond });
        let mut all = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, loaded| loaded.strong_count() > 0);
        all.insert(loaded.compiled.digest.clone(), Arc::downgrade(&loaded));
        Ok(loaded)
    }

    /// Waits until an instance of a plugin that takes so many shares of the reserve fits into the pool for `describe` or
    /// `check`. Held for as long as the instance exists.
    pub(crate) async fn check_capacity(
        &self,
        shares: u32,
    ) -> (Option<OwnedSemaphorePermit>, Option<OwnedSemaphorePermit>) {
        let shares = self.reserve.take(shares).await;
        // The semaphore is never closed.
        (shares, Arc::clone(&self.checks).acquire_owned().await.ok())
    }

    /// A call with fresh budgets, starting now.
    pub(crate) fn call(
        &self,
        phase: Phase,
        permit: Arc<Permit>,
        limits: Arc<Limits>,
        log: Arc<LogSink>,
        standing: Arc<Standing>,
    ) -> Call {
        Call {
            phase,
            permit,
            egress: Arc::clone(&self.egress),
            deadline: Instant::now() + Duration::from_millis(limits.timeout_ms),
            cpu: Arc::new(CpuMeter::new(
                Duration::from_millis(limits.cpu_ms),
                Arc::clone(&self.ticker),
                self.lanes.clone(),
                standing,
            )),
            host_calls: 0,
            deliveries: 1,
            redirected_to: None,
            contacts: Arc::default(),
            limits,
            log,
        }
    }
}
