//! Builds guests, sets up what tests need, and runs demo, tests and benchmarks: `cargo xtask --help`.

mod checks;
mod guests;
mod packages;
mod peers;
mod postgres;
mod process;
mod repository;
mod sqlite;
mod toolchain;
mod unplugged;

use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};
use checks::cargo;
use clap::{Parser, Subcommand};

/// Chores of this repository.
#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Build everything and show the main job on an embedded SQLite database
    Demo,
    /// Run every check that continuous integration runs; installs what is missing
    Test,
    /// Build the plugins and the tests' guests into plugins/dist
    Plugins,
    /// Measure, each figure beside its reference from the same run
    Bench {
        /// Only the sections whose name contains this; with `--postgres`: rates, minutes, hot, capture or idle
        filter: Option<String>,
        /// Only what PostgreSQL is for, beside Graphile Worker, River for Rust and pgbench; installs what is missing
        #[arg(long)]
        postgres: bool,
    },
    /// Put good and hostile work on hosts for long; memory and open files must not grow
    Soak {
        /// How long, in minutes
        #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=10_000))]
        minutes: u64,
    },
    /// Fuzz what strangers write and servers answer, with cargo-fuzz and a nightly compiler
    Fuzz {
        /// Without a sanitizer and without coverage, in the build of the tests: mutations of each target's seeds
        #[arg(long)]
        smoke: bool,
        /// Only this target
        #[arg(value_parser = clap::builder::PossibleValuesParser::new(
            SMALL_FUZZ_TARGETS.iter().chain(&HOST_FUZZ_TARGETS)
        ))]
        target: Option<String>,
        /// How long in all, in seconds
        #[arg(long, default_value_t = 60)]
        seconds: u64,
    },
}

fn main() -> ExitCode {
    let result = match Arguments::parse().chore {
        Chore::Demo => demo(),
        Chore::Test => checks::run(),
        Chore::Plugins => guests::build(),
        Chore::Bench { filter, postgres } => bench(filter.as_deref(), postgres),
        Chore::Soak { minutes } => checks::soak(minutes),
        Chore::Fuzz { smoke: true, target, seconds } => fuzz_smoke(target.as_deref(), seconds),
        Chore::Fuzz { smoke: false, target, seconds } => fuzz(target.as_deref(), seconds),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The whole workspace is built, as the tests build it: so the dependencies are compiled once for both.
fn demo() -> Result<()> {
    guests::build()?;
    cargo(&["build", "--workspace"])?;
    process::run(Command::new(repository::target().join("debug/aftercommit")).arg("demo"))
}

fn bench(filter: Option<&str>, postgres: bool) -> Result<()> {
    guests::build()?;
    // What `start` measures is the program itself. Both for the whole workspace: a package alone has other features, and
    // all dependencies would be compiled once more.
    cargo(&["build", "--release", "--workspace"])?;
    let mut bench = Command::new("cargo");
    bench.args(["bench", "--workspace", "--bench", "aftercommit", "--"]);
    if postgres {
        packages::for_tests()?;
        bench.arg(format!("postgres-{}", filter.unwrap_or_default()));
        if !matches!(filter, Some("hot" | "minutes")) {
            bench.env("PEERS", peers::install()?);
        }
    } else {
        bench.args(filter);
    }
    process::run(bench.current_dir(repository::root()))
}

/// Targets that need neither the host nor its runtime, which take many minutes to build with a sanitizer.
const SMALL_FUZZ_TARGETS: [&str; 4] = ["parse", "evaluate", "compile_to_sql", "number"];
const HOST_FUZZ_TARGETS: [&str; 6] =
    ["template", "observer_file", "http_head", "smtp_reply", "redis_reply", "memcached_reply"];

/// Each target for its part of the time, or only one. The nightly compiler and cargo-fuzz are the person's to install.
fn fuzz(only: Option<&str>, seconds: u64) -> Result<()> {
    let all = SMALL_FUZZ_TARGETS.iter().chain(&HOST_FUZZ_TARGETS);
    let limit = format!("-max_total_time={}", seconds_for_each(only, seconds));
    for target in all.copied().filter(|target| only.is_none_or(|only| only == *target)) {
        let mut fuzz = Command::new("rustup");
        fuzz.args(["run", "nightly", "cargo", "fuzz", "run", "--fuzz-dir", "host/fuzz"]);
        if SMALL_FUZZ_TARGETS.contains(&target) {
            fuzz.arg("--no-default-features");
        }
        fuzz.args([target, "--", &limit]);
        process::run(fuzz.current_dir(repository::root()))
            .context("fuzzing needs `rustup toolchain install nightly` and `cargo install cargo-fuzz`")?;
    }
    Ok(())
}

/// The same functions on inputs of a generator. The time for building them is what the tests need anyway.
fn fuzz_smoke(only: Option<&str>, seconds: u64) -> Result<()> {
    let mut smoke = Command::new("cargo");
    smoke.args(["test", "--workspace", "--all-features", "--test", "smoke", "--", "--nocapture"]);
    smoke.env("FUZZ_SECONDS", seconds_for_each(only, seconds).to_string());
    smoke.envs(only.map(|target| ("FUZZ_TARGET", target)));
    process::run(smoke.current_dir(repository::root()))
}

fn seconds_for_each(only: Option<&str>, seconds: u64) -> u64 {
    let targets = if only.is_some() { 1 } else { SMALL_FUZZ_TARGETS.len() + HOST_FUZZ_TARGETS.len() };
    seconds.div_ceil(targets as u64)
}
