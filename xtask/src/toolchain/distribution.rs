//! The distribution's compiler, as Debian packages it: without the target, but with the sources of its standard library,
//! from which cargo builds it. That takes an unstable flag of cargo, hence `RUSTC_BOOTSTRAP`; it is set for these builds
//! only.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use super::{active::Active, program_identity};
use crate::{packages, process};

/// Debian's packages of the compiler that its web browsers are built with, which is recent in every release.
pub(crate) const PACKAGES: [&str; 4] = ["rustc-web", "cargo-web", "rust-web-src", "rust-web-llvm"];

/// Its cargo, by its full name: the one in `PATH` may be rustup's.
pub(crate) const CARGO: &str = "/usr/bin/cargo";
const RUSTC: &str = "/usr/bin/rustc";
const LINKER: &str = "/usr/bin/rust-lld";
const LIBRARY: &str = "/usr/lib/rustlib/src/rust";

/// An installed compiler with its sources, and a linker for it.
pub(crate) struct Distribution {
    linker: PathBuf,
}

impl Distribution {
    /// The compiler, if all of it is there.
    pub(crate) fn installed(active: &Active) -> Option<Self> {
        if !has_compiler() {
            return None;
        }
        linker(active).map(|linker| Self { linker })
    }

    /// The compiler; what is missing of it is installed, where this program may do that.
    pub(crate) fn install(active: &Active) -> Result<Self> {
        if !has_compiler() {
            packages::install(&PACKAGES)?;
        }
        if !has_compiler() {
            bail!("{RUSTC}, {CARGO} and {LIBRARY} are not all there, although their packages are installed");
        }
        require_version()?;
        if linker(active).is_none() {
            packages::install(&[&linker_package()])?;
        }
        Self::installed(active).context("there is no linker for WebAssembly (rust-lld or wasm-ld)")
    }

    pub(crate) fn identity(&self) -> String {
        format!("{} {}", program_identity(Path::new(RUSTC)), program_identity(&self.linker))
    }

    pub(crate) fn describe(&self) -> String {
        format!("{RUSTC}, which builds its own standard library, with {}", self.linker.display())
    }

    pub(crate) fn configure(command: &mut Command) {
        // Its cargo looks for `rustc` in PATH, where rustup's may come first.
        command.env("RUSTC", RUSTC).env("RUSTDOC", "/usr/bin/rustdoc").env("RUSTC_BOOTSTRAP", "1");
    }

    pub(crate) fn rustc_flags(&self) -> Vec<String> {
        let sources = fs::canonicalize(LIBRARY).unwrap_or_else(|_| LIBRARY.into());
        vec![
            format!("-Clinker={}", self.linker.display()),
            format!("--remap-path-prefix={LIBRARY}=/rust"),
            format!("--remap-path-prefix={}=/rust", sources.display()),
        ]
    }
}

fn has_compiler() -> bool {
    Path::new(CARGO).is_file()
        && Path::new(RUSTC).is_file()
        && Path::new(LIBRARY).join("library/std/Cargo.toml").is_file()
}

/// The compiler must know the language that the plugins are written in.
fn require_version() -> Result<()> {
    let wanted = env!("CARGO_PKG_RUST_VERSION");
    let said = process::output(Command::new(RUSTC).arg("--version"))?;
    let version = said.split_whitespace().nth(1).unwrap_or_default();
    if minor(version) < minor(wanted) {
        bail!("{RUSTC} is {version}; {wanted} or later is needed");
    }
    Ok(())
}

/// The second number of `1.95.0`; the first has been 1 for ever.
fn minor(version: &str) -> u32 {
    version.split('.').nth(1).and_then(|minor| minor.parse().ok()).unwrap_or(0)
}

/// The active toolchain's linker, else the distribution's. A link without its program is passed over.
fn linker(active: &Active) -> Option<PathBuf> {
    active
        .linker()
        .or_else(|| Some(PathBuf::from(LINKER)).filter(|linker| linker.is_file()))
        .or_else(|| packages::in_path("wasm-ld"))
}

/// The compiler's package has a link to the linker of its own LLVM, which is a package of the same name.
fn linker_package() -> String {
    let linked = fs::read_link(LINKER).ok().and_then(|to| Some(to.file_name()?.to_str()?.to_owned()));
    linked.unwrap_or_else(|| "lld".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_their_minor_number() {
        assert_eq!(minor("1.95.0"), 95);
        assert_eq!(minor("1.100.0-nightly"), 100);
        assert_eq!(minor("unknown"), 0);
    }
}
