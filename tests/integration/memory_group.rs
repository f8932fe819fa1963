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
    /// A group with so many bytes. None where this process may not make one: it is not root, or has no controller.
    pub(crate) fn create(bytes: u64) -> Option<Self> {
        let groups = Path::new("/sys/fs/cgroup");
        let (parent, limit) = match fs::read_to_string(groups.join("cgroup.subtree_control")) {
            Ok(controllers) if controllers.split_whitespace().any(|name| name == "memory") => {
                (groups.to_path_buf(), "memory.max")
            }
            // Version 1 of control groups has a tree for each controller.
            _ => (groups.join("memory"), "memory.limit_in_bytes"),
        };
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let group = Self(parent.join(format!("aftercommit-test-{}-{number}", process::id())));
        fs::create_dir(&group.0).ok()?;
        fs::write(group.0.join(limit), bytes.to_string()).ok()?;
        Some(group)
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
