//! A small shop whose orders are observed: its folder, its database, its receiver and its host processes.

use std::{
    ffi::OsStr,
    fmt::Debug,
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    str::FromStr,
    time::Duration,
};

use aftercommit_tests::Receiver;
use serde_json::Value;
use tempfile::TempDir;

use crate::{host_process::HostProcess, memory_group::MemoryGroup};

/// A signing secret made for tests.
pub(crate) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// What the secret `HOST_NAME` is, unless a host has a name of its own.
const UNNAMED: &str = "unnamed";

const SCHEMA: &str =
    "CREATE TABLE orders (id INTEGER PRIMARY KEY, status TEXT NOT NULL, total NUMERIC NOT NULL)";

/// Where a shop's data is, as the application reaches it.
pub(crate) trait Database {
    /// What the hosts' configuration names.
    fn url(&self) -> String;

    /// Runs statements.
    async fn execute(&self, statements: &str) -> Result<(), String>;

    /// The first value that a query selects, as text; `None` for null and for no row.
    async fn ask(&self, query: &str) -> Result<Option<String>, String>;

    /// All rows of all tables, as text.
    async fn dump(&self) -> Result<String, String>;
}

/// A shop. Everything it made is gone when it is dropped.
pub(crate) struct Shop<D> {
    /// Where its orders are told.
    pub(crate) receiver: Receiver,
    /// Where they are.
    pub(crate) database: D,
    folder: TempDir,
    /// What its programs find in their environment beside the usual.
    environment: Vec<(String, String)>,
}

impl<D: Database> Shop<D> {
    /// A migrated database with a captured table `orders`, and no observers yet. `config` is added to the file.
    pub(crate) async fn of(folder: TempDir, database: D, config: &str) -> Self {
        let shop = Self::unmigrated(folder, database, config).await;
        shop.run(&["migrate"]);
        shop.capture("orders", "Order", &[]);
        shop
    }

    /// The same without tables of the host's, and nothing captured.
    pub(crate) async fn unmigrated(folder: TempDir, database: D, config: &str) -> Self {
        let shop = Self { receiver: Receiver::start().await, database, folder, environment: Vec::new() };
        let (url, compiled) = (shop.database.url(), compiled());
        let written = format!(
            "[database]\nurl = \"{url}\"\n[observers]\nfile = \"observers.toml\"\n[runtime]\ncache_dir = \"{}\"\n\
             [admin]\nlisten = \"off\"\n{config}",
            compiled.display()
        );
        shop.write("aftercommit.toml", &written);
        shop.write("observers.toml", "observers = []\n");
        shop.sql(SCHEMA).await;
        shop
    }

    /// Captures a table.
    pub(crate) fn capture(&self, table: &str, entity_type: &str, more: &[&str]) {
        self.run(&[&["capture", "add", table, "--entity", entity_type], more].concat());
    }

    /// Writes a file into its folder.
    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("the folder is ours");
    }

    /// A path in its folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Sets a variable of the environment of its programs, such as a secret.
    pub(crate) fn set_env(&mut self, name: &str, value: impl Into<String>) {
        self.environment.push((name.to_owned(), value.into()));
    }

    /// Applies observers, given as TOML.
    pub(crate) fn observe(&self, observers: &str) {
        self.write("observers.toml", observers);
        self.run(&["observers", "apply", "observers.toml", "--prune"]);
    }

    /// Acts as the application.
    pub(crate) async fn sql(&self, statements: &str) {
        let done = self.database.execute(statements).await;
        done.unwrap_or_else(|error| panic!("{statements}: {error}"));
    }

    /// The one value that a query selects.
    pub(crate) async fn value<T: FromStr<Err: Debug>>(&self, query: &str) -> T {
        let value = self.database.ask(query).await.unwrap_or_else(|error| panic!("{query}: {error}"));
        value.unwrap_or_else(|| panic!("{query}: nothing")).parse().expect("a value of this type")
    }

    /// The count that a query selects.
    pub(crate) async fn count(&self, query: &str) -> i64 {
        self.value(query).await
    }

    /// The program, in the shop's folder, with nothing of the tests' own environment that it reads.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.command_of(program());
        command.args(arguments);
        command
    }

    fn command_of(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.folder.path()).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.folder.path()).env("WEBHOOK_SECRET", SECRET);
        command.env("HOST_NAME", UNNAMED);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
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
        self.start_host_as(UNNAMED)
    }

    /// The same; the secret `HOST_NAME` is a name of its own, so that an observer can tell who delivered.
    pub(crate) fn start_host_as(&self, name: &str) -> HostProcess {
        self.ready(self.spawn(self.command(&["run"]), name, Stdio::piped()))
    }

    /// The same in a group.
    pub(crate) fn start_host_in(&self, group: &MemoryGroup) -> HostProcess {
        self.ready(self.spawn(self.command_in(group, &["run"]), UNNAMED, Stdio::piped()))
    }

    /// The program in a group.
    pub(crate) fn command_in(&self, group: &MemoryGroup, arguments: &[&str]) -> Command {
        // The process joins before it is the program, so that all its memory counts.
        let mut command = self.command_of("sh");
        command.args(["-c", r#"echo $$ >"$0" && exec "$@""#]).arg(group.processes());
        command.arg(program()).args(arguments);
        command
    }

    /// Waits until a host is ready.
    fn ready(&self, mut child: Child) -> HostProcess {
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let host = HostProcess::of(child);
        let ready = lines.any(|line| line.is_ok_and(|line| line == "aftercommit ready"));
        assert!(ready, "the host ended before it was ready:\n{}", self.host_log());
        host
    }

    /// Starts a host process and does not wait for it.
    pub(crate) fn launch_host(&self) -> HostProcess {
        HostProcess::of(self.spawn(self.command(&["run"]), UNNAMED, Stdio::null()))
    }

    fn spawn(&self, mut command: Command, name: &str, stdout: Stdio) -> Child {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.path("host.log"));
        command.env("HOST_NAME", name);
        command.stdin(Stdio::null()).stdout(stdout).stderr(log.expect("a log file"));
        command.spawn().expect("the program starts")
    }

    /// What its hosts logged so far.
    pub(crate) fn host_log(&self) -> String {
        fs::read_to_string(self.path("host.log")).unwrap_or_default()
    }

    /// The last lines of it, where it may be too long to be shown.
    pub(crate) fn end_of_host_log(&self) -> String {
        const LINES: usize = 200;
        let log = self.host_log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LINES)..].join("\n")
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

    /// Waits until nothing is left to do: neither in the inbox nor among the deliveries.
    pub(crate) async fn all_done(&self, at_most: Duration) {
        const LEFT: &str =
            "SELECT (SELECT count(*) FROM observer_inbox) + (SELECT count(*) FROM observer_deliveries)";
        self.eventually(at_most, "all is done", async |shop| {
            shop.database.ask(LEFT).await.is_ok_and(|left| left.as_deref() == Some("0"))
        })
        .await;
    }
}

/// An observer of orders with one webhook, as TOML; `more` are further keys of the observer.
pub(crate) fn webhook(name: &str, more: &str, url: &str) -> String {
    format!(
        "[[observers]]\nname = \"{name}\"\nentity_type = \"Order\"\n{more}\n[[observers.actions]]\ntype = \"webhook\"\n\
         url = \"{url}\"\ngrants = {{ private_network = true }}\n"
    )
}

/// The program, built beside the tests.
pub(crate) fn program() -> PathBuf {
    let tests = std::env::current_exe().expect("known");
    let folder = tests.parent().and_then(Path::parent).expect("target/PROFILE/deps/NAME");
    let program = folder.join("aftercommit");
    assert!(program.exists(), "{} is missing: run `cargo build --workspace` first", program.display());
    program
}

/// Where hosts keep compiled plugins: one place for all shops, so that each plugin is compiled once.
fn compiled() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled")
}
