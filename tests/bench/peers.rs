//! Others that do this work on PostgreSQL, with the same number of jobs and the same receiver, on the same server.
//!
//! `cargo xtask bench --postgres` installs them outside of the project and names the folder in `PEERS`. What is not
//! there is not measured, and that is said.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::postgres::Postgres;

/// Our own program over the public interface of the worker.
const GRAPHILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/bench/graphile.mjs");

const RIVER: &str = "bin/riverqueue";

/// The folder of those that were installed.
pub(crate) struct Peers(Option<PathBuf>);

impl Peers {
    pub(crate) fn installed() -> Self {
        Self(std::env::var_os("PEERS").map(PathBuf::from))
    }

    fn has(&self, file: &str) -> Option<&Path> {
        self.0.as_deref().filter(|folder| folder.join(file).exists())
    }

    /// Jobs a second of Graphile Worker: no-ops, or requests to a URL.
    pub(crate) fn graphile(&self, server: &Postgres, jobs: usize, url: Option<&str>) -> Option<f64> {
        let folder = self.has("node_modules/graphile-worker")?;
        let mut node = Command::new("node");
        node.env("PEERS", folder).arg(GRAPHILE).arg(server.url()).arg(jobs.to_string()).args(url);
        Some(output(&mut node).trim().parse().unwrap())
    }

    /// Makes the tables and functions of Graphile Worker; whether it is there.
    pub(crate) fn graphile_schema(&self, url: &str) -> bool {
        let Some(folder) = self.has("node_modules/graphile-worker") else { return false };
        let program = folder.join("node_modules/.bin/graphile-worker");
        output(Command::new("node").arg(program).args(["--schema-only", "--connection", url]));
        true
    }

    /// Jobs a second of the benchmark that River for Rust comes with: no-ops.
    pub(crate) fn river(&self, server: &Postgres, jobs: usize) -> Option<f64> {
        let program = self.has(RIVER)?.join(RIVER);
        let url = server.url();
        output(Command::new(&program).args(["migrate-up", "--database-url", &url]));
        let text =
            output(Command::new(&program).args(["bench", "--database-url", &url, "-n", &jobs.to_string()]));
        let rate = text.split_once("overall job/sec [").and_then(|(_, rest)| rest.split(']').next());
        Some(rate.and_then(|rate| rate.trim().parse().ok()).unwrap_or_else(|| panic!("{text}")))
    }
}

fn output(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
