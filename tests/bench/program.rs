//! The program itself, as a process in a folder of its own.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Instant,
};

use tempfile::TempDir;

/// The program, built beside the benchmark, and the folder where it runs.
pub(crate) struct Program {
    path: PathBuf,
    folder: TempDir,
    environment: Vec<(&'static str, &'static str)>,
}

/// A host process; told to stop when dropped.
pub(crate) struct Host {
    process: Child,
    pub(crate) ready_ms: f64,
}

impl Program {
    /// In an empty folder. `None`, and a line that says so, if it is not built.
    pub(crate) fn built() -> Option<Self> {
        let benchmark = std::env::current_exe().unwrap();
        let path = benchmark.parent()?.parent()?.join("aftercommit");
        if !path.exists() {
            println!("skipped: build the program first (cargo build --release --workspace)");
            return None;
        }
        Some(Self { path, folder: tempfile::tempdir().unwrap(), environment: Vec::new() })
    }

    /// Writes a file into its folder.
    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.folder.path().join(name), text).unwrap();
    }

    /// Sets a variable of its environment.
    pub(crate) fn set_env(&mut self, name: &'static str, value: &'static str) {
        self.environment.push((name, value));
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, arguments: &[&str]) {
        let output = self.command(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", output.status);
    }

    /// Starts a host; returns when it is ready.
    pub(crate) fn start(&self) -> Host {
        let started = Instant::now();
        let mut process = self.command(&["run"]).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let ready = lines.any(|line| line.is_ok_and(|line| line == "aftercommit ready"));
        let ready_ms = started.elapsed().as_secs_f64() * 1e3;
        assert!(ready, "the host ended before it was ready");
        Host { process, ready_ms }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.path);
        command.args(arguments).current_dir(self.folder.path()).env_clear().env("HOME", self.folder.path());
        command.envs(self.environment.iter().copied()).stdin(Stdio::null()).stderr(Stdio::null());
        command
    }
}

impl Host {
    /// Its process's number.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
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
