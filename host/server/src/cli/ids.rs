//! Ids on the command line.

use aftercommit_core::DeliveryId;
use uuid::Uuid;

/// Reads a UUID; for clap.
pub(super) fn uuid(text: &str) -> Result<Uuid, String> {
    Uuid::parse_str(text)
        .map_err(|_| "an id is a UUID, such as 0198f0a2-7b1c-7d30-9f4e-3c5b7a9d1e2f".to_owned())
}

/// Reads the id of a delivery; for clap.
pub(super) fn delivery(text: &str) -> Result<DeliveryId, String> {
    uuid(text).map(DeliveryId)
}
