//! `condition`: trying a condition before an observer has it. Needs no database and no configuration.

use std::{fs, io::Read as _};

use aftercommit_condition::{Condition, Diagnostic, Row};
use aftercommit_core::EntityEvent;

use super::{
    failure::{Failure, Outcome},
    session::Session,
};
use crate::{
    document::{self, Report},
    output::color_on_stderr,
};

/// Try conditions
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Evaluate a condition for an event: prints true, false or unknown
    ///
    /// The event is JSON: `entity_type`, `event_kind`, `data`, and for an update `old`; `changed` is worked out. A
    /// condition that is unknown (it compares with null or a missing field) runs no action, as false does.
    #[command(after_help = "\
Examples:
  aftercommit condition eval \"total > 100 AND status = 'pending'\" --event event.json
  echo '{\"entity_type\": \"Order\", \"event_kind\": \"created\", \"data\": {\"total\": 150}}' |
      aftercommit condition eval 'total > 100' --event -

Exit codes: 0 whatever the value is; 1 the condition cannot be evaluated; 2 the condition or the event is wrong.")]
    Eval {
        /// The condition
        #[arg(value_name = "EXPR")]
        expression: String,
        /// A file with one event as JSON; `-` reads standard input
        #[arg(long, value_name = "FILE")]
        event: String,
    },
}

pub(super) fn run(session: &Session, command: &Command) -> Outcome {
    let Command::Eval { expression, event } = command;
    let condition = parse(expression)?;
    let event = read_event(event)?;
    let truth = condition
        .evaluate(&Row::from(&event))
        .map_err(|error| Failure::failed(render(expression, &error.diagnostic())))?;
    let truth = truth.to_string();
    Ok(session.output.done(&serde_json::json!({ "value": truth }), &truth)?)
}

/// Parses a condition of the command line; prints its warnings.
pub(super) fn parse(expression: &str) -> Result<Condition, Failure> {
    let condition =
        Condition::parse(expression).map_err(|diagnostic| Failure::usage(render(expression, &diagnostic)))?;
    for warning in condition.warnings() {
        eprintln!("{}", render(expression, warning));
    }
    Ok(condition)
}

fn render(expression: &str, diagnostic: &Diagnostic) -> String {
    diagnostic.render(expression, "condition", color_on_stderr())
}

/// Reads one event from a file, or from standard input for `-`.
pub(super) fn read_event(file: &str) -> Result<EntityEvent, Failure> {
    let mut text = String::new();
    let (origin, read) = if file == "-" {
        ("standard input", std::io::stdin().read_to_string(&mut text).map(|_| ()))
    } else {
        (file, fs::read_to_string(file).map(|content| text = content))
    };
    read.map_err(|error| Failure::usage(format!("cannot read the event from {origin}: {error}")))?;
    serde_json::from_str(&text).map_err(|error| {
        let problem = document::json_problem(&text, "an event", &error);
        Report { origin: origin.to_owned(), text, problems: vec![problem] }.into()
    })
}
