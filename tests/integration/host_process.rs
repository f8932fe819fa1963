//! A host as a process of its own.

use std::process::Child;

use rustix::process::{Pid, Signal};

/// A host process of a shop; killed when dropped.
pub(crate) struct HostProcess {
    child: Child,
}

impl HostProcess {
    pub(crate) const fn of(child: Child) -> Self {
        Self { child }
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
}

impl Drop for HostProcess {
    fn drop(&mut self) {
        // Ended already, if the test came to its end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
