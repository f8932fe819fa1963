//! What an instance takes of the engine's pool, and the reserve for plugins that take more than others.
//!
//! The pool has so many memories and tables. For each instance that may run it holds a usual share of them. What a plugin
//! takes beyond that share comes from a reserve, which plugins that take little never touch: so these never wait for those
//! that take much, and never find the pool empty.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime::ResourcesRequired;

use crate::loading::LoadError;

/// A share: memories and tables of one instance. Rust takes 1 memory and 2 tables, JavaScript and Python 1 or 2 memories.
pub(crate) const MEMORIES_EACH: u32 = 2;
pub(crate) const TABLES_EACH: u32 = 3;
/// Shares in the reserve of a small host: enough for two of the largest instances that load.
const LEAST_SHARES: u32 = 32;

/// Shares beyond those of the instances that may run.
pub(crate) struct Reserve {
    shares: Arc<Semaphore>,
    total: u32,
}

impl Reserve {
    /// How many shares the pool holds beyond those of its instances.
    pub(crate) fn shares(max_instances: u32) -> u32 {
        (max_instances / 2).max(LEAST_SHARES)
    }

    pub(crate) fn new(max_instances: u32) -> Self {
        let total = Self::shares(max_instances);
        Self { shares: Arc::new(Semaphore::new(total as usize)), total }
    }

    /// The shares that an instance takes beyond the usual one. One that would take more than half of the reserve does not
    /// load: idle instances may keep the other half.
    pub(crate) fn beyond(&self, required: Option<&ResourcesRequired>) -> Result<u32, LoadError> {
        let Some(ResourcesRequired { num_memories, num_tables, .. }) = required else {
            let what =
                "modules that are not its own, so that nobody knows what an instance of it takes".to_owned();
            return Err(LoadError::TooHeavy { what });
        };
        let shares = num_memories.div_ceil(MEMORIES_EACH).max(num_tables.div_ceil(TABLES_EACH));
        let beyond = shares.saturating_sub(1);
        let most = self.total / 2;
        if beyond > most {
            let what = format!(
                "{num_memories} memories and {num_tables} tables for each instance; this host has room for {} and {} (`max_concurrency` \
                 of `[dispatch]` decides)",
                (most + 1) * MEMORIES_EACH,
                (most + 1) * TABLES_EACH
            );
            return Err(LoadError::TooHeavy { what });
        }
        Ok(beyond)
    }

    /// Waits for so many shares. Held for as long as the instance is there.
    pub(crate) async fn take(&self, shares: u32) -> Option<OwnedSemaphorePermit> {
        if shares == 0 {
            return None;
        }
        // The semaphore is never closed, and has that many.
        Arc::clone(&self.shares).acquire_many_owned(shares).await.ok()
    }

    /// Whether an idle instance may keep its shares: the largest that loads has room all the same.
    pub(crate) fn has_spare(&self) -> bool {
        self.shares.available_permits() >= (self.total / 2) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn required(num_memories: u32, num_tables: u32) -> ResourcesRequired {
        ResourcesRequired {
            num_memories,
            max_initial_memory_size: None,
            num_tables,
            max_initial_table_size: None,
        }
    }

    #[test]
    fn an_instance_is_charged_for_what_it_takes() {
        let reserve = Reserve::new(64);
        for (memories, tables, beyond) in
            [(0, 0, 0), (1, 2, 0), (2, 3, 0), (3, 0, 1), (17, 2, 8), (1, 40, 13), (34, 51, 16)]
        {
            assert_eq!(
                reserve.beyond(Some(&required(memories, tables))).unwrap(),
                beyond,
                "{memories}, {tables}"
            );
        }
        for (memories, tables) in [(35, 0), (0, 52), (u32::MAX, u32::MAX)] {
            let told = reserve.beyond(Some(&required(memories, tables))).unwrap_err().to_string();
            assert!(told.contains("has room for 34 and 51"), "{told}");
        }
        assert!(reserve.beyond(None).is_err());
    }

    #[tokio::test]
    async fn idle_instances_leave_room_for_the_largest() {
        let reserve = Reserve::new(8);
        let half = reserve.take(16).await;
        assert!(reserve.has_spare());
        let more = reserve.take(1).await;
        assert!(!reserve.has_spare());
        drop(more);
        let rest = reserve.take(16).await;
        drop((half, rest));
        assert!(reserve.take(0).await.is_none());
    }
}
