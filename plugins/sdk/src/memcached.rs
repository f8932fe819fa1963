//! Keys of a Memcached server, and what its errors mean for a delivery.

use crate::Failure;
pub use crate::bindings::aftercommit::action::memcached::{MemcachedError, delete, set};

/// The granted connection of this name, or the only one granted.
pub const DEFAULT: &str = "default";

/// What the server says of a value that is larger than it takes.
const TOO_LARGE: &str = "object too large for cache";

impl From<MemcachedError> for Failure {
    fn from(error: MemcachedError) -> Self {
        match error {
            MemcachedError::Denied(why) => Self::misconfigured("memcached_denied", why),
            MemcachedError::NotConfigured(why) => Self::misconfigured("memcached_not_configured", why),
            MemcachedError::InvalidKey(why) => Self::permanent("invalid_key", why),
            MemcachedError::Connect(why) => Self::transient("connect", why),
            MemcachedError::Timeout => Self::transient("timeout", "no answer in time"),
            MemcachedError::Refused(why) => Self::permanent("memcached_refused", why),
            MemcachedError::Server(why) if why.starts_with(TOO_LARGE) => {
                Self::permanent("value_too_large", why)
            }
            MemcachedError::Server(why) => Self::transient("memcached_server", why),
            MemcachedError::Protocol(why) => Self::transient("protocol", why),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_is_too_large_stays_so() {
        let of = |why: &str| Failure::from(MemcachedError::Server(why.to_owned()));
        assert!(matches!(of("object too large for cache"), Failure::Permanent(_)));
        assert!(matches!(of("out of memory storing object"), Failure::Transient(_)));
    }
}
