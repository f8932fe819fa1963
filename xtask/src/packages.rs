//! Programs that are there, and installing those that are not.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};

use crate::{postgres, process, repository};

/// A program in the folders of `PATH`.
pub(crate) fn in_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(program)).find(|candidate| candidate.is_file())
}

/// Installs packages with apt-get. Nothing is removed for them: they conflict with other packages of the compiler.
pub(crate) fn install(packages: &[&str]) -> Result<()> {
    let names = packages.join(" ");
    if in_path("apt-get").is_none() {
        bail!("it is not installed, and there is no apt-get to install it with");
    }
    if !is_root()? {
        bail!("the packages {names} are not installed, and only root may install them");
    }
    eprintln!("installing {names}");
    let apt_get = |arguments: &[&str]| process::output(&mut apt_get(arguments)).map(drop);
    let install: Vec<_> =
        ["install", "-y", "--no-remove", "--no-install-recommends"].iter().chain(packages).copied().collect();
    // The lists of packages may be old, or absent as in a fresh container.
    apt_get(&install).or_else(|_| apt_get(&["update"]).and_then(|()| apt_get(&install)))
}

fn apt_get(arguments: &[&str]) -> Command {
    let mut command = Command::new("apt-get");
    command.args(["-qq", "-o", "Dpkg::Use-Pty=0"]).args(arguments);
    command.env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null());
    command
}

fn is_root() -> Result<bool> {
    Ok(process::output(Command::new("id").arg("-u"))?.trim() == "0")
}

/// Installs what tests start and do not find.
pub(crate) fn for_tests() -> Result<()> {
    need("sqlite3", "sqlite3")?;
    need("redis-server", "redis-server")?;
    need("memcached", "memcached")?;
    nginx()?;
    python_environment("aiosmtpd", AIOSMTPD, "")?;
    python_environment("osmem-server", OSMEM_SERVER, "")?;
    postgres::install()?;
    if let Err(error) = need("pgbouncer", "pgbouncer") {
        eprintln!("no PgBouncer ({error:#}): the tests of pooled connections go to the server itself");
    }
    Ok(())
}

/// Unpacks nginx into a folder of this repository, where tests find it: its package would start it as a service.
fn nginx() -> Result<()> {
    let (folder, installed) = (repository::root().join("target/tools/nginx"), Path::new("/usr/sbin/nginx"));
    if installed.is_file() || folder.join("usr/sbin/nginx").is_file() {
        return Ok(());
    }
    fs::create_dir_all(&folder).with_context(|| format!("{} can not be made", folder.display()))?;
    let download = || process::output(apt_get(&["download", "nginx"]).current_dir(&folder));
    download().or_else(|_| process::output(&mut apt_get(&["update"])).and_then(|_| download()))?;
    for entry in fs::read_dir(&folder)? {
        let package = entry?.path();
        if package.extension().is_some_and(|extension| extension == "deb") {
            process::output(Command::new("dpkg").arg("-x").arg(&package).arg(&folder))?;
        }
    }
    Ok(())
}

/// An SMTP server that people run tests with, as its package of the Python index names it.
const AIOSMTPD: &str = "aiosmtpd==1.4.*";

/// A server that stands for OpenSearch in tests; its package carries the program.
const OSMEM_SERVER: &str = "osmem-server==0.1.6";

/// A Python environment of this repository, with one package of the Python index; made if it is not there. Returns its
/// folder of programs. `instead` says what else would do.
pub(crate) fn python_environment(name: &str, package: &str, instead: &str) -> Result<PathBuf> {
    let environment = repository::root().join("target/tools").join(name);
    let programs = environment.join("bin");
    let done = environment.join("installed");
    if !done.is_file() {
        need("python3", "python3-venv")?;
        process::output(Command::new("python3").args(["-m", "venv"]).arg(&environment)).with_context(
            || format!("python3 can not make an environment; install the package python3-venv{instead}"),
        )?;
        process::output(Command::new(programs.join("pip")).args(["install", "--quiet", package]))?;
        // Last: an interrupted installation is none.
        fs::write(&done, package).with_context(|| format!("{} can not be written", done.display()))?;
    }
    Ok(programs)
}

/// Makes sure that a program is there; its package is installed if it is not.
pub(crate) fn need(program: &str, package: &str) -> Result<()> {
    match in_path(program) {
        Some(_) => Ok(()),
        None => install(&[package]),
    }
}
