//! Compiling the core modules.

use std::{
    env, fs,
    io::{IsTerminal as _, stderr},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use super::Guest;
use crate::{
    process,
    toolchain::{TARGET, Toolchain},
};

/// Compiles all guests and returns the folder of their modules.
pub(crate) fn run(toolchain: &Toolchain, root: &Path, target: &Path) -> Result<PathBuf> {
    let workspace = root.join("plugins");
    // Before the build: where the crates' sources are must be known to keep it out of the modules.
    process::run(toolchain.cargo(&workspace).args(["fetch", "--quiet"]))
        .context("the guests' crates are not available")?;

    let mut flags = toolchain.rustc_flags();
    flags.extend(
        remapped_paths(root)
            .into_iter()
            .map(|(from, to)| format!("--remap-path-prefix={}={to}", from.display())),
    );
    let mut build = toolchain.cargo(&workspace);
    build
        .args(["build", "--release", "--workspace", "--exclude", "aftercommit-plugin", "--target", TARGET])
        .args(toolchain.build_flags())
        .arg("--target-dir")
        .arg(target)
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"));
    if !stderr().is_terminal() {
        build.arg("--quiet");
    }
    process::run(&mut build).context("the guests do not compile")?;
    Ok(target.join(TARGET).join("release"))
}

/// The module that became of a guest's crate.
pub(crate) fn module(guest: &Guest, module: &Path) -> Result<Vec<u8>> {
    fs::read(module).with_context(|| {
        format!(
            "{} did not become {}: its package must be named as its folder and be a cdylib",
            guest.source.display(),
            module.display()
        )
    })
}

/// This machine's folders, and what stands for them in messages: the same sources make the same bytes everywhere.
fn remapped_paths(root: &Path) -> Vec<(PathBuf, String)> {
    let mut paths = vec![(root.to_owned(), "/aftercommit".to_owned())];
    let home = env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| Some(env::home_dir()?.join(".cargo")));
    let sources = home.map(|home| home.join("registry/src"));
    // The folder of a registry carries a hash of its address.
    for entry in sources.and_then(|sources| fs::read_dir(sources).ok()).into_iter().flatten().flatten() {
        paths.push((entry.path(), "/crates".to_owned()));
    }
    paths.sort();
    paths
}
