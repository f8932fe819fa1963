//! A search server of its own: osmem-server, which others wrote to stand for OpenSearch, in memory. `cargo xtask test`
//! installs it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use crate::guarded::Guarded;

/// A server without an index; killed when dropped.
pub struct OpenSearchServer {
    url: String,
    #[expect(dead_code, reason = "held, not read")]
    process: Guarded,
}

impl OpenSearchServer {
    /// A server on a free port of loopback.
    #[must_use]
    pub fn start() -> Self {
        let mut command = Command::new(program());
        command.args(["-addr", "127.0.0.1:0", "-no-stdin-watch"]);
        let (process, line) = Guarded::start(&command, "\"url\"").expect("osmem-server starts");
        let told: Value = serde_json::from_str(&line).expect("it tells its URL as JSON");
        Self { url: told["url"].as_str().expect("a URL").to_owned(), process }
    }

    /// `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }
}

fn program() -> PathBuf {
    let environment = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools/osmem-server/lib");
    let versions = fs::read_dir(&environment).into_iter().flatten().flatten();
    let mut programs =
        versions.map(|python| python.path().join("site-packages/osmem_server/bin/osmem-server"));
    let found = programs.find(|program| program.is_file());
    found.unwrap_or_else(|| {
        panic!("{} has no osmem-server: `cargo xtask test` installs it", environment.display())
    })
}
