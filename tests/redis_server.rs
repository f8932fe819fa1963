//! A Redis server of its own, on a free port of loopback, without files.

use std::process::Command;

use crate::{
    certificate::Certificate,
    guarded::{Guarded, free_port, program},
};

/// A server; killed when dropped.
pub struct RedisServer {
    port: u16,
    settings: Vec<String>,
    process: Option<Guarded>,
}

impl RedisServer {
    /// A server without a password.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// A server with settings such as `["--requirepass", "secret"]`.
    #[must_use]
    pub fn start_with(settings: &[&str]) -> Self {
        let mut server = Self {
            port: 0,
            settings: settings.iter().map(|word| (*word).to_owned()).collect(),
            process: None,
        };
        // A port that was free may be taken by the time the server wants it.
        for _ in 0..20 {
            server.port = free_port();
            if server.try_start() {
                return server;
            }
        }
        panic!("redis-server does not start with {settings:?}");
    }

    /// A server that speaks TLS only.
    #[must_use]
    pub fn start_tls(certificate: &Certificate) -> Self {
        let path = |path: std::path::PathBuf| path.display().to_string();
        Self::start_with(&[
            "--tls",
            "--tls-cert-file",
            &path(certificate.cert()),
            "--tls-key-file",
            &path(certificate.key()),
            "--tls-auth-clients",
            "no",
        ])
    }

    /// Its port on 127.0.0.1.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// `redis://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Kills it; connections to it are reset.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Starts it again on the same port, with nothing in it.
    pub fn start_again(&mut self) {
        // The port is nobody else's: free ports are not given out twice in a row.
        assert!((0..20).any(|_| self.try_start()), "redis-server does not start again");
    }

    fn try_start(&mut self) -> bool {
        let mut command = program("redis-server");
        let port = self.port.to_string();
        let mut settings = self.settings.iter().map(String::as_str).peekable();
        if settings.next_if_eq(&"--tls").is_some() {
            command.args(["--port", "0", "--tls-port", &port]);
        } else {
            command.args(["--port", &port]);
        }
        command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--daemonize", "no"]);
        command.args(settings);
        self.process = Guarded::start(&command, "Ready to accept connections").map(|(process, _)| process);
        self.process.is_some()
    }

    /// What `redis-cli` prints for a command, without the line's end.
    #[must_use]
    pub fn ask(&self, words: &[&str]) -> String {
        let port = self.port.to_string();
        let mut command = Command::new("redis-cli");
        command.args(["-h", "127.0.0.1", "-p", &port]).args(words);
        let output = command.output().expect("redis-cli comes with redis-server");
        String::from_utf8_lossy(&output.stdout).trim_end_matches('\n').to_owned()
    }
}
