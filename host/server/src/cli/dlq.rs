//! `dlq`: deliveries that failed for good.

use aftercommit_core::{Clock as _, DeliveryId, SystemClock};
use aftercommit_store::rows;
use serde_json::json;

use super::{failure::Outcome, ids, session::Session};
use crate::output::{joined, to_value};

/// Look at the dead letter queue, replay from it, discard from it
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// List dead letters, the newest first
    #[command(after_help = "\
Examples:
  aftercommit dlq list
  aftercommit dlq list --output json | jq -r '.[] | select(.observer == \"order-shipped\") | .id'")]
    List {
        /// At most so many
        #[arg(long, value_name = "N", default_value_t = 1000)]
        limit: usize,
    },
    /// Show one dead letter: its event, its action, its error and its history
    #[command(after_help = "\
Examples:
  aftercommit dlq show 5f0d7f0e-2f8f-5b0a-8d3f-6f3f1c2b4a59")]
    Show {
        /// Its id, which is its delivery's
        #[arg(value_parser = ids::delivery)]
        id: DeliveryId,
    },
    /// Make exactly these deliveries again, with a new round of attempts; print their ids
    ///
    /// All of them or, if one is not in the queue, none. They run with the present definition of their observer.
    #[command(after_help = "\
Examples:
  aftercommit dlq retry 5f0d7f0e-2f8f-5b0a-8d3f-6f3f1c2b4a59
  aftercommit dlq retry --all")]
    Retry {
        /// Which ones
        #[arg(value_parser = ids::delivery, required_unless_present = "all")]
        ids: Vec<DeliveryId>,
        /// All that are in the queue now
        #[arg(long, conflicts_with = "ids")]
        all: bool,
    },
    /// Remove dead letters for good: they are never delivered
    #[command(after_help = "\
Examples:
  aftercommit dlq discard 5f0d7f0e-2f8f-5b0a-8d3f-6f3f1c2b4a59")]
    Discard {
        /// Which ones
        #[arg(value_parser = ids::delivery, required = true)]
        ids: Vec<DeliveryId>,
    },
}

pub(super) async fn run(session: &Session, command: Command) -> Outcome {
    let store = session.store().await?;
    let now = SystemClock.now();
    match command {
        Command::List { limit } => {
            let columns =
                ["id", "event_id", "observer", "action", "attempts", "code", "died_at", "last_error"];
            let (found, rows) = rows();
            session.list(&columns, store.list_dead_letters(limit, found), rows).await?;
        }
        Command::Show { id } => {
            let letter = store.dead_letter(id).await?;
            let history = to_value(&store.history(id).await?)?;
            session.output.show(&joined(&letter, [("history", history)])?)?;
        }
        Command::Retry { ids, all } => {
            let made = store.replay(if all { None } else { Some(ids) }, now).await?;
            let items: Vec<_> = made.iter().map(|id| json!({ "id": id, "status": "ready" })).collect();
            let text: Vec<String> = made.iter().map(DeliveryId::to_string).collect();
            session.output.done(&items, &text.join("\n"))?;
        }
        Command::Discard { ids } => {
            let discarded = store.discard(ids, now).await?;
            let text = format!("discarded {discarded}");
            session.output.done(&json!({ "discarded": discarded }), &text)?;
        }
    }
    Ok(())
}
