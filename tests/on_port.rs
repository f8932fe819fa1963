//! A server on a free port of loopback, which it keeps when it is started again.

use std::process::Command;

use crate::guarded::{Guarded, free_port};

/// A port that was free may be taken by the time the server wants it, and one that was left may not be free yet.
const TRIES: usize = 20;

/// A server; killed when dropped.
pub(crate) struct OnPort {
    port: u16,
    command: Box<dyn Fn(&str) -> Command + Send + Sync>,
    /// What a line of its output holds once it listens.
    ready: &'static str,
    process: Option<Guarded>,
}

impl OnPort {
    /// Starts what `command` makes of a port.
    pub(crate) fn start(
        ready: &'static str,
        command: impl Fn(&str) -> Command + Send + Sync + 'static,
    ) -> Self {
        let mut server = Self { port: 0, command: Box::new(command), ready, process: None };
        let started = (0..TRIES).any(|_| {
            server.port = free_port();
            server.try_start()
        });
        assert!(started, "{:?} does not start", (server.command)("PORT"));
        server
    }

    /// Its port on 127.0.0.1.
    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// Kills it; connections to it are reset.
    pub(crate) fn kill(&mut self) {
        self.process = None;
    }

    /// Starts it again on the same port.
    pub(crate) fn start_again(&mut self) {
        assert!((0..TRIES).any(|_| self.try_start()), "{:?} does not start again", (self.command)("PORT"));
    }

    fn try_start(&mut self) -> bool {
        let command = (self.command)(&self.port.to_string());
        self.process = Guarded::start(&command, self.ready).map(|(process, _)| process);
        self.process.is_some()
    }
}
