//! A plain `cargo build` of a fresh clone, in which no guest was built yet: it compiles, and the program says what to run.

use std::{fs, process::Command};

use anyhow::{Context as _, Result, ensure};

use crate::{process, repository};

const OBSERVERS: &str =
    "[[observers]]\nname = \"a\"\n[[observers.actions]]\ntype = \"log\"\nmessage = \"a\"\n";

/// Builds without guests and looks at what the program says.
pub(crate) fn check() -> Result<()> {
    let folder = repository::target().join("tools/without-guests");
    let plugins = folder.join("plugins");
    fs::create_dir_all(&plugins).with_context(|| format!("{} can not be made", plugins.display()))?;
    fs::write(folder.join("observers.toml"), OBSERVERS)?;
    process::run(
        Command::new("cargo")
            .args(["build", "--workspace"])
            .env("AFTERCOMMIT_PLUGINS", &plugins)
            .current_dir(repository::root()),
    )?;
    let said = Command::new(repository::target().join("debug/aftercommit"))
        .args(["observers", "validate", "observers.toml"])
        .current_dir(&folder)
        .output()
        .context("the program does not start")?;
    let text = String::from_utf8_lossy(&said.stderr);
    ensure!(said.status.code() == Some(2), "the program ended with {}:\n{text}", said.status);
    ensure!(
        text.contains("cargo xtask plugins"),
        "the program does not say how to build the plugins:\n{text}"
    );
    Ok(())
}
