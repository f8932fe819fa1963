//! Finding a toolchain that compiles for `wasm32-unknown-unknown`, on machines with and without a network:
//!
//! 1. the active toolchain, if it has the target;
//! 2. the same, if rustup can add the target;
//! 3. the distribution's compiler, which builds the standard library from its own sources;
//! 4. else one message that says what to install.

mod active;
mod distribution;

use std::{env, fs, path::Path, process::Command};

use anyhow::{Result, bail};

use active::Active;
use distribution::Distribution;

/// What guests are compiled for: no system at all, only what the WIT package imports.
pub(crate) const TARGET: &str = "wasm32-unknown-unknown";

/// A toolchain that can build guests.
pub(crate) enum Toolchain {
    /// The one that compiles the host, which has the target.
    Active(Active),
    /// The distribution's, which has the sources of its standard library.
    Distribution(Distribution),
}

impl Toolchain {
    /// Finds one, in the order above. What had to be tried is remembered in `memory`, so that the next run is quick.
    pub(crate) fn find(memory: &Path) -> Result<Self> {
        let active = Active::of_this_run()?;
        if active.has_target() {
            return Ok(Self::Active(active));
        }
        // The active toolchain can not be given the target here, as was found out before.
        if fs::read_to_string(memory).is_ok_and(|known| known == active.identity())
            && let Some(distribution) = Distribution::installed(&active)
        {
            return Ok(Self::Distribution(distribution));
        }
        let not_added = match active.add_target() {
            Ok(()) => return Ok(Self::Active(active)),
            Err(error) => error,
        };
        let not_installed = match Distribution::install(&active) {
            Ok(distribution) => {
                if let Some(folder) = memory.parent() {
                    fs::create_dir_all(folder)?;
                }
                fs::write(memory, active.identity())?;
                return Ok(Self::Distribution(distribution));
            }
            Err(error) => error,
        };
        bail!(
            "no Rust compiler for {TARGET} was found, which the plugins need. Any of these provides one:\n  \
             rustup target add {TARGET}\n  \
             apt-get install --no-install-recommends {}   (Debian, as root)\n\
             Tried here:\n  the active toolchain: {not_added:#}\n  the distribution's: {not_installed:#}",
            distribution::PACKAGES.join(" ")
        )
    }

    /// Changes when the toolchain does.
    pub(crate) fn identity(&self) -> String {
        match self {
            Self::Active(active) => active.identity(),
            Self::Distribution(distribution) => distribution.identity(),
        }
    }

    /// One line for people.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Active(active) => format!("{}, which has {TARGET}", active.rustc().display()),
            Self::Distribution(distribution) => distribution.describe(),
        }
    }

    /// Its cargo, in `folder`, free of what the cargo around this program has set.
    pub(crate) fn cargo(&self, folder: &Path) -> Command {
        let mut command = match self {
            Self::Active(active) => Command::new(active.cargo()),
            Self::Distribution(_) => Command::new(distribution::CARGO),
        };
        command.current_dir(folder);
        for (name, _) in env::vars_os().filter(|(name, _)| name.to_str().is_some_and(is_inherited)) {
            command.env_remove(name);
        }
        match self {
            Self::Active(active) => active.configure(&mut command),
            Self::Distribution(_) => Distribution::configure(&mut command),
        }
        command
    }

    /// Flags for rustc that this toolchain needs.
    pub(crate) fn rustc_flags(&self) -> Vec<String> {
        match self {
            Self::Active(_) => Vec::new(),
            Self::Distribution(distribution) => distribution.rustc_flags(),
        }
    }

    /// Flags for `cargo build` that this toolchain needs.
    pub(crate) fn build_flags(&self) -> &'static [&'static str] {
        match self {
            Self::Active(_) => &[],
            Self::Distribution(_) => &["-Z", "build-std=std,panic_abort"],
        }
    }
}

/// Whether a variable belongs to the cargo that runs this program, and would mislead the one it starts. What says where
/// and how to download crates stays.
fn is_inherited(name: &str) -> bool {
    const KEPT: [&str; 6] =
        ["CARGO_HOME", "CARGO_HTTP_", "CARGO_NET_", "CARGO_REGISTR", "CARGO_SOURCE_", "CARGO_TERM_"];
    let of_cargo = ["CARGO", "__CARGO", "RUSTC", "RUSTFLAGS", "RUSTDOC", "RUSTUP_TOOLCHAIN"];
    let of_loader = ["LD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH"];
    of_loader.contains(&name)
        || of_cargo.iter().any(|start| name.starts_with(start))
            && !KEPT.iter().any(|start| name.starts_with(start))
}

/// A program's path, size and time of change: cheaper than asking it for its version.
fn program_identity(program: &Path) -> String {
    let Ok(data) = fs::metadata(program) else { return program.display().to_string() };
    format!("{} {} {:?}", program.display(), data.len(), data.modified().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_outer_cargo_sets_is_not_handed_on() {
        for name in [
            "CARGO",
            "CARGO_MANIFEST_DIR",
            "CARGO_TARGET_DIR",
            "CARGO_ENCODED_RUSTFLAGS",
            "CARGO_PROFILE_RELEASE_LTO",
            "RUSTC_WRAPPER",
            "RUSTC",
            "RUSTFLAGS",
            "RUSTUP_TOOLCHAIN",
            "LD_LIBRARY_PATH",
        ] {
            assert!(is_inherited(name), "{name}");
        }
    }

    #[test]
    fn what_says_where_crates_come_from_is_handed_on() {
        for name in [
            "CARGO_HOME",
            "CARGO_HTTP_CAINFO",
            "CARGO_NET_OFFLINE",
            "CARGO_REGISTRIES_X_INDEX",
            "PATH",
            "HOME",
        ] {
            assert!(!is_inherited(name), "{name}");
        }
    }
}
