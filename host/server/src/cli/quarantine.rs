//! `quarantine`: captured rows that could not become events.

use serde_json::json;

use super::{failure::Outcome, session::Session};

/// Look at rows that could not become events, put them back into the inbox, discard them
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// List quarantined rows, the newest first
    #[command(after_help = "\
Examples:
  aftercommit quarantine list
  aftercommit quarantine list --output json | jq '.[].reason'")]
    List {
        /// At most so many
        #[arg(long, value_name = "N", default_value_t = 1000)]
        limit: usize,
    },
    /// Show one row: why it is no event, and what was captured of it
    #[command(after_help = "\
Examples:
  aftercommit quarantine show 7")]
    Show {
        /// Its number
        id: i64,
    },
    /// Put exactly these rows back into the inbox as they were captured; print their numbers
    ///
    /// All of them or, if one is not there, none. What still is no event comes back into quarantine, with a new number.
    #[command(after_help = "\
Examples:
  aftercommit quarantine retry 7 8
  aftercommit quarantine retry --all")]
    Retry {
        /// Which ones
        #[arg(required_unless_present = "all")]
        ids: Vec<i64>,
        /// All that are there now
        #[arg(long, conflicts_with = "ids")]
        all: bool,
    },
    /// Remove rows for good: they never become events
    #[command(after_help = "\
Examples:
  aftercommit quarantine discard 7")]
    Discard {
        /// Which ones
        #[arg(required = true)]
        ids: Vec<i64>,
    },
}

pub(super) async fn run(session: &Session, command: Command) -> Outcome {
    let store = session.store().await?;
    match command {
        Command::List { limit } => {
            let columns = ["id", "quarantined_at", "entity_type", "entity_id", "event_id", "reason"];
            session.list(&columns, limit, async |below| store.quarantined_page(below, limit).await).await?;
        }
        Command::Show { id } => session.output.show(&store.quarantined_row(id).await?)?,
        Command::Retry { ids, all } => {
            store.require_quarantined(&ids).await?;
            let mut listing = session.output.lines("id");
            let mut printed = Ok(());
            let mut print = |put_back: &[i64]| {
                let rows: Vec<_> = put_back.iter().map(|id| json!({ "id": id, "status": "inbox" })).collect();
                let added = listing.add(&rows);
                printed = std::mem::replace(&mut printed, Ok(())).and(added);
            };
            if all {
                store.retry_all_quarantined(&mut print).await?;
            } else {
                print(&store.retry_quarantined(ids).await?);
            }
            printed?;
            listing.end()?;
        }
        Command::Discard { ids } => {
            store.require_quarantined(&ids).await?;
            let discarded = store.discard_quarantined(ids).await?;
            let text = format!("discarded {discarded}");
            session.output.done(&json!({ "discarded": discarded }), &text)?;
        }
    }
    Ok(())
}
