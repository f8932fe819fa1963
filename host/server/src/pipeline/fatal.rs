//! What a host does not outlive: its database is another one than it began with. Nothing that it owns is there any more, and
//! whatever it wrote would be written into the wrong place. So it ends, and whoever started it decides.

use std::sync::{Arc, OnceLock};

use aftercommit_store::StoreError;
use tokio_util::sync::CancellationToken;

/// Tells the host that it has to end.
#[derive(Clone, Default)]
pub(super) struct Fatal {
    why: Arc<OnceLock<String>>,
    told: CancellationToken,
}

impl Fatal {
    /// Looks at what a duty met.
    pub(super) fn look_at(&self, error: &StoreError) {
        if ends_the_host(error) {
            self.end(error.to_string());
        }
    }

    fn end(&self, why: String) {
        // The first to find out tells.
        if self.why.set(why).is_ok() {
            self.told.cancel();
        }
    }

    /// Returns why, once the host has to end.
    pub(super) async fn ended(&self) -> String {
        self.told.cancelled().await;
        self.why.get().cloned().unwrap_or_default()
    }
}

/// Whether an error of the store ends the host. Whatever else happens to a database may pass.
const fn ends_the_host(error: &StoreError) -> bool {
    matches!(error, StoreError::FileReplaced { .. })
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures::poll;

    use super::*;

    #[tokio::test]
    async fn the_first_reason_is_the_one_that_is_told() {
        let fatal = Fatal::default();
        let other = fatal.clone();
        let mut ended = pin!(other.ended());
        assert!(poll!(&mut ended).is_pending());
        fatal.end("replaced".to_owned());
        fatal.end("gone".to_owned());
        assert_eq!(ended.await, "replaced");
    }

    #[tokio::test]
    async fn an_error_that_may_pass_does_not_end_the_host() {
        let fatal = Fatal::default();
        fatal.look_at(&StoreError::Locked { database: "d".into(), why: "busy".into() });
        assert!(poll!(pin!(fatal.ended())).is_pending());
    }
}
