//! A small shop whose orders are observed: its folder, its database, its receiver and its host processes.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use aftercommit_tests::Receiver;
use rusqlite::Connection;
use serde_json::Value;
use tempfile::TempDir;

/// A signing secret made for tests.
pub(crate) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

const SCHEMA: &str =
    "CREATE TABLE orders (id INTEGER PRIMARY KEY, status TEXT NOT NULL, total NUMERIC NOT NULL)";

/// A shop. Everything it made is gone when it is dropped.
pub(crate) struct Shop {
    /// Where its orders are told.
    pub(crate) receiver: Receiver,
    folder: TempDir,
}

/// A host process of a shop; killed when dropped.
pub(crate) struct HostProcess {
    child: Child,
}

impl Shop {
    /// A migrated database with a captured table `orders`, and no observers yet. `config` is added to the file.
    pub(crate) async fn open(config: &str) -> Self {
        let shop =
            Self { receiver: Receiver::start().await, folder: TempDir::new().expect("a temporary folder") };
        let written =
            format!("[database]\nurl = \"sqlite:shop.db\"\n[observers]\nfile = \"observers.toml\"\n{config}");
        shop.write("aftercommit.toml", &written);
        shop.write("observers.toml", "observers = []\n");
        shop.sql(SCHEMA);
        shop.run(&["migrate"]);
        shop.run(&["capture", "add", "orders", "--entity", "Order"]);
        shop
    }

    /// Writes a file into its folder.
    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("the folder is ours");
    }

    /// A path in its folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Applies observers, given as TOML.
    pub(crate) fn observe(&self, observers: &str) {
        self.write("observers.toml", observers);
        self.run(&["observers", "apply", "observers.toml", "--prune"]);
    }

    /// Acts as the application.
    pub(crate) fn sql(&self, statements: &str) {
        self.connect().execute_batch(statements).unwrap_or_else(|error| panic!("{statements}: {error}"));
    }

    /// A connection of the application.
    pub(crate) fn connect(&self) -> Connection {
        let connection = Connection::open(self.path("shop.db")).expect("the database opens");
        connection.busy_timeout(Duration::from_secs(30)).expect("any time is one");
        connection
    }

    /// The count that a statement selects.
    pub(crate) fn count(&self, statement: &str) -> i64 {
        let count = self.connect().query_row(statement, (), |row| row.get(0));
        count.unwrap_or_else(|error| panic!("{statement}: {error}"))
    }

    /// The program, in the shop's folder, with nothing of the tests' own environment that it reads.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program());
        command.args(arguments).current_dir(self.folder.path()).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.folder.path()).env("WEBHOOK_SECRET", SECRET);
        command
    }

    /// Runs a command to its end; panics with its messages unless it exits with 0. Returns what it printed.
    pub(crate) fn run(&self, arguments: &[&str]) -> String {
        let output = self.output(arguments);
        let messages = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "aftercommit {arguments:?}: {}\n{messages}", output.status);
        String::from_utf8(output.stdout).expect("text")
    }

    /// Runs a command to its end.
    pub(crate) fn output(&self, arguments: &[&str]) -> Output {
        self.command(arguments).stdin(Stdio::null()).output().expect("the program starts")
    }

    /// What a command prints with `--output json`.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let printed = self.run(&[arguments, &["--output", "json"]].concat());
        serde_json::from_str(&printed)
            .unwrap_or_else(|error| panic!("{arguments:?} printed {printed}: {error}"))
    }

    /// Starts a host process; returns when it is ready.
    pub(crate) fn start_host(&self) -> HostProcess {
        let log =
            fs::OpenOptions::new().create(true).append(true).open(self.path("host.log")).expect("a log file");
        let mut child = self
            .command(&["run"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("the program starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let ready = lines.any(|line| line.is_ok_and(|line| line == "aftercommit ready"));
        let host = HostProcess { child };
        assert!(ready, "the host ended before it was ready:\n{}", self.host_log());
        host
    }

    /// What its hosts logged so far.
    pub(crate) fn host_log(&self) -> String {
        fs::read_to_string(self.path("host.log")).unwrap_or_default()
    }

    /// Waits until `done` holds, looking often; panics with the hosts' log after `at_most`.
    pub(crate) async fn eventually(&self, at_most: Duration, what: &str, done: impl AsyncFn(&Self) -> bool) {
        let wait = async {
            while !done(self).await {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let done = tokio::time::timeout(at_most, wait).await;
        assert!(done.is_ok(), "{what}: not within {at_most:?}\n{}", self.host_log());
    }
}

impl HostProcess {
    /// Ends it with SIGKILL, as a crash would.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it was started here");
    }

    /// Asks it to stop (SIGTERM) and waits for its end; returns whether it exited with 0.
    pub(crate) fn stop(mut self) -> bool {
        let id = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(id, rustix::process::Signal::TERM).expect("it runs");
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

/// The program, built beside the tests.
pub(crate) fn program() -> PathBuf {
    let tests = std::env::current_exe().expect("known");
    let folder = tests.parent().and_then(Path::parent).expect("target/PROFILE/deps/NAME");
    let program = folder.join("aftercommit");
    assert!(program.exists(), "{} is missing: run `cargo build --workspace` first", program.display());
    program
}
