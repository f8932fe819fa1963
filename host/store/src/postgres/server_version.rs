//! Which servers will do.

use crate::{Result, StoreError};

/// Before it, triggers could not be replaced, and statement triggers on partitioned tables had no transition tables of
/// all partitions, among others.
const OLDEST: i32 = 140_000;

/// Refuses a server that is too old, by `server_version_num` and the name of its version.
pub(super) fn check(database: &str, number: i32, name: &str) -> Result<()> {
    if number >= OLDEST {
        return Ok(());
    }
    Err(StoreError::Refused(format!(
        "the server of {database} is PostgreSQL {name}; aftercommit needs 14 or later"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_is_too_old_is_named() {
        let error = check("postgres://me@db:5432/shop", 130_022, "13.22 (Debian 13.22-1)").unwrap_err();
        assert_eq!(
            error.to_string(),
            "the server of postgres://me@db:5432/shop is PostgreSQL 13.22 (Debian 13.22-1); aftercommit needs 14 or later"
        );
        assert!(!error.is_transient());
        check("postgres://me@db:5432/shop", 140_000, "14.0").unwrap();
    }
}
