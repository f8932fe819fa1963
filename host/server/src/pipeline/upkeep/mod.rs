//! Duties beside the flow of deliveries. None is given input: each looks at the store, so that a start and a normal
//! day take the same path. One file a duty.

mod captures;
pub(super) mod heartbeat;
mod holds;
mod reload;
mod retention;
mod secret_folder;
pub(super) mod takeover;

pub(super) use captures::captures;
pub(super) use heartbeat::heartbeat;
pub(super) use holds::{follow_holds, holds, recall_rates};
pub(super) use reload::{Reload, reload};
pub(super) use retention::{RetentionSettings, retention};
pub(super) use secret_folder::SecretFolder;
pub(super) use takeover::takeover;
