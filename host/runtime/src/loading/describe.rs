//! A compiled component describes itself: its exports are linked, and `describe` is called in a bounded instance.

use std::sync::Arc;

use crate::{
    calling::{
        guest::Phase,
        instance::{Instance, within},
    },
    capability::Effective,
    egress::{Permit, Who},
    hostapi::LogSink,
    loading::{self, Compiled, LoadError, descriptor::Descriptor, linking::Linked, loaded::Loaded},
    shared::Shared,
};

/// Links a component and asks it for its descriptor.
pub(crate) async fn describe(
    shared: &Shared,
    name: &str,
    compiled: Compiled,
) -> Result<Arc<Loaded>, LoadError> {
    let shares_beyond = shared.reserve.beyond(compiled.component.resources_required().as_ref())?;
    let linked = Linked::new(&shared.linker, &compiled.component, compiled.exports_batch)
        .map_err(|error| loading::unlinkable(&compiled, &shared.engine, &error))?;
    let limits = Arc::new(loading::describe_limits());
    let who = Arc::new(Who { plugin: name.to_owned(), ..Who::default() });
    let permit = Permit::new(Arc::clone(&who), Effective::default(), &shared.egress.clients);
    let permit = Arc::new(permit);
    let log = LogSink::new(who, String::new(), limits.log_lines, limits.log_bytes);
    let capacity = shared.check_capacity(shares_beyond).await;
    let call = shared.call(Phase::Describe, permit, Arc::clone(&limits), Arc::clone(&log), Arc::default());
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
    let mut all = shared.loaded.lock();
    all.retain(|_, loaded| loaded.strong_count() > 0);
    all.insert(loaded.compiled.digest.clone(), Arc::downgrade(&loaded));
    Ok(loaded)
}
