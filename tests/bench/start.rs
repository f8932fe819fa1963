//! How long the program takes to be ready, and what it holds in memory then.

use std::{
    fmt::Write as _,
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::{
    figure::{self, Figure},
    memory::resident_mib,
    sample,
};

/// As many as the program has built in.
const PLUGINS: usize = 7;
const STARTS: usize = 10;

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
    let reference = Some(("--version", &nothing));
    figure::print("start to ready, seven cached plugins", &cached, reference, Some("<= 150 ms"));
    figure::print("start to ready, compiling them", &compiling, None, None);
    figure::print("resident memory, idle", &memory, None, Some("<= 60 MiB"));
}

/// The program, built beside the benchmark.
fn program() -> Option<PathBuf> {
    let benchmark = std::env::current_exe().unwrap();
    let program = benchmark.parent()?.parent()?.join("aftercommit");
    program.exists().then_some(program)
}

/// A folder with seven plugins, each with its own observer. They are the webhook plugin seven times, made different by
/// a custom section, so that each is compiled, cached and described on its own.
fn prepare() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let component = fs::read(sample::component("webhook")).unwrap();
    let mut config =
        "[database]\nurl = \"sqlite:shop.db\"\n[observers]\nfile = \"observers.toml\"\n".to_owned();
    let mut observers = String::new();
    for number in 0..PLUGINS {
        let mut copy = component.clone();
        // Section 0, its size, the length of its name, its name, its content.
        copy.extend([0, 3, 1, b'n', u8::try_from(number).unwrap()]);
        fs::write(folder.path().join(format!("plugin{number}.wasm")), copy).unwrap();
        write!(config, "[plugins.plugin{number}]\nsource = \"file:plugin{number}.wasm\"\n").unwrap();
        write!(
            observers,
            "[[observers]]\nname = \"observer{number}\"\n\
             [[observers.actions]]\ntype = \"plugin{number}\"\nurl = \"https://example.com/hook\"\n"
        )
        .unwrap();
    }
    fs::write(folder.path().join("aftercommit.toml"), config).unwrap();
    fs::write(folder.path().join("observers.toml"), observers).unwrap();
    folder
}

fn command(program: &Path, folder: &TempDir, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder.path()).env_clear().env("HOME", folder.path());
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
