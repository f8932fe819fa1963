//! A Memcached server of its own, on a free port of loopback.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::TcpStream,
};

use crate::guarded::{Guarded, free_port, program};

/// A server; killed when dropped.
pub struct MemcachedServer {
    port: u16,
    process: Option<Guarded>,
}

impl MemcachedServer {
    /// A server with nothing in it.
    #[must_use]
    pub fn start() -> Self {
        let mut server = Self { port: 0, process: None };
        // A port that was free may be taken by the time the server wants it.
        for _ in 0..20 {
            server.port = free_port();
            if server.try_start() {
                return server;
            }
        }
        panic!("memcached does not start");
    }

    /// `memcached://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("memcached://127.0.0.1:{}", self.port)
    }

    /// Kills it.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Starts it again on the same port, with nothing in it.
    pub fn start_again(&mut self) {
        assert!((0..20).any(|_| self.try_start()), "memcached does not start again");
    }

    fn try_start(&mut self) -> bool {
        let mut command = program("memcached");
        let port = self.port.to_string();
        // As root it wants to be told a user; at this level it says when it listens.
        command.args(["-u", "nobody", "-l", "127.0.0.1", "-U", "0", "-p", &port, "-vv"]);
        self.process = Guarded::start(&command, "server listening").map(|(process, _)| process);
        self.process.is_some()
    }

    /// The value of a key, if it has one.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<String> {
        let mut lines = self.ask(&format!("get {key}\r\n"));
        let first = lines.next().expect("an answer");
        (first != "END").then(|| lines.next().expect("the value"))
    }

    /// Sets a key.
    pub fn set(&self, key: &str, value: &str) {
        let answer = self.ask(&format!("set {key} 0 0 {}\r\n{value}\r\n", value.len())).next();
        assert_eq!(answer.as_deref(), Some("STORED"));
    }

    /// The lines that answer a command.
    pub fn ask(&self, command: &str) -> impl Iterator<Item = String> + use<> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("it listens");
        stream.write_all(command.as_bytes()).expect("it reads");
        BufReader::new(stream).lines().map_while(Result::ok)
    }
}
