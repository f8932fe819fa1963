//! What a component's imports are linked to: our interfaces, and all of WASI 0.2 with nothing behind it. And where its
//! exports are.

use wasmtime::{
    Engine, Store,
    component::{Component, HasSelf, Instance, InstancePre, Linker},
};

use crate::{
    bindings::{Action, ActionIndices, BatchExport, BatchExportIndices},
    calling::guest::Guest,
};

/// A component whose imports are linked and whose exports are found: ready to be instantiated.
pub(crate) struct Linked {
    pre: InstancePre<Guest>,
    action: ActionIndices,
    /// Where it exports `batch`.
    batch: Option<BatchExportIndices>,
}

impl Linked {
    pub(crate) fn new(
        linker: &Linker<Guest>,
        component: &Component,
        exports_batch: bool,
    ) -> wasmtime::Result<Self> {
        let pre = linker.instantiate_pre(component)?;
        let action = ActionIndices::new(&pre)?;
        let batch = exports_batch.then(|| BatchExportIndices::new(&pre)).transpose()?;
        Ok(Self { pre, action, batch })
    }

    pub(crate) fn engine(&self) -> &Engine {
        self.pre.engine()
    }

    pub(crate) async fn instantiate(&self, store: &mut Store<Guest>) -> wasmtime::Result<(Instance, Action)> {
        let instance = self.pre.instantiate_async(&mut *store).await?;
        let exports = self.action.load(store, &instance)?;
        Ok((instance, exports))
    }

    /// The optional export of an instance.
    pub(crate) fn batch(
        &self,
        store: &mut Store<Guest>,
        instance: &Instance,
    ) -> wasmtime::Result<Option<BatchExport>> {
        self.batch.as_ref().map(|batch| batch.load(store, instance)).transpose()
    }
}

/// The linker of all plugins. What an import does is decided by the call that the guest is in.
pub(crate) fn linker(engine: &Engine) -> wasmtime::Result<Linker<Guest>> {
    let mut linker = Linker::new(engine);
    Action::add_to_linker::<_, HasSelf<_>>(&mut linker, |guest| guest)?;
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    Ok(linker)
}
