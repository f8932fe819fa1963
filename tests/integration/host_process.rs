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
        self.signal(Signal::TERM);
        self.child.wait().expect("it was started here").success()
    }

    /// Stops it in the middle of what it does (SIGSTOP), until [`go_on`](Self::go_on).
    pub(crate) fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// After [`freeze`](Self::freeze).
    pub(crate) fn go_on(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        rustix::process::kill_process(Pid::from_child(&self.child), signal).expect("it runs");
    }

    /// Whether it has not ended.
    pub(crate) fn runs(&mut self) -> bool {
        self.child.try_wait().expect("it was started here").is_none()
    }

    /// The most memory it ever had at once (`VmHWM`), in MiB.
    pub(crate) fn peak_memory_mib(&self) -> u64 {
        self.kib_of("status", "VmHWM") / 1024
    }

    /// The memory that it has now, in MiB: a field of `smaps_rollup`, such as `Rss` or `Anonymous`.
    pub(crate) fn memory_mib(&self, field: &str) -> u64 {
        self.kib_of("smaps_rollup", field) / 1024
    }

    /// How many files and connections it has open.
    pub(crate) fn open_files(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.child.id())).expect("it runs").count()
    }

    fn kib_of(&self, file: &str, field: &str) -> u64 {
        let text = fs::read_to_string(format!("/proc/{}/{file}", self.child.id())).expect("it runs");
        let value = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        let kib = value.and_then(|value| value.trim().trim_end_matches(" kB").parse().ok());
        kib.unwrap_or_else(|| panic!("no number {field} in {file}: {text}"))
    }
}

impl Drop for HostProcess {
    fn drop(&mut self) {
        // Ended already, if the test came to its end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
