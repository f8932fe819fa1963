//! An SMTP server of its own: aiosmtpd, in the Python environment that `cargo xtask test` makes.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::certificate::Certificate;

/// How connections to the server are protected.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SmtpTls {
    /// Not at all.
    None,
    /// After STARTTLS, which it insists on.
    Starttls,
    /// From the first byte.
    Implicit,
}

/// A server. Its user is `shop`, its password [`SmtpServer::PASSWORD`], if it has one.
pub struct SmtpServer {
    folder: TempDir,
    settings: Value,
    port: u16,
    process: Option<Running>,
}

struct Running {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// A message that the server has accepted.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// `sender`, `recipients`, `hello`, `tls`, `login` and `peer` (the client's port).
    pub about: Value,
    /// As it came.
    pub message: Vec<u8>,
}

impl SmtpServer {
    /// The password of the user `shop`.
    pub const PASSWORD: &str = "p\u{e4}ss word \"7\"";

    /// A server without TLS and without login.
    #[must_use]
    pub fn start() -> Self {
        Self::start_as(&json!({"tls": "none"}))
    }

    /// A server with TLS; with `login`, it wants one.
    #[must_use]
    pub fn start_tls(tls: SmtpTls, certificate: &Certificate, login: bool) -> Self {
        let tls = match tls {
            SmtpTls::None => "none",
            SmtpTls::Starttls => "starttls",
            SmtpTls::Implicit => "implicit",
        };
        let mut settings = json!({"tls": tls, "cert": certificate.cert(), "key": certificate.key()});
        if login {
            settings["user"] = "shop".into();
            settings["password"] = Self::PASSWORD.into();
        }
        Self::start_as(&settings)
    }

    /// A server with settings of `smtp_server.py`.
    #[must_use]
    pub fn start_as(settings: &Value) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let mut settings = settings.clone();
        settings["folder"] = folder.path().display().to_string().into();
        let mut server = Self { folder, settings, port: 0, process: None };
        server.start_again();
        server
    }

    /// Its port on 127.0.0.1.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Kills it.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.child.kill().expect("it runs");
            process.child.wait().expect("it was started here");
        }
    }

    /// Starts it, on the port that it had.
    pub fn start_again(&mut self) {
        self.settings["port"] = self.port.into();
        let mut child = Command::new(python())
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("smtp_server.py"))
            .arg(self.settings.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the environment has a Python");
        let (orders, answers) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
        let mut process = Running { child, orders, answers: BufReader::new(answers) };
        let line = process.answer();
        self.port = line.trim_start_matches("ready ").parse().unwrap_or_else(|_| panic!("it said `{line}`"));
        self.process = Some(process);
    }

    /// Has it close all its connections; returns when they are closed.
    pub fn close_connections(&mut self) {
        let process = self.process.as_mut().expect("it runs");
        process.orders.write_all(b"close\n").expect("it listens");
        assert_eq!(process.answer(), "done");
    }

    /// What it has accepted since it was started, in order.
    #[must_use]
    pub fn accepted(&self) -> Vec<Accepted> {
        let entries = fs::read_dir(self.folder.path()).expect("the folder is ours").flatten();
        let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        files.retain(|file| file.extension().is_some_and(|kind| kind == "json"));
        files.sort();
        let read = |file: &PathBuf| fs::read(file).expect("it is written");
        files
            .iter()
            .map(|file| Accepted {
                about: serde_json::from_slice(&read(file)).expect("JSON"),
                message: read(&file.with_extension("eml")),
            })
            .collect()
    }
}

impl Running {
    fn answer(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("text");
        line.trim_end().to_owned()
    }
}

impl Drop for SmtpServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The Python of the environment that has aiosmtpd.
fn python() -> PathBuf {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools/aiosmtpd/bin/python");
    assert!(python.exists(), "{} is missing: `cargo xtask test` makes it", python.display());
    python
}
