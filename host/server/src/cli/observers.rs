//! `observers`: the table that says what to do.

use std::path::PathBuf;

use aftercommit_core::{Clock as _, ObserverDefinition, SystemClock, nearest};
use aftercommit_store::{Applied, ObserverRow, StoreError};
use serde_json::{Value, json};

use super::{
    failure::{Failure, Outcome},
    session::Session,
};
use crate::{observer_file::ObserverFile, output::joined, wiring};

/// Say which events to act on, and how
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Put the observers of a file into the database, by name: new ones are made, others are changed
    ///
    /// Everything is checked first, plugins' configurations too; if anything is wrong, nothing is applied. Running hosts
    /// take over what changed by themselves.
    #[command(after_help = "\
Examples:
  aftercommit observers apply observers.toml
  aftercommit observers apply observers.yaml --prune --dry-run    what would change, were it the whole truth")]
    Apply {
        /// TOML, YAML or JSON, by its extension
        file: PathBuf,
        /// Remove observers that are not in the file
        #[arg(long)]
        prune: bool,
        /// Only say what would be done
        #[arg(long)]
        dry_run: bool,
    },
    /// Check a file of observers without a database: keys, conditions, plugins, templates, secrets
    #[command(after_help = "\
Examples:
  aftercommit observers validate observers.toml")]
    Validate {
        /// TOML, YAML or JSON, by its extension
        file: PathBuf,
    },
    /// List observers, and the error of each that does not load
    #[command(after_help = "\
Examples:
  aftercommit observers list
  aftercommit observers list --output json | jq -r '.[] | select(.error) | .name'")]
    List,
    /// Show one observer as it is in the database
    #[command(after_help = "\
Examples:
  aftercommit observers show order-shipped --output json")]
    Show {
        /// The observer's name
        name: String,
    },
    /// Enable an observer: what waited for it goes on
    #[command(after_help = "\
Examples:
  aftercommit observers enable order-shipped")]
    Enable {
        /// The observer's name
        name: String,
    },
    /// Disable an observer: it matches nothing, and what was already due waits
    #[command(after_help = "\
Examples:
  aftercommit observers disable order-shipped")]
    Disable {
        /// The observer's name
        name: String,
    },
}

pub(super) async fn run(session: &Session, command: Command) -> Outcome {
    match command {
        Command::Apply { file, prune, dry_run } => apply(session, &file, prune, dry_run).await,
        Command::Validate { file } => {
            let observers = check(session, &file).await?;
            let plural = if observers.len() == 1 { "" } else { "s" };
            let text = format!("{} is valid: {} observer{plural}", file.display(), observers.len());
            Ok(session.output.done(&json!({ "valid": true, "observers": observers.len() }), &text)?)
        }
        Command::List => {
            let rows: Vec<Value> = table(session).await?.iter().map(listed).collect();
            let columns = ["name", "entity_type", "event_kind", "enabled", "priority", "actions", "error"];
            Ok(session.output.list(&rows, &columns)?)
        }
        Command::Show { name } => show(session, &name).await,
        Command::Enable { name } => set_enabled(session, &name, true).await,
        Command::Disable { name } => set_enabled(session, &name, false).await,
    }
}

/// Reads a file of observers and checks all of it.
async fn check(session: &Session, file: &std::path::Path) -> Result<Vec<ObserverDefinition>, Failure> {
    let file = ObserverFile::read(file)?;
    for warning in &file.warnings {
        eprintln!("{warning}");
    }
    file.check(&wiring::open_catalog(&session.config()?)?).await?;
    Ok(file.observers)
}

async fn apply(session: &Session, file: &std::path::Path, prune: bool, dry_run: bool) -> Outcome {
    let observers = check(session, file).await?;
    let store = session.store().await?;
    let applied = store.apply(observers, prune, dry_run, SystemClock.now()).await?;
    let summary = joined(&applied, [("dry_run", Value::Bool(dry_run))])?;
    Ok(session.output.done(&summary, &changes(&applied, dry_run))?)
}

/// What an application did, one line an observer and one in all.
fn changes(applied: &Applied, dry_run: bool) -> String {
    let Applied { created, updated, unchanged, removed } = applied;
    let groups = [("created", created), ("updated", updated), ("removed", removed), ("unchanged", unchanged)];
    let mut text: String = groups
        .iter()
        .flat_map(|(what, names)| names.iter().map(move |name| format!("{what:9}  {name}\n")))
        .collect();
    let counts: Vec<String> = groups.iter().map(|(what, names)| format!("{} {what}", names.len())).collect();
    text.push_str(&counts.join(", "));
    if dry_run {
        text.push_str(" (dry run: nothing was written)");
    }
    text
}

async fn table(session: &Session) -> Result<Vec<ObserverRow>, Failure> {
    Ok(session.store().await?.load().await?.rows)
}

/// A row for the list: what was written, short, and how it is.
fn listed(row: &ObserverRow) -> Value {
    let definition = row.definition.as_ref().ok();
    json!({
        "name": row.name,
        "entity_type": definition.map(|it| &it.entity_type),
        "event_kind": definition.map(|it| it.event_kind.map_or("*", aftercommit_core::EventKind::as_str)),
        "condition": definition.and_then(|it| it.condition.as_ref()),
        "on_failure": definition.map(|it| it.on_failure),
        "ordering": definition.map(|it| it.ordering),
        "enabled": row.enabled,
        "priority": definition.map(|it| it.priority),
        "actions": definition.map(|it| (0..it.actions.len()).map(|at| it.action_name(at)).collect::<Vec<_>>()),
        "error": error_of(row),
        "updated_at": row.updated_at,
    })
}

fn error_of(row: &ObserverRow) -> Option<&String> {
    row.definition.as_ref().err().or(row.load_error.as_ref())
}

async fn show(session: &Session, name: &str) -> Outcome {
    let rows = table(session).await?;
    let row = rows.iter().find(|row| row.name == name).ok_or_else(|| unknown(name, &rows))?;
    let error = error_of(row).cloned().map_or(Value::Null, Value::String);
    let more = [
        ("enabled", Value::Bool(row.enabled)),
        ("error", error),
        ("updated_at", Value::String(row.updated_at.to_string())),
    ];
    let shown = match &row.definition {
        Ok(definition) => joined(definition, more)?,
        Err(_) => joined(&json!({ "name": row.name }), more)?,
    };
    Ok(session.output.show(&shown)?)
}

async fn set_enabled(session: &Session, name: &str, enabled: bool) -> Outcome {
    let store = session.store().await?;
    match store.set_enabled(name, enabled, SystemClock.now()).await {
        Err(StoreError::NotFound { .. }) => Err(unknown(name, &store.load().await?.rows)),
        result => {
            result?;
            let text = format!("{name} is {}", if enabled { "enabled" } else { "disabled" });
            Ok(session.output.done(&json!({ "name": name, "enabled": enabled }), &text)?)
        }
    }
}

fn unknown(name: &str, rows: &[ObserverRow]) -> Failure {
    let hint = match nearest(name, rows.iter().map(|row| row.name.as_str())) {
        Some(near) => format!("; did you mean `{near}`?"),
        None if rows.is_empty() => "; there are none yet: `aftercommit observers apply FILE`".to_owned(),
        None => "; `aftercommit observers list` names them".to_owned(),
    };
    Failure::failed(format!("there is no observer `{name}`{hint}"))
}
