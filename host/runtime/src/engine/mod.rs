//! The WebAssembly engine, with the settings that were measured to be fast, and its fallback without a pool.

pub(crate) mod cache;
pub(crate) mod compile;
pub(crate) mod compile_process;
pub(crate) mod component_limits;
pub(crate) mod reserve;
pub(crate) mod ticker;

use std::time::Duration;

use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::{
    engine::{
        reserve::{MEMORIES_EACH, Reserve, TABLES_EACH},
        ticker::Ticker,
    },
    settings::RuntimeSettings,
};

/// The engine could not be made.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// This machine or its settings do not allow it.
    #[error("the WebAssembly engine does not start: {0}")]
    Engine(String),
    /// No thread for the ticks of CPU accounting.
    #[error("the WebAssembly engine does not start: no thread for its clock: {0}")]
    Ticker(std::io::Error),
    /// No threads for guests that compute.
    #[error("the WebAssembly engine does not start: no threads for its guests: {0}")]
    ComputePool(std::io::Error),
    /// A certificate of the settings is not one.
    #[error("a certificate authority of the settings does not read: {0}")]
    Certificate(String),
    /// The `User-Agent` of the settings is not a value of a header.
    #[error("the `user_agent` of the settings has a line break or a control character")]
    UserAgent,
    /// What the settings say of the way to an origin can not be read.
    #[error("the destination {origin}: {why}")]
    Route {
        /// The origin.
        origin: String,
        /// Why not.
        why: String,
    },
    /// What the settings say of a server (mail, Redis) can not be read.
    #[error("{service}: {why}")]
    Service {
        /// As the configuration calls it.
        service: String,
        /// Why not.
        why: String,
    },
    /// No randomness from the system.
    #[error("the system gives no random numbers")]
    Random,
}

/// Core instances of one component: Rust takes 3 to 4, JavaScript up to 13, Python 14. The pool only counts them.
const MAX_CORE_INSTANCES: u32 = 64;
/// Calls of `describe` and `check` that run at the same time, beside those of `run`.
pub(crate) const CHECKS_AT_ONCE: u32 = 8;
/// JavaScript and .NET guests need that many.
const TABLE_ELEMENTS: usize = 100_000;
/// What a returned slot keeps, so that the next guest finds its pages mapped.
const MEMORY_KEPT_BYTES: usize = 256 << 10;
const STACK_KEPT_BYTES: usize = 64 << 10;
/// Tables of our guests are smaller; without it each is given back to the system and faulted in again.
const TABLE_KEPT_BYTES: usize = 64 << 10;

/// An engine, and whether its instances come from a pool.
pub(crate) fn start(settings: &RuntimeSettings) -> Result<(Engine, std::sync::Arc<Ticker>), EngineError> {
    let engine = match Engine::new(&config(pool(settings))) {
        Ok(engine) => engine,
        Err(error) => {
            tracing::warn!(
                error = %format!("{error:#}"),
                max_instances = settings.max_instances,
                "the pool of WebAssembly instances can not be reserved; instances are allocated one by one, which is \
                 several times slower: lower max_instances, or raise the limit of virtual memory"
            );
            compiling()?
        }
    };
    let ticker = Ticker::start(&engine, Duration::from_millis(settings.tick_ms.max(1)))
        .map_err(EngineError::Ticker)?;
    Ok((engine, ticker))
}

/// An engine without a pool; what it compiles, one with a pool runs.
pub(crate) fn compiling() -> Result<Engine, EngineError> {
    Engine::new(&config(InstanceAllocationStrategy::OnDemand))
        .map_err(|error| EngineError::Engine(format!("{error:#}")))
}

fn config(allocation: InstanceAllocationStrategy) -> Config {
    let mut config = Config::new();
    config
        .allocation_strategy(allocation)
        .epoch_interruption(true)
        // Bounds are checked by instructions instead of by guard pages. Guard pages would have to be moved whenever a
        // guest's memory grows and moved back after it: two changes of protection for each delivery, each of which
        // stops all cores for a moment. That cost more than half of a fresh instance; the checks cost guests that compute
        // a lot some percent.
        .signals_based_traps(false)
        .memory_guard_size(0)
        .wasm_component_model(true)
        // Costs two microseconds a call, and the interface has no async function.
        .concurrency_support(false)
        // A trap's message is told without it.
        .wasm_backtrace_max_frames(None);
    config
}

fn pool(settings: &RuntimeSettings) -> InstanceAllocationStrategy {
    let instances =
        settings.max_instances.saturating_add(settings.max_warm_instances).saturating_add(CHECKS_AT_ONCE);
    let shares = instances.saturating_add(Reserve::shares(settings.max_instances));
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_core_instances(instances.saturating_mul(MAX_CORE_INSTANCES))
        .total_memories(shares.saturating_mul(MEMORIES_EACH))
        .total_tables(shares.saturating_mul(TABLES_EACH))
        .total_stacks(instances)
        .max_core_instances_per_component(MAX_CORE_INSTANCES)
        .table_elements(TABLE_ELEMENTS)
        .linear_memory_keep_resident(MEMORY_KEPT_BYTES)
        .table_keep_resident(TABLE_KEPT_BYTES)
        .async_stack_keep_resident(STACK_KEPT_BYTES)
        .pagemap_scan(Enabled::Auto);
    InstanceAllocationStrategy::Pooling(pool)
}

#[cfg(test)]
mod tests {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};

    use super::*;

    #[test]
    fn what_one_engine_compiles_the_other_runs() {
        let fingerprint = |engine: &Engine| {
            let mut hasher = DefaultHasher::new();
            engine.precompile_compatibility_hash().hash(&mut hasher);
            hasher.finish()
        };
        let pooling = Engine::new(&config(pool(&RuntimeSettings::default()))).unwrap();
        assert_eq!(fingerprint(&compiling().unwrap()), fingerprint(&pooling));
    }
}
