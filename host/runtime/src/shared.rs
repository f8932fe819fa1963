//! The state that all plugins of a runtime share: one engine, its linker, its cache, its compute pool and its egress.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use aftercommit_core::Clock;
use parking_lot::Mutex;
use ring::rand::SecureRandom as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime::{Engine, component::Linker};

use crate::{
    calling::{
        compute_pool::ComputePool,
        cpu::CpuMeter,
        cpu_profile::CpuProfile,
        guest::{Call, Guest, Phase},
    },
    egress::{Clients, Egress, Permit, Services},
    engine::{self, CHECKS_AT_ONCE, EngineError, cache::CompileCache, reserve::Reserve, ticker::Ticker},
    hostapi::{LogSink, ProviderTokens},
    limits::Limits,
    loading::{linking, loaded::Loaded},
    secrets::{LiveSecrets, SecretProvider},
    settings::RuntimeSettings,
};

/// The shared state.
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
    compute_pool: ComputePool,
    pub(crate) linker: Linker<Guest>,
    pub(crate) cache: Option<CompileCache>,
    /// The right to compile: whoever compiles has all the processors that others leave.
    pub(crate) compiling: Semaphore,
    /// What took more than the bounds, by its digest: each reload would begin it again.
    pub(crate) too_costly: Mutex<HashMap<String, String>>,
    /// By digest: the same component is compiled and described once, whatever names it has.
    pub(crate) loaded: Mutex<HashMap<String, Weak<Loaded>>>,
}

impl Shared {
    pub(crate) fn new(
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
        Ok(Self {
            running: Arc::new(Semaphore::new(settings.max_instances.max(1) as usize)),
            warm: Arc::new(Semaphore::new(settings.max_warm_instances as usize)),
            reserve: Arc::new(Reserve::new(settings.max_instances)),
            checks: Arc::new(Semaphore::new(CHECKS_AT_ONCE as usize)),
            compute_pool: ComputePool::of_this_machine().map_err(EngineError::ComputePool)?,
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
        })
    }

    /// The component of this digest, if it is in use.
    pub(crate) fn known(&self, digest: &str) -> Option<Arc<Loaded>> {
        let loaded = self.loaded.lock();
        loaded.get(digest).and_then(Weak::upgrade)
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
        cpu_profile: Arc<CpuProfile>,
    ) -> Call {
        Call {
            phase,
            permit,
            egress: Arc::clone(&self.egress),
            deadline: Instant::now() + Duration::from_millis(limits.timeout_ms),
            cpu: Arc::new(CpuMeter::new(
                Duration::from_millis(limits.cpu_ms),
                Arc::clone(&self.ticker),
                self.compute_pool.clone(),
                cpu_profile,
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
