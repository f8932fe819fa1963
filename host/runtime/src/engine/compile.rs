//! Compiles components, one at a time, or reads them from the cache.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::MutexGuard;
use wasmtime::component::Component;

use crate::{
    engine::component_limits,
    loading::{self, Compiled, LoadError, Whole},
    shared::Shared,
};

/// A compilation that takes longer is logged.
const SILENCE: Duration = Duration::from_secs(3);

/// Waits for a compilation, and logs one that takes long: it may take minutes.
async fn log_if_slow<T>(name: &str, bytes: usize, mut compiling: Pin<&mut impl Future<Output = T>>) -> T {
    let begun = Instant::now();
    if let Ok(ended) = tokio::time::timeout(SILENCE, compiling.as_mut()).await {
        return ended;
    }
    tracing::info!(
        plugin = name,
        bytes,
        "compiling the plugin, once for this machine; this may take minutes"
    );
    let ended = compiling.await;
    tracing::info!(plugin = name, seconds = begun.elapsed().as_secs(), "compiled the plugin");
    ended
}

/// The compiled component, from the cache or compiled now. With a compiler and a private folder it is compiled in a process of its
/// own, which ends when this future is dropped; otherwise on a thread, which cannot be ended.
pub(crate) async fn compile(shared: &Arc<Shared>, name: &str, whole: Whole) -> Result<Compiled, LoadError> {
    let whole = Arc::new(whole);
    let component = match on_a_thread(shared, &whole, cached).await? {
        Some(component) => component,
        None => compile_in_turn(shared, name, &whole).await?,
    };
    loading::examine(&shared.engine, component, &whole)
}

/// Compiles when no other compilation runs. A call that waited for the same component finds it in the cache.
async fn compile_in_turn(
    shared: &Arc<Shared>,
    name: &str,
    whole: &Arc<Whole>,
) -> Result<Component, LoadError> {
    let _turn = shared.compiling.acquire().await;
    if let Some(component) = on_a_thread(shared, whole, cached).await? {
        return Ok(component);
    }
    let (Some(compiler), Some(cache)) = (&shared.settings.compiler, &shared.cache) else {
        return on_a_thread(shared, whole, compile_here).await;
    };
    if let Some(bound) = too_costly(shared).get(&whole.digest).cloned() {
        return Err(LoadError::TooCostly { bound });
    }
    let compiling = std::pin::pin!(compiler.run(cache.folder(), whole.digest_hex(), &whole.bytes));
    let ended = log_if_slow(name, whole.bytes.len(), compiling).await;
    if let Err(LoadError::TooCostly { bound }) = &ended {
        too_costly(shared).insert(whole.digest.clone(), bound.clone());
    }
    ended?;
    on_a_thread(shared, whole, compiled_by_process).await
}

fn too_costly(shared: &Shared) -> MutexGuard<'_, HashMap<String, String>> {
    shared.too_costly.lock()
}

fn compiled_by_process(shared: &Shared, whole: &Whole) -> Result<Component, LoadError> {
    let component = shared.cache.as_ref().and_then(|cache| cache.read(&shared.engine, whole.digest_hex()));
    let component = component.ok_or_else(|| LoadError::damaged(&"what the compiler made of it is gone"))?;
    // A component that needs more than an instance may have fails only here.
    component.map_err(|error| LoadError::damaged(error.root_cause()))
}

/// The component in the cache, if it is there; otherwise checks whether it may be compiled.
fn cached(shared: &Shared, whole: &Whole) -> Result<Option<Component>, LoadError> {
    loading::look_at_header(&whole.bytes)?;
    let cache = shared.cache.as_ref();
    if let Some(component) = cache.and_then(|cache| cache.load(&shared.engine, whole.digest_hex())) {
        return Ok(Some(component));
    }
    component_limits::check(&whole.bytes)?;
    Ok(None)
}

fn compile_here(shared: &Shared, whole: &Whole) -> Result<Component, LoadError> {
    // `from_binary` takes WebAssembly only, neither its text form nor native code.
    let component = Component::from_binary(&shared.engine, &whole.bytes)
        .map_err(|error| LoadError::damaged(error.root_cause()))?;
    if let Some(cache) = &shared.cache {
        cache.store(whole.digest_hex(), &component);
    }
    Ok(component)
}

async fn on_a_thread<T: Send + 'static>(
    shared: &Arc<Shared>,
    whole: &Arc<Whole>,
    work: impl FnOnce(&Shared, &Whole) -> Result<T, LoadError> + Send + 'static,
) -> Result<T, LoadError> {
    let (shared, whole) = (Arc::clone(shared), Arc::clone(whole));
    loading::on_a_thread(move || work(&shared, &whole)).await
}
