//! One task listens to the store's doorbell and tells everyone who waits. A hint, never the only way to learn.

use std::{sync::Arc, time::Duration};

use aftercommit_store::Backend;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Hears when something may have been committed.
#[derive(Clone)]
pub(super) struct Bell(watch::Receiver<()>);

/// Rings it until `stop`.
pub(super) fn hang(store: Arc<dyn Backend>, stop: CancellationToken) -> (Bell, impl Future<Output = ()>) {
    let (ring, heard) = watch::channel(());
    let listen = async move {
        while stop.run_until_cancelled(store.doorbell()).await.is_some() {
            ring.send_replace(());
        }
    };
    (Bell(heard), listen)
}

impl Bell {
    /// Returns when the bell has rung since the last call, or after `at_most`.
    pub(super) async fn wait(&mut self, at_most: Duration) {
        match tokio::time::timeout(at_most, self.0.changed()).await {
            Ok(Ok(())) | Err(_) => {}
            // Nobody rings any more: the host stops. Poll until told.
            Ok(Err(_)) => tokio::time::sleep(at_most).await,
        }
    }
}
