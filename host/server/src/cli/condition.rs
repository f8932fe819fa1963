//! `condition`: trying a condition before an observer has it. Needs no database and no configuration.

use std::path::Path;

use aftercommit_condition::{Condition, Diagnostic, Row};
use aftercommit_core::EntityEvent;
use aftercommit_runtime::files::{read_stdin, read_text};
use serde_json::{Map, Value};

use super::{
    failure::{Code, Failure, Outcome},
    session::Session,
};
use crate::{
    document::{self, Document, Format, Report},
    output,
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
        .map_err(|error| drawn(Code::Failed, expression, &error.diagnostic()))?;
    let truth = truth.to_string();
    Ok(session.output.done(&serde_json::json!({ "value": truth }), &truth)?)
}

/// Parses a condition of the command line; prints its warnings.
pub(super) fn parse(expression: &str) -> Result<Condition, Failure> {
    let condition =
        Condition::parse(expression).map_err(|diagnostic| drawn(Code::Usage, expression, &diagnostic))?;
    for warning in condition.warnings() {
        output::note(&warning.render(expression, ORIGIN, false));
    }
    Ok(condition)
}

/// What diagnostics call the text.
const ORIGIN: &str = "condition";

fn drawn(code: Code, expression: &str, diagnostic: &Diagnostic) -> Failure {
    Failure::drawn(code, |color| diagnostic.render(expression, ORIGIN, color))
}

/// Larger events are no rows that anybody tries a condition with.
const MAX_EVENT_BYTES: u64 = 64 << 20;

/// Reads one event from a file, or from standard input for `-`.
pub(super) fn read_event(file: &str) -> Result<EntityEvent, Failure> {
    let (origin, read) = match file {
        "-" => ("standard input", read_stdin(MAX_EVENT_BYTES)),
        file => (file, read_text(Path::new(file), MAX_EVENT_BYTES)),
    };
    let text =
        read.map_err(|error| Failure::usage(format!("cannot read the event from {origin}: {error}")))?;
    let event = match event_of(&text) {
        Ok(event) => event,
        Err(error) => {
            let problem = document::json_problem(&text, "an event", &error);
            return Err(Report { origin: origin.to_owned(), text, problems: vec![problem] }.into());
        }
    };
    // Of a key that is there twice, the reader of events takes the last.
    Document::parse(origin, text, Format::Json)?;
    Ok(event)
}

/// An event, also with what `events show` says of it beside, or within what `dlq show` says.
fn event_of(text: &str) -> serde_json::Result<EntityEvent> {
    serde_json::from_str(text).or_else(|error| {
        let Ok(mut shown) = serde_json::from_str::<Map<String, Value>>(text) else { return Err(error) };
        let event = if HISTORY.iter().all(|key| shown.contains_key(*key)) {
            shown.retain(|key, _| !HISTORY.contains(&key.as_str()));
            Value::Object(shown)
        } else if shown.contains_key("died_at") {
            shown.remove("event").unwrap_or_default()
        } else {
            return Err(error);
        };
        serde_json::from_value(event).map_err(|_| error)
    })
}

/// The keys of `events show` that are no event's.
const HISTORY: [&str; 3] = ["in_inbox", "deliveries", "attempts"];
