//! Where the demonstration plays: a temporary folder, and this program as the processes in it.

use std::{fs, io, path::PathBuf, process::Stdio, time::Duration};

use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};

use super::shop::Scene;

/// The folder and what is started in it. Everything ends and is removed when it is dropped.
pub(super) struct Stage {
    folder: TempDir,
    program: PathBuf,
    secret: String,
}

/// The host's process.
pub(super) struct HostProcess(Child);

impl Stage {
    /// A fresh folder with its configuration.
    pub(super) fn set(secret: &str, observers: &str) -> io::Result<Self> {
        let folder = TempDir::with_prefix("aftercommit-demo-")?;
        let config = "[database]\nurl = \"sqlite:shop.db\"\n[observers]\nfile = \"observers.toml\"\n[runtime]\ncache_dir = \"cache\"\n";
        fs::write(folder.path().join("aftercommit.toml"), config)?;
        fs::write(folder.path().join("observers.toml"), observers)?;
        Ok(Self { folder, program: std::env::current_exe()?, secret: secret.to_owned() })
    }

    pub(super) fn database(&self) -> PathBuf {
        self.folder.path().join("shop.db")
    }

    /// Lets the shop play a scene, in its own process.
    pub(super) async fn shop(&self, scene: Scene) -> io::Result<()> {
        use clap::ValueEnum as _;
        let scene = scene.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
        self.run(&["demo", "--shop", &scene]).await.map(drop)
    }

    /// Runs a command of this program to its end; returns what it printed.
    pub(super) async fn run(&self, arguments: &[&str]) -> io::Result<String> {
        let output = self.command(arguments).output().await?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(io::Error::other(format!("aftercommit {}: {said}", arguments.join(" "))));
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
    }

    /// Starts the host; returns when it takes events.
    pub(super) async fn start_host(&self) -> io::Result<HostProcess> {
        let log = fs::File::create(self.folder.path().join("host.log"))?;
        let mut child = self.command(&["run"]).stdout(Stdio::piped()).stderr(log).spawn()?;
        let stdout = child.stdout.take().ok_or_else(|| io::Error::other("the host has no output"))?;
        let mut lines = BufReader::new(stdout).lines();
        let ready = async {
            while let Some(line) = lines.next_line().await? {
                if line == "aftercommit ready" {
                    return Ok(());
                }
            }
            Err(io::Error::other(format!("the host ended before it was ready:\n{}", self.host_log())))
        };
        tokio::time::timeout(Duration::from_mins(1), ready)
            .await
            .map_err(|_| io::Error::other("the host was not ready within 60 s"))??;
        Ok(HostProcess(child))
    }

    pub(super) fn host_log(&self) -> String {
        fs::read_to_string(self.folder.path().join("host.log")).unwrap_or_default()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(arguments).current_dir(self.folder.path()).stdin(Stdio::null()).kill_on_drop(true);
        // The person's own settings are for the person's own host.
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(|name| name == "DATABASE_URL" || name.starts_with("AFTERCOMMIT_")) {
                command.env_remove(name);
            }
        }
        command.env("WEBHOOK_SECRET", &self.secret);
        command
    }
}

impl HostProcess {
    pub(super) fn id(&self) -> u32 {
        self.0.id().unwrap_or_default()
    }

    /// Asks it to stop as an operator would (SIGTERM), and waits.
    pub(super) async fn stop(mut self) -> io::Result<bool> {
        if let Some(id) = i32::try_from(self.id()).ok().and_then(rustix::process::Pid::from_raw) {
            rustix::process::kill_process(id, rustix::process::Signal::TERM)?;
        }
        Ok(self.0.wait().await?.success())
    }
}
