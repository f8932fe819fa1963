//! A control group of Linux whose processes have so much memory and no more: the kernel kills one that needs more.

use std::{
    fs,
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU32, Ordering},
};

static NEXT: AtomicU32 = AtomicU32::new(1);

/// The group; removed when dropped, so its processes have to have ended before.
pub(crate) struct MemoryGroup(PathBuf);

impl MemoryGroup {
    /// A group with so many bytes and no swap. Panics where this process may not make one.
    pub(crate) fn create(bytes: u64) -> Self {
        Self::try_create(bytes).unwrap_or_else(|error| {
            panic!(
                "no control group with a bound of memory below /sys/fs/cgroup: {error}\nRun these tests as root, and in a \
                 container with its control groups writable (`--privileged`, or `-v /sys/fs/cgroup:/sys/fs/cgroup:rw`)"
            )
        })
    }

    fn try_create(bytes: u64) -> Result<Self, String> {
        let groups = Path::new("/sys/fs/cgroup");
        let children = groups.join("cgroup.subtree_control");
        let (parent, limit, swap) = if children.exists() {
            // Without the controller for children the limit below is not there, which says so.
            let _ = fs::write(&children, "+memory");
            (groups.to_path_buf(), "memory.max", "memory.swap.max")
        } else {
            // Version 1 of control groups has a tree for each controller.
            (groups.join("memory"), "memory.limit_in_bytes", "memory.memsw.limit_in_bytes")
        };
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let group = Self(parent.join(format!("aftercommit-test-{}-{number}", process::id())));
        let shown = |path: &Path, error: std::io::Error| format!("{}: {error}", path.display());
        fs::create_dir(&group.0).map_err(|error| shown(&group.0, error))?;
        let path = group.0.join(limit);
        fs::write(&path, bytes.to_string()).map_err(|error| shown(&path, error))?;
        // Version 1 bounds memory and swap together. A kernel that does not count swap has no such file.
        let swap_bytes = if swap == "memory.swap.max" { 0 } else { bytes };
        let _ = fs::write(group.0.join(swap), swap_bytes.to_string());
        Ok(group)
    }

    /// A process that writes its number here is in the group, with all that it starts.
    pub(crate) fn processes(&self) -> PathBuf {
        self.0.join("cgroup.procs")
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        // Not empty yet, if a process of it lives: then it stays, and does no harm.
        let _ = fs::remove_dir(&self.0);
    }
}
