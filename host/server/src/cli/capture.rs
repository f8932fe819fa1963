//! `capture`: triggers on the application's tables.

use aftercommit_core::{Clock as _, SystemClock};
use aftercommit_store::CaptureRequest;
use serde_json::json;

use super::{failure::Outcome, session::Session};

/// Choose the tables whose changes become events
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Capture a table: write the triggers that put its changes into the inbox
    ///
    /// The triggers run in the application's own transaction: a change and its event are committed together or not at
    /// all. Run it again after the table was changed; it renews the triggers.
    #[command(after_help = "\
Examples:
  aftercommit capture add orders --entity Order
  aftercommit capture add order_items --entity OrderItem --key order_id,line")]
    Add {
        /// The table
        table: String,
        /// The entity type of its events, such as Order
        #[arg(long, value_name = "NAME")]
        entity: String,
        /// Columns of the key, in order [default: the primary key]
        #[arg(long, value_name = "COLUMN", value_delimiter = ',')]
        key: Vec<String>,
        /// Do not ring hosts at each commit: they find changes when they look (`poll_interval_ms`)
        #[arg(long)]
        no_notify: bool,
    },
    /// List captured tables, and whether their triggers still fit
    #[command(after_help = "\
Examples:
  aftercommit capture list
  aftercommit capture list --output json")]
    List,
    /// Stop capturing a table: remove its triggers
    #[command(after_help = "\
Examples:
  aftercommit capture remove orders")]
    Remove {
        /// The table
        table: String,
    },
}

pub(super) async fn run(session: &Session, command: Command) -> Outcome {
    let store = session.store().await?;
    match command {
        Command::Add { table, entity, key, no_notify } => {
            let request = CaptureRequest { table, entity_type: entity, key, notify: !no_notify };
            let capture = store.add_capture(request, SystemClock.now()).await?;
            let text = format!(
                "captured {} as {}, key {}, {} columns",
                capture.table,
                capture.entity_type,
                capture.key.join(":"),
                capture.columns.len()
            );
            session.output.done(&capture, &text)?;
        }
        Command::List => {
            let columns = ["table", "entity_type", "key", "columns", "notify", "drift"];
            session.output.list(&store.captures().await?, &columns)?;
        }
        Command::Remove { table } => {
            store.remove_capture(&table).await?;
            let text = format!("{table} is no longer captured");
            session.output.done(&json!({ "table": table, "removed": true }), &text)?;
        }
    }
    Ok(())
}
