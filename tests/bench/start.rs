//! How long the program takes to be ready, what it holds in memory then, and what it costs while nothing happens.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::{
    figure::{self, Figure},
    memory::{processor_secs, resident_mib},
};

const STARTS: usize = 10;

/// For so long the idle host is watched: some of its polls and each of its heartbeats come several times.
const IDLE: Duration = Duration::from_secs(30);

/// What the example's configuration names.
const SECRETS: [&str; 4] = ["TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "APNS_KEY", "SEARCH_API_KEY"];

pub(crate) async fn measure() {
    figure::section("start");
    let Some(program) = program() else {
        println!("skipped: build the program first (cargo build --release --workspace)");
        return;
    };
    let folder = prepare();
    run_to_end(&program, &folder, &["migrate"]);
    let mut compiling = Figure::new("ms");
    compiling.add(Host::start(&program, &folder).ready_ms);
    let (mut cached, mut memory, mut nothing) = (Figure::new("ms"), Figure::new("MiB"), Figure::new("ms"));
    for _ in 0..STARTS {
        let started = Instant::now();
        run_to_end(&program, &folder, &["--version"]);
        nothing.add(started.elapsed().as_secs_f64() * 1e3);
        let host = Host::start(&program, &folder);
        cached.add(host.ready_ms);
        // What was needed to start and is not any more is given back by then.
        tokio::time::sleep(Duration::from_millis(500)).await;
        memory.add(resident_mib(host.process.id()));
    }
    let mut idle = Figure::new("% of a core");
    let host = Host::start(&program, &folder);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let before = processor_secs(host.process.id());
    tokio::time::sleep(IDLE).await;
    idle.add((processor_secs(host.process.id()) - before) / IDLE.as_secs_f64() * 100.0);
    drop(host);
    let reference = Some(("--version", &nothing));
    figure::print("start to ready, seven cached plugins", &cached, reference, Some("<= 150 ms"));
    figure::print("start to ready, compiling them", &compiling, None, None);
    figure::print("resident memory, idle", &memory, None, Some("<= 60 MiB"));
    figure::print("processor, idle, SQLite (its latency is in the section of SQLite)", &idle, None, Some("<= 0.5 %"));
}

/// The program, built beside the benchmark.
fn program() -> Option<PathBuf> {
    let benchmark = std::env::current_exe().unwrap();
    let program = benchmark.parent()?.parent()?.join("aftercommit");
    program.exists().then_some(program)
}

/// A folder with `examples/shortest`: each of the seven plugins has an action.
fn prepare() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/shortest");
    let config = fs::read_to_string(examples.join("aftercommit.toml")).unwrap();
    let own = "[database]\nurl = \"sqlite:shop.db\"\n[observers]\nfile = \"observers.json\"\n";
    fs::write(folder.path().join("aftercommit.toml"), config + own).unwrap();
    fs::copy(examples.join("observers.json"), folder.path().join("observers.json")).unwrap();
    folder
}

fn command(program: &Path, folder: &TempDir, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder.path()).env_clear().env("HOME", folder.path());
    for secret in SECRETS {
        command.env(secret, "AC00000000000000000000000000000000");
    }
    command.stdin(Stdio::null()).stderr(Stdio::null());
    command
}

fn run_to_end(program: &Path, folder: &TempDir, arguments: &[&str]) {
    let output = command(program, folder, arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", output.status);
}

/// A host process; told to stop when dropped.
struct Host {
    process: Child,
    ready_ms: f64,
}

impl Host {
    fn start(program: &Path, folder: &TempDir) -> Self {
        let started = Instant::now();
        let mut process = command(program, folder, &["run"]).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let ready = lines.any(|line| line.is_ok_and(|line| line == "aftercommit ready"));
        let ready_ms = started.elapsed().as_secs_f64() * 1e3;
        assert!(ready, "the host ended before it was ready");
        Self { process, ready_ms }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let id = rustix::process::Pid::from_child(&self.process);
        // It may have ended already; then there is nothing to end.
        let _ = rustix::process::kill_process(id, rustix::process::Signal::TERM);
        let _ = self.process.wait();
    }
}
