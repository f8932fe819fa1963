//! The command line. One file a group of commands: its arguments, its help, and what it does.

mod backfill;
mod capture;
mod condition;
mod dead_letter_filter;
mod deliveries;
mod demo;
mod destinations;
mod dlq;
mod effective;
mod events;
mod failure;
mod ids;
mod init;
mod migrate;
mod observers;
mod plugin;
mod quarantine;
mod run;
mod session;
mod signals;
mod traceparent;

use std::{ffi::OsString, process::ExitCode};

use clap::{CommandFactory as _, Parser, Subcommand};

use self::{
    failure::{Failure, Outcome},
    session::{GlobalArgs, Session},
};
use crate::{logging::Verbosity, output::Format};

const EXAMPLES: &str = "\
Begin:
  aftercommit demo                                  see the whole path of an event
  aftercommit init                                  write aftercommit.toml and observers.toml
  aftercommit migrate                               make the tables
  aftercommit capture add orders --entity Order     watch a table
  aftercommit run                                   deliver

Exit codes: 0 done; 1 the operation failed; 2 wrong usage or configuration; 3 the database cannot be reached.";

/// Runs side effects after a database commit.
///
/// A row changes, the host sees the event, finds the observers that want it, evaluates their conditions and runs their
/// actions, each a WebAssembly component. What was committed is never lost: it is delivered, waits for its next
/// attempt, or is in the dead letter queue.
#[derive(Debug, Parser)]
#[command(name = "aftercommit", version, after_help = EXAMPLES, propagate_version = true, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    global: GlobalArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::Args),
    Init(init::Args),
    Migrate(migrate::Args),
    Run(run::Args),
    #[command(subcommand)]
    Capture(capture::Command),
    #[command(subcommand)]
    Observers(observers::Command),
    #[command(subcommand)]
    Events(events::Command),
    #[command(subcommand)]
    Deliveries(deliveries::Command),
    #[command(subcommand)]
    Destinations(destinations::Command),
    #[command(subcommand)]
    Dlq(dlq::Command),
    #[command(subcommand)]
    Quarantine(quarantine::Command),
    #[command(subcommand)]
    Condition(condition::Command),
    #[command(subcommand)]
    Plugin(plugin::Command),
}

/// Runs the program with the arguments of this process.
#[must_use]
pub fn main() -> ExitCode {
    if let Some(compiled) = aftercommit_runtime::compile_if_asked() {
        return compiled;
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        // Help and version go to standard output and are no failure.
        Err(error) if error.exit_code() == 0 => {
            let _ = error.print();
            return ExitCode::SUCCESS;
        }
        Err(error) => return Failure::from(error).report(asked_format(std::env::args_os())),
    };
    let format = cli.global.output();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Failure::failed(format!("cannot start: {error}")).report(format),
    };
    match runtime.block_on(dispatch(cli)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(format),
    }
}

/// The format that a command line asks for which is wrong elsewhere.
fn asked_format(arguments: impl Iterator<Item = OsString>) -> Format {
    let arguments: Vec<OsString> = arguments.collect();
    let is_json = arguments.iter().any(|argument| argument == "--output=json")
        || arguments.windows(2).any(|pair| pair[0] == "--output" && pair[1] == "json");
    if is_json { Format::Json } else { Format::Table }
}

async fn dispatch(cli: Cli) -> Outcome {
    let verbosity = if matches!(cli.command, Command::Run(_) | Command::Demo(_)) {
        Verbosity::Host
    } else {
        Verbosity::Command
    };
    let session = Session::start(cli.global, verbosity);
    match cli.command {
        Command::Demo(args) => demo::run(&session, &args).await,
        Command::Init(args) => init::run(&session, &args),
        Command::Migrate(args) => migrate::run(&session, &args).await,
        Command::Run(args) => run::run(&session, &args).await,
        Command::Capture(command) => capture::run(&session, command).await,
        Command::Observers(command) => observers::run(&session, command).await,
        Command::Events(command) => events::run(&session, command).await,
        Command::Deliveries(command) => deliveries::run(&session, command).await,
        Command::Destinations(command) => destinations::run(&session, command).await,
        Command::Dlq(command) => dlq::run(&session, command).await,
        Command::Quarantine(command) => quarantine::run(&session, command).await,
        Command::Condition(command) => condition::run(&session, &command),
        Command::Plugin(command) => plugin::run(&session, command).await,
    }
}

/// Every command with its path, as `dlq retry`; for tests that keep the documentation complete.
#[must_use]
pub fn command_paths() -> Vec<String> {
    fn walk(command: &clap::Command, path: &str, paths: &mut Vec<String>) {
        for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
            let path = format!("{path} {}", sub.get_name()).trim_start().to_owned();
            if sub.has_subcommands() {
                walk(sub, &path, paths);
            } else {
                paths.push(path);
            }
        }
    }
    let mut paths = Vec::new();
    walk(&Cli::command(), "", &mut paths);
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_examples() {
        fn check(command: &clap::Command, path: &str) {
            for sub in command.get_subcommands() {
                let path = format!("{path} {}", sub.get_name());
                assert!(sub.get_after_help().is_some() || sub.has_subcommands(), "{path} shows no example");
                assert!(sub.get_about().is_some(), "{path} does not say what it does");
                check(sub, &path);
            }
        }
        check(&Cli::command(), "aftercommit");
    }

    #[test]
    fn the_page_has_every_command() {
        let page = include_str!("../../../../docs/commands.md");
        for path in command_paths() {
            assert!(page.contains(&format!("`{path}")), "docs/commands.md lacks `{path}`");
        }
    }
}
