//! One call of a guest: an instance under its budgets, and what its end means.

use std::{future::Future, sync::Arc, time::Duration};

use aftercommit_core::{Failure, HostFailure};
use wasmtime::{
    Store, Trap,
    component::{self, ResourceTableError},
};
use wasmtime_wasi::I32Exit;

use crate::{
    bindings::{Action, aftercommit::action::model},
    calling::{
        attempt::Usage,
        cpu::CpuMeter,
        guest::{Call, Guest, HostStop, MAX_RESOURCES},
        guest_request::GuestRequest,
    },
    limits::Limits,
    loading::linking::Linked,
};

/// An instance of a component and its store.
pub(crate) struct Instance {
    pub(crate) store: Store<Guest>,
    pub(crate) exports: Action,
    component: component::Instance,
}

/// What a guest said of one delivery.
pub(crate) type Said = Result<model::Outcome, model::Failure>;

impl Instance {
    /// A fresh instance. Its first call is `call`.
    pub(crate) async fn fresh(linked: &Linked, call: Call) -> wasmtime::Result<Self> {
        let transfer_bytes = call.limits.transfer_bytes();
        let mut store = Store::new(linked.engine(), Guest::new(call));
        store.limiter(|guest| &mut guest.memory);
        store.set_hostcall_fuel(transfer_bytes);
        store.epoch_deadline_callback(|store| Ok(store.data().call.cpu.tick()));
        store.set_epoch_deadline(1);
        let (component, exports) = linked.instantiate(&mut store).await?;
        Ok(Self { store, exports, component })
    }

    /// Whether its optional export is of the right form, if it has one.
    pub(crate) fn find_batch(&mut self, linked: &Linked) -> wasmtime::Result<()> {
        linked.batch(&mut self.store, &self.component).map(|_| ())
    }

    /// Asks it what it is.
    pub(crate) async fn describe(&mut self) -> wasmtime::Result<model::Descriptor> {
        let said = self.exports.aftercommit_action_plugin().call_describe(&mut self.store).await;
        said.map_err(|error| self.explained(error))
    }

    /// Asks it what is wrong with a configuration.
    pub(crate) async fn check(
        &mut self,
        config: &String,
    ) -> wasmtime::Result<Result<(), Vec<model::FieldProblem>>> {
        let said = self.exports.aftercommit_action_plugin().call_check(&mut self.store, config).await;
        said.map_err(|error| self.explained(error))
    }

    /// Asks it; the answers are in the order of the deliveries, and may be too few or too many.
    pub(crate) async fn ask(
        &mut self,
        linked: &Linked,
        request: &GuestRequest,
    ) -> wasmtime::Result<Vec<Said>> {
        let said = self.answer(linked, request).await;
        said.map_err(|error| self.explained(error))
    }

    async fn answer(&mut self, linked: &Linked, request: &GuestRequest) -> wasmtime::Result<Vec<Said>> {
        let Self { store, exports, component } = self;
        match request {
            GuestRequest::Run(event, delivery, config) => {
                let said =
                    exports.aftercommit_action_plugin().call_run(store, event, delivery, config).await?;
                Ok(vec![said])
            }
            GuestRequest::RunBatch(items) => {
                let exports = linked.batch(&mut *store, component)?;
                let exports = exports.expect("actions with `batch` are of plugins that export it");
                exports.aftercommit_action_batch().call_run_batch(store, items).await
            }
        }
    }

    /// Where redirects led the last request of its call.
    pub(crate) fn redirected_to(&self) -> Option<Arc<str>> {
        self.store.data().call.redirected_to.clone()
    }

    /// What its call used so far, as far as it knows.
    pub(crate) fn usage(&self) -> Usage {
        let guest = self.store.data();
        Usage {
            memory_bytes: guest.memory.used_bytes(),
            host_calls: guest.call.host_calls,
            ..Usage::default()
        }
    }

    /// Whoever was refused memory says so in words of its own, or just traps.
    fn explained(&self, error: wasmtime::Error) -> wasmtime::Error {
        if self.store.data().memory.refused { error.context(MemoryRefused) } else { error }
    }

    /// Makes a kept instance ready for another call.
    pub(crate) fn renew(&mut self, call: Call) {
        self.store.data_mut().call = call;
        self.store.set_epoch_deadline(1);
    }
}

/// How a call ended, other than by its own result.
#[derive(Debug)]
pub(crate) enum Ended {
    /// The wall time was over.
    Timeout,
    /// The engine or the host ended it.
    Trapped(wasmtime::Error),
}

/// A growth of memory was refused during the call.
#[derive(Debug, thiserror::Error)]
#[error("a growth of memory was refused")]
struct MemoryRefused;

/// Waits for a call no longer than its limits let it take, and measures it.
pub(crate) async fn within<T: Send + 'static>(
    limits: &Limits,
    cpu: Arc<CpuMeter>,
    call: impl Future<Output = wasmtime::Result<T>> + Send + 'static,
) -> Result<T, Ended> {
    match tokio::time::timeout(Duration::from_millis(limits.timeout_ms), cpu.measure(call)).await {
        Ok(Ok(result)) => Ok(result),
        Ok(Err(error)) => Err(Ended::Trapped(error)),
        Err(_) => Err(Ended::Timeout),
    }
}

impl Ended {
    /// The failure that this end is. `last_error` is the last error line that the guest wrote: a panic's message.
    pub(crate) fn failure(&self, limits: &Limits, last_error: Option<&str>) -> Failure {
        let (failure, message) = self.judge(limits, last_error);
        Failure::of_host(failure, message)
    }

    fn judge(&self, limits: &Limits, last_error: Option<&str>) -> (HostFailure, String) {
        use HostFailure::{
            CpuLimit, HostCallLimit, MemoryLimit, PluginAbi, PluginTrap, ResourceLimit, Timeout,
        };
        let error = match self {
            Self::Timeout => {
                return (Timeout, format!("not finished after {} ms (`timeout_ms`)", limits.timeout_ms));
            }
            Self::Trapped(error) => error,
        };
        if let Some(stop) = error.downcast_ref::<HostStop>() {
            return match stop {
                HostStop::HostCalls(_) => (HostCallLimit, format!("{stop} (`limits.host_calls`)")),
                HostStop::NotNow(_) => (PluginTrap, stop.to_string()),
            };
        }
        if matches!(error.downcast_ref::<ResourceTableError>(), Some(ResourceTableError::Full)) {
            let message = format!("holds more than {MAX_RESOURCES} resources of WASI at once");
            return (ResourceLimit, message);
        }
        if let Some(I32Exit(status)) = error.downcast_ref::<I32Exit>() {
            return (PluginTrap, trapped(&format!("exit with status {status}"), last_error));
        }
        if error.is::<std::str::Utf8Error>() {
            return (PluginAbi, "the plugin handed over text that is not UTF-8".to_owned());
        }
        match error.downcast_ref::<Trap>() {
            Some(Trap::Interrupt) => {
                (CpuLimit, format!("used more than {} ms of CPU time (`limits.cpu_ms`)", limits.cpu_ms))
            }
            _ if error.is::<MemoryRefused>() => (
                MemoryLimit,
                format!("needs more than {} MiB of memory (`limits.memory_mb`)", limits.memory_mb),
            ),
            Some(Trap::StackOverflow) => (PluginTrap, "the plugin recursed too deep".to_owned()),
            Some(trap) => (PluginTrap, trapped(&trap.to_string(), last_error)),
            None => other(error),
        }
    }
}

fn trapped(trap: &str, last_error: Option<&str>) -> String {
    match last_error {
        Some(line) => format!("the plugin gave up: {line}"),
        None => format!("the plugin trapped: {}", trap.trim_start_matches("wasm trap: ")),
    }
}

fn other(error: &wasmtime::Error) -> (HostFailure, String) {
    let cause = error.root_cause().to_string();
    if cause.contains("fuel allocated for hostcalls") {
        let message = "the plugin handed over more than the host takes at once".to_owned();
        return (HostFailure::ResultTooLarge, message);
    }
    if cause.contains("size of fields exceeds limit") {
        let message =
            "the total size of fields of one list of headers is more than the host keeps".to_owned();
        return (HostFailure::ResourceLimit, message);
    }
    if cause.contains("handle limit exceeded") {
        let message = "the plugin hands over, or keeps, more handles of resources than the host has room for"
            .to_owned();
        return (HostFailure::ResourceLimit, message);
    }
    if error.is::<wasmtime::PoolConcurrencyLimitError>() {
        let message =
            "no instance is free; if that is frequent, raise `max_concurrency` in [dispatch]".to_owned();
        return (HostFailure::NoInstance, message);
    }
    tracing::debug!(error = %format!("{error:#}"), "a plugin was ended by the engine");
    (HostFailure::PluginAbi, format!("the plugin does not keep to the interface: {cause}"))
}
