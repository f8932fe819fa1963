//! `events`: what happened.

use aftercommit_core::{EntityEvent, EventKind};
use aftercommit_store::{EventFilter, events::MAX_ATTEMPTS};
use clap::builder::NonEmptyStringValueParser;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    failure::{Failure, Outcome},
    ids,
    session::Session,
    traceparent,
};
use crate::{
    document::{Document, Format},
    output::{self, joined, to_value},
};

/// Look at events, and emit some by hand
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Put an event into the inbox by hand; print its id
    #[command(after_help = "\
Examples:
  aftercommit events emit --entity Order --kind custom --id 7 --data '{\"total\": 150}'
  aftercommit events emit --entity Order --kind updated --id 7 \\
      --data '{\"status\": \"shipped\"}' --old '{\"status\": \"paid\"}'
  aftercommit events emit --entity Order --kind custom --id 7 --data '{}' --actor ann --tenant acme \\
      --traceparent 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")]
    Emit(EmitArgs),
    /// List events, the newest first
    #[command(after_help = "\
Examples:
  aftercommit events list --entity Order --limit 20
  aftercommit events list --output json | jq '.[].id'")]
    List(ListArgs),
    /// Show one event, its deliveries and every attempt
    #[command(after_help = "\
Examples:
  aftercommit events show 0198f0a2-7b1c-7d30-9f4e-3c5b7a9d1e2f")]
    Show {
        /// The event's id
        #[arg(value_parser = ids::uuid)]
        id: Uuid,
    },
}

/// What to emit.
#[derive(Debug, clap::Args)]
pub(super) struct EmitArgs {
    /// The entity type, such as Order
    #[arg(long, value_name = "NAME")]
    entity: String,
    /// created, updated, deleted or custom
    #[arg(long)]
    kind: EventKind,
    /// The entity's key; the parts of a composite key joined by `:`
    #[arg(long)]
    id: String,
    /// The row after the change, a JSON object; for `deleted`, the row before it
    #[arg(long, value_name = "JSON")]
    data: String,
    /// The row before an update, a JSON object
    #[arg(long, value_name = "JSON")]
    old: Option<String>,
    /// The trace that the change belongs to (W3C Trace Context)
    #[arg(long, value_name = "TRACEPARENT", value_parser = traceparent::parse)]
    traceparent: Option<String>,
    /// Who made the change
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    actor: Option<String>,
    /// The tenant that the change belongs to
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    tenant: Option<String>,
}

/// Which events to list.
#[derive(Debug, clap::Args)]
pub(super) struct ListArgs {
    /// Only of this entity type
    #[arg(long, value_name = "NAME")]
    entity: Option<String>,
    /// Only of this entity
    #[arg(long)]
    id: Option<String>,
    /// Only of this kind
    #[arg(long)]
    kind: Option<EventKind>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 1000)]
    limit: usize,
}

pub(super) async fn run(session: &Session, command: Command) -> Outcome {
    match command {
        Command::Emit(args) => emit(session, args).await,
        Command::List(args) => list(session, args).await,
        Command::Show { id } => show(session, id).await,
    }
}

async fn emit(session: &Session, args: EmitArgs) -> Outcome {
    if args.entity.is_empty() {
        return Err(Failure::usage("--entity is empty: an event needs an entity type, such as Order"));
    }
    let mut event = EntityEvent::new(args.kind, args.entity, args.id, row("--data", &args.data)?);
    if let Some(old) = &args.old {
        event = event.with_old(row("--old", old)?);
    }
    event.traceparent = args.traceparent;
    event.actor = args.actor;
    event.tenant_id = args.tenant;
    let id = event.id;
    session.store().await?.emit(event).await?;
    Ok(session.output.done(&json!({ "id": id }), &id.to_string())?)
}

/// A row from the command line: a JSON object.
fn row(argument: &str, text: &str) -> Result<Value, Failure> {
    let document = Document::parse(argument, text, Format::Json)?;
    let row = document.root.to_json();
    if row.is_object() {
        return Ok(row);
    }
    let found = document.root.kind();
    Err(Failure::usage(format!(
        "{argument} must be a JSON object, the row, such as '{{\"total\": 150}}'; found {found}"
    )))
}

async fn list(session: &Session, args: ListArgs) -> Outcome {
    let filter = EventFilter {
        entity_type: args.entity,
        entity_id: args.id,
        event_kind: args.kind,
        limit: args.limit,
    };
    let store = session.store().await?;
    let columns = ["id", "occurred_at", "entity_type", "entity_id", "event_kind", "changed"];
    session.list(&columns, filter.limit, async |after| store.events_page(&filter, after).await).await
}

async fn show(session: &Session, id: Uuid) -> Outcome {
    let history = session.store().await?.event(id).await?;
    let mut attempts = to_value(&history.attempts)?;
    if !session.output.is_json() {
        // A table has texts in its cells.
        for details in attempts.as_array_mut().into_iter().flatten().filter_map(|row| row.get_mut("details"))
        {
            *details = Value::String(details.to_string());
        }
    }
    if history.has_earlier_attempts {
        output::note(&format!(
            "only the last {MAX_ATTEMPTS} attempts are shown; the others are in tb_observer_log"
        ));
    }
    let more = [
        ("in_inbox", Value::Bool(history.in_inbox)),
        ("deliveries", to_value(&history.deliveries)?),
        ("attempts", attempts),
    ];
    Ok(session.output.show(&joined(&history.event, more)?)?)
}
