//! The toolchain that compiles the host: rustup's, the distribution's, or another.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};

use super::{TARGET, program_identity};
use crate::{packages::in_path, process};

/// How long rustup may take to download the target, some 25 MB. Without a network it gives up by itself much sooner.
const ADD_TARGET_LIMIT: Duration = Duration::from_mins(2);

/// A toolchain by its own folder.
pub(crate) struct Active {
    sysroot: PathBuf,
}

impl Active {
    /// The toolchain whose cargo runs this program, else the one that `rustc` in the `PATH` belongs to.
    pub(crate) fn of_this_run() -> Result<Self> {
        let cargo = env::var_os("CARGO").map(PathBuf::from);
        let beside = cargo.as_deref().and_then(|cargo| cargo.parent()?.parent());
        if let Some(sysroot) = beside.filter(|sysroot| sysroot.join("lib/rustlib").is_dir()) {
            return Ok(Self { sysroot: sysroot.to_owned() });
        }
        let said = process::output(Command::new("rustc").args(["--print", "sysroot"]))
            .context("no Rust toolchain was found: neither CARGO nor PATH leads to one")?;
        Ok(Self { sysroot: said.trim().into() })
    }

    pub(crate) fn rustc(&self) -> PathBuf {
        self.sysroot.join("bin").join(format!("rustc{}", env::consts::EXE_SUFFIX))
    }

    pub(crate) fn cargo(&self) -> PathBuf {
        self.sysroot.join("bin").join(format!("cargo{}", env::consts::EXE_SUFFIX))
    }

    /// The linker for WebAssembly that rustup ships with every toolchain.
    pub(crate) fn linker(&self) -> Option<PathBuf> {
        let linker =
            Path::new(env!("HOST_TARGET")).join("bin").join(format!("rust-lld{}", env::consts::EXE_SUFFIX));
        Some(self.sysroot.join("lib/rustlib").join(linker)).filter(|linker| linker.is_file())
    }

    pub(crate) fn identity(&self) -> String {
        program_identity(&self.rustc())
    }

    /// Whether the target's standard library is installed.
    pub(crate) fn has_target(&self) -> bool {
        let libraries = self.sysroot.join("lib/rustlib").join(TARGET).join("lib");
        libraries.read_dir().is_ok_and(|mut files| {
            files.any(|file| file.is_ok_and(|file| file.file_name().to_string_lossy().starts_with("libstd-")))
        })
    }

    /// Asks rustup for the target.
    pub(crate) fn add_target(&self) -> Result<()> {
        let Some(name) = self.rustup_name() else {
            bail!("{} has no {TARGET} and is not rustup's", self.rustc().display());
        };
        let Some(rustup) = rustup() else { bail!("it is rustup's, but there is no rustup in PATH") };
        eprintln!("adding {TARGET} to the toolchain {name}");
        let mut command = Command::new(rustup);
        command.args(["target", "add", TARGET, "--toolchain", name]).env("RUSTUP_MAX_RETRIES", "1");
        process::run_within(&mut command, ADD_TARGET_LIMIT)?;
        if !self.has_target() {
            bail!("rustup says that it has added {TARGET}, but it is not in {}", self.sysroot.display());
        }
        Ok(())
    }

    pub(crate) fn configure(&self, command: &mut Command) {
        // Through rustup's own proxies or not, cargo is to use the compiler beside it.
        command.env("RUSTC", self.rustc());
    }

    /// The name under which rustup knows it, which is its folder's.
    fn rustup_name(&self) -> Option<&str> {
        let folder = self.sysroot.parent()?.file_name()?;
        if folder != "toolchains" {
            return None;
        }
        self.sysroot.file_name()?.to_str()
    }
}

fn rustup() -> Option<PathBuf> {
    let program = format!("rustup{}", env::consts::EXE_SUFFIX);
    in_path(&program).or_else(|| {
        let home = env::var_os("CARGO_HOME").map(PathBuf::from);
        let home = home.or_else(|| env::home_dir().map(|home| home.join(".cargo")))?;
        Some(home.join("bin").join(program)).filter(|rustup| rustup.is_file())
    })
}
