//! What happens to hosts and to the server, rather than by them.

use crate::{
    host::Host,
    state::State,
    step::Step,
    tables::{DeadLetter, HOSTS, Heartbeat},
};

impl State {
    pub(crate) fn fate(&mut self, step: Step) {
        match step {
            Step::Start { host } => {
                self.hosts[host].up = true;
                self.tables.hosts[host] = Some(Heartbeat::Fresh);
            }
            Step::Crash { host } => {
                self.faults.crashes -= 1;
                self.crash(host);
            }
            Step::Stop { host } => {
                self.faults.stops -= 1;
                self.hosts[host].stopping = true;
            }
            Step::Expire { name } => self.expire(name),
            Step::Beat { host } => self.tables.hosts[host] = Some(Heartbeat::Fresh),
            Step::Bury { host } => {
                if let Some((event, attempts)) = self.hosts[host].to_bury.take() {
                    self.tables.dead[event] = Some(DeadLetter { attempts });
                }
            }
            Step::FallBehind => self.on_disk = Some(self.tables),
            Step::CrashServer => self.crash_server(),
            other => unreachable!("{other:?} is not fate"),
        }
    }

    /// What was written without waiting is on disk with what waited.
    pub(crate) fn flush(&mut self) {
        if let Some(on_disk) = &mut self.on_disk {
            *on_disk = self.tables;
        }
    }

    /// Its open transaction is rolled back, its memory is gone.
    pub(crate) fn crash(&mut self, host: usize) {
        if let Some(gone) = self.name_of_gone() {
            self.end_run(host, gone);
        }
    }

    fn expire(&mut self, name: usize) {
        self.tables.hosts[name] = Some(Heartbeat::Old);
        if name < HOSTS {
            self.faults.stalls -= 1;
            self.hosts[name].was_silent = true;
        }
    }

    /// Loses a suffix of the commits that did not wait for the disk, and every open transaction.
    fn crash_server(&mut self) {
        self.faults.server_crashes -= 1;
        if let Some(on_disk) = self.on_disk.take() {
            self.tables = on_disk;
        }
        for host in self.hosts.iter_mut().filter(|host| host.up) {
            *host = Host { intake: None, was_silent: true, ..*host };
        }
    }
}
