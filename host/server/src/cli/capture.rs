//! `capture`: triggers on the application's tables.

use aftercommit_core::{Clock as _, SystemClock};
use aftercommit_store::{
    Backend, Capture, CaptureRequest, CaptureStatus, ChangeLogField, ChangeLogRequest, Selection,
};
use serde::Serialize;
use serde_json::{Value, json};

use super::{
    backfill, condition,
    failure::{Failure, Outcome},
    session::Session,
};
use crate::output::joined;

/// Choose the tables whose changes become events
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Capture a table: write the triggers that put its changes into the inbox
    ///
    /// The triggers run in the application's own transaction: a change and its event are committed together or not at
    /// all. Run it again to capture the table differently; `capture refresh` renews the triggers as they were.
    #[command(after_help = "\
Examples:
  aftercommit capture add orders --entity Order
  aftercommit capture add order_items --entity OrderItem --key order_id,line
  aftercommit capture add users --entity User --exclude password_hash,avatar
  aftercommit capture add orders --entity Order --when \"status <> 'draft'\"")]
    Add(AddArgs),
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
    /// Renew the triggers of captured tables, for the columns that they have now
    ///
    /// After a table was changed or rebuilt, or by a newer version of this program. A table that can not be renewed holds
    /// up no other.
    #[command(after_help = "\
Examples:
  aftercommit capture refresh orders
  aftercommit capture refresh --all

Exit codes: 0 all were renewed; 1 one or more were not, and each is named.")]
    Refresh {
        /// Which ones
        #[arg(value_name = "TABLE", required_unless_present = "all")]
        tables: Vec<String>,
        /// All that are captured
        #[arg(long, conflicts_with = "tables")]
        all: bool,
    },
    /// Make events of the rows that a captured table has already
    ///
    /// To fill a search index or a cache the first time. Rows are read by their key, in short transactions; the application goes
    /// on meanwhile, and a row that it changes makes an event of its own. One that was interrupted goes on where it was with
    /// the same command. Progress is printed on standard error.
    #[command(after_help = "\
Examples:
  aftercommit capture backfill orders
  aftercommit capture backfill orders --when \"status = 'paid'\" --kind custom --rate 200
  aftercommit capture backfill orders --restart       begin anew

Exit codes: 0 all rows were read; 1 interrupted, or the operation failed.")]
    Backfill(backfill::Args),
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

/// What to capture.
#[derive(Debug, clap::Args)]
pub(super) struct AddArgs {
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
    /// Columns that are not captured; those that come later are
    #[arg(long, value_name = "COLUMN", value_delimiter = ',', conflicts_with = "only")]
    exclude: Vec<String>,
    /// Columns that are captured, beside those of the key; no others, also none that come later
    #[arg(long, value_name = "COLUMN", value_delimiter = ',')]
    only: Vec<String>,
    /// Only changes for which this condition is true become events; the others cost no event at all
    #[arg(long, value_name = "CONDITION")]
    when: Option<String>,
    /// Give a table that is captured already another entity type
    #[arg(long)]
    rename: bool,
}

pub(super) async fn run(session: &Session, command: Command) -> Outcome {
    match command {
        Command::Add(args) => add(session, args).await,
        Command::AddChangelog { table, columns, no_notify } => {
            let store = session.store().await?;
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
            Ok(session.output.done(&capture, &text)?)
        }
        Command::Refresh { tables, all } => {
            let store = session.store().await?;
            refresh(session, &*store, tables, all).await
        }
        Command::Backfill(args) => backfill::run(session, args).await,
        Command::List => {
            let statuses = session.store().await?.captures().await?;
            let rows: Vec<_> = statuses.iter().map(Listed::of).collect();
            Ok(session.output.list(&rows, &LISTED)?)
        }
        Command::Remove { table } => {
            session.store().await?.remove_capture(&table).await?;
            let text = format!("{table} is no longer captured");
            Ok(session.output.done(&json!({ "table": table, "removed": true }), &text)?)
        }
    }
}

async fn add(session: &Session, args: AddArgs) -> Outcome {
    if let Some(condition) = &args.when {
        // The store says what a capture can not evaluate; a mistake is shown at its place here.
        condition::parse(condition)?;
    }
    let selection = match (args.only, args.exclude) {
        (only, _) if !only.is_empty() => Selection::Only(only),
        (_, exclude) if !exclude.is_empty() => Selection::Exclude(exclude),
        _ => Selection::All,
    };
    let request = CaptureRequest {
        key: args.key,
        selection,
        condition: args.when,
        notify: !args.no_notify,
        rename: args.rename,
        ..CaptureRequest::new(args.table, args.entity)
    };
    let capture = session.store().await?.add_capture(request, SystemClock.now()).await?;
    Ok(session.output.done(&capture, &summary(&capture))?)
}

/// What is captured, in a line.
fn summary(capture: &Capture) -> String {
    let Capture { table, entity_type, key, columns, selection, condition, .. } = capture;
    let mut text =
        format!("captured {table} as {entity_type}, key {}, {} columns", key.join(":"), columns.len());
    if let Selection::Exclude(excluded) = selection {
        text = format!("{text}, without {}", excluded.join(", "));
    }
    if let Some(condition) = condition {
        text = format!("{text}, when {condition}");
    }
    text
}

/// Renews the triggers of each, whatever becomes of the others.
async fn refresh(session: &Session, store: &dyn Backend, tables: Vec<String>, all: bool) -> Outcome {
    let tables = if all {
        store.captures().await?.into_iter().map(|status| status.capture.table).collect()
    } else {
        tables
    };
    let (mut rows, mut failed) = (Vec::with_capacity(tables.len()), Vec::new());
    for table in &tables {
        match store.refresh_capture(table, SystemClock.now()).await {
            Ok(capture) => rows.push(joined(&capture, [("refreshed", Value::Bool(true))])?),
            Err(error) => {
                let error = error.to_string();
                rows.push(json!({ "table": table, "refreshed": false, "error": error }));
                failed.push(format!("{table}: {error}"));
            }
        }
    }
    session.output.list(&rows, &["table", "entity_type", "key", "columns", "refreshed"])?;
    if failed.is_empty() {
        return Ok(());
    }
    let (count, of) = (failed.len(), tables.len());
    Err(Failure::failed(format!("{count} of {of} captures could not be renewed:\n  {}", failed.join("\n  "))))
}

/// The columns of the list.
const LISTED: [&str; 11] = [
    "table",
    "source",
    "entity_type",
    "key",
    "columns",
    "only",
    "exclude",
    "condition",
    "notify",
    "drift",
    "warnings",
];

/// A capture in the list.
#[derive(Serialize)]
struct Listed<'a> {
    #[serde(flatten)]
    status: &'a CaptureStatus,
    /// What its events come from.
    source: &'static str,
    /// Columns that were chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    only: Option<&'a [String]>,
    /// Columns that were left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    exclude: Option<&'a [String]>,
}

impl<'a> Listed<'a> {
    fn of(status: &'a CaptureStatus) -> Self {
        let source = if status.capture.change_log.is_some() { "change log" } else { "table" };
        let (only, exclude) = match &status.capture.selection {
            Selection::All => (None, None),
            Selection::Only(only) => (Some(only.as_slice()), None),
            Selection::Exclude(exclude) => (None, Some(exclude.as_slice())),
        };
        Self { status, source, only, exclude }
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
