//! What the measurements on PostgreSQL are compared with: installed in the user's cache, outside of the project, and
//! nothing of it is kept here.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use crate::{packages, process};

const GRAPHILE: &str = "graphile-worker@0.17.3";
const RIVER: &str = "riverqueue-cli@0.5.0";

/// Installs those that can be had; returns their folder. What can not be had is said, and not measured.
pub(crate) fn install() -> Result<PathBuf> {
    let base = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let base = base.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cache")));
    let folder = base.context("neither XDG_CACHE_HOME nor HOME is set")?.join("aftercommit-peers");
    fs::create_dir_all(&folder).with_context(|| format!("{} can not be made", folder.display()))?;
    for (name, installed) in [("Graphile Worker", graphile(&folder)), ("River for Rust", river(&folder))] {
        if let Err(error) = installed {
            eprintln!("{name} is not measured: {error:#}");
        }
    }
    Ok(folder)
}

fn graphile(folder: &Path) -> Result<()> {
    if folder.join("node_modules/graphile-worker").exists() {
        return Ok(());
    }
    packages::in_path("node").context("there is no node in PATH")?;
    let mut npm = Command::new("npm");
    npm.args(["install", "--no-audit", "--no-fund", "--prefix"]).arg(folder).arg(GRAPHILE);
    process::output(&mut npm).map(drop)
}

fn river(folder: &Path) -> Result<()> {
    if folder.join("bin/riverqueue").exists() {
        return Ok(());
    }
    eprintln!("compiling {RIVER}");
    let mut cargo = Command::new("cargo");
    cargo.args(["install", RIVER, "--locked", "--no-default-features", "--features", "postgres", "--root"]);
    cargo.arg(folder).arg("--target-dir").arg(folder.join("target"));
    process::output(&mut cargo).map(drop)
}
