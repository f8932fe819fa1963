//! `capture`: triggers on the application's tables.

use aftercommit_core::{Clock as _, SystemClock};
use aftercommit_store::{CaptureRequest, CaptureStatus, ChangeLogField, ChangeLogRequest};
use serde::Serialize;
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
    /// Capture a change log: each row that your application writes to it becomes an event
    ///
    /// A change log is a table with one row for each change, such as `tb_entity_change_log`. What a row says are its
    /// FIELDs: `object_type`, `object_id`, `modification_type` (INSERT, UPDATE, DELETE) and `object_data` (the row as
    /// JSON); and, if it has them, `before` (the row before, as JSON), `tenant`, `actor` and `created_at`. PostgreSQL
    /// only.
    #[command(after_help = "\
Examples:
  aftercommit capture add-changelog core.tb_entity_change_log
  aftercommit capture add-changelog audit --column object_type=entity --column object_id=entity_pk
  aftercommit capture add-changelog audit --column actor=          do not read an actor")]
    AddChangelog {
        /// The table
        table: String,
        /// The column of a field, if it is not named like it; nothing after the `=` for none
        #[arg(long = "column", value_name = "FIELD=COLUMN", value_parser = field_and_column)]
        columns: Vec<(ChangeLogField, String)>,
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
            let request = CaptureRequest { key, notify: !no_notify, ..CaptureRequest::new(table, entity) };
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
        Command::AddChangelog { table, columns, no_notify } => {
            let request =
                ChangeLogRequest { table, columns: columns.into_iter().collect(), notify: !no_notify };
            let capture = store.add_change_log(request, SystemClock.now()).await?;
            let fields: Vec<_> = capture
                .change_log
                .iter()
                .flatten()
                .map(|(field, column)| format!("{field} from {column}"))
                .collect();
            let text = format!("captured the change log {}: {}", capture.table, fields.join(", "));
            session.output.done(&capture, &text)?;
        }
        Command::List => {
            let columns = ["table", "source", "entity_type", "key", "columns", "notify", "drift"];
            let statuses = store.captures().await?;
            let rows: Vec<_> = statuses.iter().map(Listed::of).collect();
            session.output.list(&rows, &columns)?;
        }
        Command::Remove { table } => {
            store.remove_capture(&table).await?;
            let text = format!("{table} is no longer captured");
            session.output.done(&json!({ "table": table, "removed": true }), &text)?;
        }
    }
    Ok(())
}

/// A capture in the list.
#[derive(Serialize)]
struct Listed<'a> {
    #[serde(flatten)]
    status: &'a CaptureStatus,
    /// What its events come from.
    source: &'static str,
}

impl<'a> Listed<'a> {
    fn of(status: &'a CaptureStatus) -> Self {
        Self { status, source: if status.capture.change_log.is_some() { "change log" } else { "table" } }
    }
}

fn field_and_column(text: &str) -> Result<(ChangeLogField, String), String> {
    let (field, column) = text.split_once('=').ok_or("write FIELD=COLUMN, such as object_id=entity_pk")?;
    let field: ChangeLogField = field.parse().map_err(|unknown| format!("{unknown}"))?;
    if column.is_empty() && field.is_required() {
        return Err(format!("a change log must have a column for `{field}`"));
    }
    Ok((field, column.to_owned()))
}
