//! A host as a process of its own.

use std::{fs, process::Child};

use rustix::process::{Pid, Signal};

/// A host process of a shop; killed when dropped.
pub(crate) struct HostProcess {
    child: Child,
}

impl HostProcess {
    pub(crate) const fn of(child: Child) -> Self {
        Self { child }
    }

    /// Its process's number.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ends it with SIGKILL, as a crash would.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it was started here");
    }

    /// Asks it to stop (SIGTERM) and waits for its end; returns whether it exited with 0.
    pub(crate) fn stop(mut self) -> bool {
        let id = Pid::from_child(&self.child);
        rustix::process::kill_process(id, Signal::TERM).expect("it runs");
        self.child.wait().expect("it was started here").success()
    }

    /// Whether it has not ended.
    pub(crate) fn runs(&mut self) -> bool {
        self.child.try_wait().expect("it was started here").is_none()
    }

    /// The most memory it ever had at once (`VmHWM`), in MiB.
    pub(crate) fn peak_memory_mib(&self) -> u64 {
        self.status_kib("VmHWM:") / 1024
    }

    /// The memory that it has now (`VmRSS`), in MiB.
    pub(crate) fn memory_mib(&self) -> u64 {
        self.status_kib("VmRSS:") / 1024
    }

    /// How many files and connections it has open.
    pub(crate) fn open_files(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.child.id())).expect("it runs").count()
    }

    fn status_kib(&self, field: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix(field)).expect("Linux says it");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }
}

impl Drop for HostProcess {
    fn drop(&mut self) {
        // Ended already, if the test came to its end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
