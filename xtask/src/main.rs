//! Builds guests, sets up what tests need, and runs demo, tests and benchmarks: `cargo xtask --help`.

mod guests;
mod process;
mod repository;
mod toolchain;

use std::process::ExitCode;

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
    /// Build the plugins and the tests' guests into plugins/dist
    Plugins,
}

fn main() -> ExitCode {
    let result = match Arguments::parse().chore {
        Chore::Plugins => guests::build(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
