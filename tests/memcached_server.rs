//! A Memcached server of its own, on a free port of loopback.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::TcpStream,
};

use crate::{guarded::program, on_port::OnPort};

/// A server; killed when dropped.
pub struct MemcachedServer(OnPort);

impl MemcachedServer {
    /// A server with nothing in it.
    #[must_use]
    pub fn start() -> Self {
        Self(OnPort::start("server listening", |port| {
            let mut command = program("memcached");
            // As root it wants to be told a user; at this level it says when it listens.
            command.args(["-u", "nobody", "-l", "127.0.0.1", "-U", "0", "-p", port, "-vv"]);
            command
        }))
    }

    /// `memcached://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("memcached://127.0.0.1:{}", self.0.port())
    }

    /// Kills it.
    pub fn kill(&mut self) {
        self.0.kill();
    }

    /// Starts it again on the same port, with nothing in it.
    pub fn start_again(&mut self) {
        self.0.start_again();
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
        let mut stream = TcpStream::connect(("127.0.0.1", self.0.port())).expect("it listens");
        stream.write_all(command.as_bytes()).expect("it reads");
        BufReader::new(stream).lines().map_while(Result::ok)
    }
}
