//! From a component's bytes to its compiled form: kept from an earlier time, or made now, one component at a time.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{Arc, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use wasmtime::component::Component;

use crate::{
    loading::{self, Compiled, LoadError, Whole},
    runtime::Shared,
    weight,
};

/// A compiler that takes longer is mentioned.
const SILENCE: Duration = Duration::from_secs(3);

/// Waits, and says what for if it takes long: the first time it sees a plugin, a machine may take minutes.
async fn say_while_it_lasts<T>(
    name: &str,
    bytes: usize,
    mut compiling: Pin<&mut impl Future<Output = T>>,
) -> T {
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

impl Shared {
    /// The compiled component. Where there is a program for it and a folder for what it makes, that is done in a process of
    /// its own, which ends with this future. Else it is done on a thread, which can not be ended.
    pub(crate) async fn compile(self: &Arc<Self>, name: &str, whole: Whole) -> Result<Compiled, LoadError> {
        let whole = Arc::new(whole);
        let component = match self.on_a_thread(&whole, Self::kept).await? {
            Some(kept) => kept,
            None => self.made(name, &whole).await?,
        };
        loading::examine(&self.engine, component, &whole)
    }

    /// Whoever asks for the same component meanwhile finds it made.
    async fn made(self: &Arc<Self>, name: &str, whole: &Arc<Whole>) -> Result<Component, LoadError> {
        let _turn = self.compiling.acquire().await;
        if let Some(kept) = self.on_a_thread(whole, Self::kept).await? {
            return Ok(kept);
        }
        let (Some(compiler), Some(cache)) = (&self.settings.compiler, &self.cache) else {
            return self.on_a_thread(whole, Self::compile_here).await;
        };
        if let Some(bound) = self.known_as_costly().get(&whole.digest).cloned() {
            return Err(LoadError::TooCostly { bound });
        }
        let compiling = std::pin::pin!(compiler.run(cache.folder(), whole.digest_hex(), &whole.bytes));
        let ended = say_while_it_lasts(name, whole.bytes.len(), compiling).await;
        if let Err(LoadError::TooCostly { bound }) = &ended {
            self.known_as_costly().insert(whole.digest.clone(), bound.clone());
        }
        ended?;
        self.on_a_thread(whole, Self::compiled_there).await
    }

    fn known_as_costly(&self) -> MutexGuard<'_, HashMap<String, String>> {
        self.too_costly.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn compiled_there(&self, whole: &Whole) -> Result<Component, LoadError> {
        let made = self.cache.as_ref().and_then(|cache| cache.read(&self.engine, whole.digest_hex()));
        let made = made.ok_or_else(|| LoadError::damaged(&"what the compiler made of it is gone"))?;
        // What needs more room than an instance has is known only now.
        made.map_err(|error| LoadError::damaged(error.root_cause()))
    }

    fn kept(&self, whole: &Whole) -> Result<Option<Component>, LoadError> {
        loading::look_at_header(&whole.bytes)?;
        if let Some(kept) = self.cache.as_ref().and_then(|cache| cache.load(&self.engine, whole.digest_hex()))
        {
            return Ok(Some(kept));
        }
        weight::check(&whole.bytes)?;
        Ok(None)
    }

    fn compile_here(&self, whole: &Whole) -> Result<Component, LoadError> {
        // `from_binary` takes WebAssembly only, neither its text form nor native code.
        let component = Component::from_binary(&self.engine, &whole.bytes)
            .map_err(|error| LoadError::damaged(error.root_cause()))?;
        if let Some(cache) = &self.cache {
            cache.store(whole.digest_hex(), &component);
        }
        Ok(component)
    }

    async fn on_a_thread<T: Send + 'static>(
        self: &Arc<Self>,
        whole: &Arc<Whole>,
        work: impl FnOnce(&Self, &Whole) -> Result<T, LoadError> + Send + 'static,
    ) -> Result<T, LoadError> {
        let (shared, whole) = (Arc::clone(self), Arc::clone(whole));
        loading::on_a_thread(move || work(&shared, &whole)).await
    }
}
