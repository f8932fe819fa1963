//! The runtime, as the program that embeds it sees it.

use std::{collections::BTreeSet, sync::Arc};

use aftercommit_core::Clock;

use crate::{
    engine::{EngineError, compile::compile},
    loading::{self, ComponentSource, LoadError, Whole, describe::describe, plugin::Plugin},
    secrets::SecretProvider,
    settings::RuntimeSettings,
    shared::Shared,
};

/// Runs plugins. Cheap to clone: all clones are the same runtime.
#[derive(Clone)]
pub struct Runtime {
    shared: Arc<Shared>,
}

impl Runtime {
    /// Starts the engine.
    pub fn new(
        settings: RuntimeSettings,
        secrets: Arc<dyn SecretProvider>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, EngineError> {
        Ok(Self { shared: Arc::new(Shared::new(settings, secrets, clock)?) })
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

    /// Follows no longer the secrets that no action asked for since this was called last. Whoever calls
    /// [`changed_secrets`](Self::changed_secrets) calls this when all actions were configured, or asked whether they have an old secret.
    pub fn forget_unused_secrets(&self) {
        self.shared.secrets.forget_unasked();
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
        let loaded = if let Some(loaded) = self.shared.known(&whole.digest) {
            loaded
        } else {
            // Boxed: these futures are large, and plugins are loaded seldom.
            let compiled = Box::pin(compile(&self.shared, name, whole)).await?;
            Box::pin(describe(&self.shared, name, compiled)).await?
        };
        Ok(Arc::new(Plugin { name: name.to_owned(), builtin, loaded, runtime: Arc::clone(&self.shared) }))
    }
}
