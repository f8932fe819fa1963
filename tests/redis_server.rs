//! A Redis server of its own, on a free port of loopback, without files.

use std::process::Command;

use crate::{certificate::Certificate, guarded::program, on_port::OnPort};

/// A server; killed when dropped.
pub struct RedisServer(OnPort);

impl RedisServer {
    /// A server without a password.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// A server with settings such as `["--requirepass", "secret"]`.
    #[must_use]
    pub fn start_with(settings: &[&str]) -> Self {
        Self::listening("--port", settings)
    }

    /// `option` is what names the port.
    fn listening(option: &'static str, settings: &[&str]) -> Self {
        let settings: Vec<String> = settings.iter().map(|word| (*word).to_owned()).collect();
        Self(OnPort::start("Ready to accept connections", move |port| {
            let mut command = program("redis-server");
            command.args([option, port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
            command.args(["--daemonize", "no"]).args(&settings);
            command
        }))
    }

    /// A server that speaks TLS only.
    #[must_use]
    pub fn start_tls(certificate: &Certificate) -> Self {
        let path = |path: std::path::PathBuf| path.display().to_string();
        let settings = [
            "--port",
            "0",
            "--tls-cert-file",
            &path(certificate.cert()),
            "--tls-key-file",
            &path(certificate.key()),
            "--tls-auth-clients",
            "no",
        ];
        Self::listening("--tls-port", &settings)
    }

    /// Its port on 127.0.0.1.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.0.port()
    }

    /// `redis://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port())
    }

    /// Kills it; connections to it are reset.
    pub fn kill(&mut self) {
        self.0.kill();
    }

    /// Starts it again on the same port, with nothing in it.
    pub fn start_again(&mut self) {
        self.0.start_again();
    }

    /// What `redis-cli` prints for a command, without the line's end.
    #[must_use]
    pub fn ask(&self, words: &[&str]) -> String {
        let port = self.port().to_string();
        let mut command = Command::new("redis-cli");
        command.args(["-h", "127.0.0.1", "-p", &port]).args(words);
        let output = command.output().expect("redis-cli comes with redis-server");
        String::from_utf8_lossy(&output.stdout).trim_end_matches('\n').to_owned()
    }
}
