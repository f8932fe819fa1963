//! `observers`: the table that says what to do.

mod hosts_wait;
mod import;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    path::{Path, PathBuf},
    time::Duration,
};

use aftercommit_core::{Clock as _, ObserverDefinition, SystemClock, nearest};
use aftercommit_store::{
    Applied, Backend, Capture, Definitions, Hold, ObserverRow, ObserverTable, StoreError, Target,
};
use serde_json::{Value, json};

use self::hosts_wait::Wait;
use super::{
    effective,
    failure::{Failure, Outcome},
    session::Session,
};
use crate::{
    observer_file::{Draft, ObserverFile},
    observers::{Matches, Preview, uncaptured},
    output::{self, joined, to_value},
};

/// Say which events to act on, and how
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Put the observers of a file into the database, by name: new ones are made, others are changed
    ///
    /// Everything is checked first, plugins' configurations too; if anything is wrong, nothing is applied. Running hosts
    /// take over what changed by themselves. An observer of which the file does not say `enabled` stays enabled or disabled.
    #[command(after_help = "\
Examples:
  aftercommit observers apply observers.toml
  aftercommit observers apply observers.toml --wait               return when the running hosts use it
  aftercommit observers apply observers.yaml --prune --dry-run    what would change, were it the whole truth")]
    Apply {
        /// TOML, YAML or JSON, by its extension
        file: PathBuf,
        /// Remove observers that are not in the file
        #[arg(long)]
        prune: bool,
        /// Only say what would be done, and how many of the last 24 hours' events each changed observer would match
        #[arg(long)]
        dry_run: bool,
        /// Return when all running hosts use what was applied; where none runs, at once
        #[arg(long, conflicts_with = "dry_run")]
        wait: bool,
        /// How long to wait, in seconds; then the exit code is 1, and the error names the hosts that do not use it yet
        #[arg(long, value_name = "SECONDS", default_value_t = 60, requires = "wait")]
        timeout: u64,
    },
    /// Write a file of observers from the table `tb_observer` of an earlier system
    ///
    /// The table is read in the configured database, which must be PostgreSQL, and is not changed. Nothing is applied: look
    /// through the file, then use `observers validate` and `observers apply`. What has another meaning here is a remark at
    /// its observer; what can not be an observer is a comment with the reason, and makes the exit code 1.
    #[command(after_help = "\
Examples:
  aftercommit observers import observers.toml
  DATABASE_URL=postgres://db.example.com/old aftercommit observers import observers.toml --schema core")]
    Import {
        /// The file to write, which must not be there yet; its name ends in .toml
        file: PathBuf,
        /// The schema that has the table
        #[arg(long, default_value = "public", value_name = "NAME")]
        schema: String,
    },
    /// Check a file of observers without a database: keys, conditions, plugins, templates, secrets
    ///
    /// Where a database is there, warns of entity types and fields that no captured table has.
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
    /// Show one observer as it is in the database, and what each of its actions may do on this host
    ///
    /// An action may do what its plugin declares it needs and what was granted to it: by its own configuration, by `grants`,
    /// or by the host's configuration for all actions of the plugin.
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
    ///
    /// It stays disabled until `observers enable`, or until a file is applied that says `enabled = true`.
    #[command(after_help = "\
Examples:
  aftercommit observers disable order-shipped")]
    Disable {
        /// The observer's name
        name: String,
    },
    /// Remove an observer; its deliveries that have not ended become dead letters with the reason `observer_removed`
    ///
    /// An observer that the file of a host still names is there again when that host starts.
    #[command(after_help = "\
Examples:
  aftercommit observers remove order-shipped")]
    Remove {
        /// The observer's name
        name: String,
    },
}

pub(super) async fn run(session: &Session, command: Command) -> Outcome {
    match command {
        Command::Apply { file, prune, dry_run: true, .. } => preview(session, &file, prune).await,
        Command::Apply { file, prune, wait, timeout, .. } => {
            apply(session, &file, prune, wait.then(|| Duration::from_secs(timeout))).await
        }
        Command::Import { file, schema } => import::run(session, &file, &schema).await,
        Command::Validate { file } => {
            let observers = check(session, &file).await?.observers;
            // A database is looked at, if one is there.
            if let Ok(Ok(store)) = tokio::time::timeout(LOOK, session.store()).await {
                warn_of_uncaptured(&*store, &observers).await;
            }
            let plural = if observers.len() == 1 { "" } else { "s" };
            let text = format!("{} is valid: {} observer{plural}", file.display(), observers.len());
            Ok(session.output.done(&json!({ "valid": true, "observers": observers.len() }), &text)?)
        }
        Command::List => {
            let store = session.store().await?;
            let paused = paused(store.holds().await?);
            let rows: Vec<Value> = store.load().await?.rows.iter().map(|row| listed(row, &paused)).collect();
            let columns =
                ["name", "entity_type", "event_kind", "enabled", "priority", "actions", "paused", "error"];
            Ok(session.output.list(&rows, &columns)?)
        }
        Command::Show { name } => show(session, &name).await,
        Command::Enable { name } => set_enabled(session, &name, true).await,
        Command::Disable { name } => set_enabled(session, &name, false).await,
        Command::Remove { name } => remove(session, &name).await,
    }
}

/// How long `validate` waits for a database that it does not need.
const LOOK: Duration = Duration::from_secs(2);

/// Warns of what observers ask for and no captured table has.
async fn warn_of_uncaptured(store: &dyn Backend, observers: &[ObserverDefinition]) {
    // Without that list there is nothing to say; what is wrong with the database is said by what needs it.
    let Ok(statuses) = store.captures().await else { return };
    let captures: Vec<Capture> = statuses.into_iter().map(|status| status.capture).collect();
    for warning in uncaptured::warnings(observers, &captures) {
        output::note(&format!("warning: {warning}"));
    }
}

/// Reads a file of observers and checks all of it.
async fn check(session: &Session, file: &Path) -> Result<ObserverFile, Failure> {
    let (file, warnings) = Draft::read(file)?.check(&session.catalog()?).await?;
    for warning in &file.warnings {
        output::note(warning);
    }
    if !warnings.problems.is_empty() {
        output::note(&warnings.to_string());
    }
    Ok(file)
}

/// The observers of a file that was checked, as they would be in the database, and those that are there.
async fn join_with_table(
    mut file: ObserverFile,
    store: &dyn Backend,
) -> Result<(ObserverTable, Vec<ObserverDefinition>), Failure> {
    let table = store.load().await?;
    file.leave_enabled_as_in(&table);
    warn_of_uncaptured(store, &file.observers).await;
    Ok((table, file.observers))
}

/// Applies a file; with a time, waits for so long at most until the running hosts use it.
async fn apply(session: &Session, file: &Path, prune: bool, wait: Option<Duration>) -> Outcome {
    let file = check(session, file).await?;
    let config = session.config()?;
    let store = session.store_of(&config).await?;
    let (_, observers) = join_with_table(file, &*store).await?;
    let applied = store.apply(observers, prune, false, SystemClock.now()).await?;
    let mut more = vec![("dry_run", Value::Bool(false))];
    let Some(timeout) = wait else {
        return Ok(session.output.done(&joined(&applied, more)?, &done(&applied))?);
    };
    let lease_timeout = Duration::from_millis(config.dispatch.lease_timeout_ms);
    let waited = hosts_wait::until_used(&*store, Wait { timeout, lease_timeout }).await;
    // What was applied is said in any case.
    let (users, failure) = match waited {
        Ok(hosts) => (hosts, None),
        Err(failure) => (Vec::new(), Some(failure)),
    };
    more.push(("used_by", users.iter().map(|host| host.name.as_str()).collect()));
    let text = match (&failure, users.len()) {
        (Some(_), _) => done(&applied),
        (None, 0) => done(&applied) + "\nno host is running; the next one to start uses them",
        (None, count) => {
            let names: Vec<_> = users.iter().map(|host| host.name.as_str()).collect();
            format!(
                "{}\nin use by {count} running host{}: {}",
                done(&applied),
                if count == 1 { "" } else { "s" },
                names.join(", ")
            )
        }
    };
    session.output.done(&joined(&applied, more)?, &text)?;
    match failure {
        Some(failure) => Err(failure),
        None => refuse_what_does_not_load(&*store, &applied).await,
    }
}

/// An error for observers of this application that do not load on a running host.
async fn refuse_what_does_not_load(store: &dyn Backend, applied: &Applied) -> Outcome {
    let rows = store.load().await?.rows;
    let is_applied = |row: &&ObserverRow| groups(applied).iter().any(|(_, names)| names.contains(&row.name));
    let errors = rows.iter().filter(is_applied).filter_map(|row| Some((&row.name, row.load_error.as_ref()?)));
    let errors: Vec<String> = errors.map(|(name, error)| format!("{name}: {error}")).collect();
    if errors.is_empty() {
        return Ok(());
    }
    Err(Failure::failed(format!("on running hosts some observers do not load: {}", errors.join("; "))))
}

/// Says what an application of a file would do.
async fn preview(session: &Session, file: &Path, prune: bool) -> Outcome {
    let file = check(session, file).await?;
    let store = session.store().await?;
    let (table, observers) = join_with_table(file, &*store).await?;
    let now = SystemClock.now();
    let applied = store.apply(observers.clone(), prune, true, now).await?;
    let preview = Preview::of(&*store, &table, &observers, &applied, now).await?;
    let differences = differences(&table, &observers, &applied)?;
    let text = would_do(&applied, &preview, &differences);
    let more = [
        ("dry_run", Value::Bool(true)),
        ("differences", to_value(&differences)?),
        ("last_24_h", to_value(&preview)?),
    ];
    Ok(session.output.done(&joined(&applied, more)?, &text)?)
}

/// What changes in each updated observer: key, before, after.
type Differences = BTreeMap<String, Vec<(String, Value, Value)>>;

fn differences(
    table: &ObserverTable,
    observers: &[ObserverDefinition],
    applied: &Applied,
) -> Result<Differences, Failure> {
    let mut differences = Differences::new();
    for name in &applied.updated {
        let old =
            table.rows.iter().find(|row| row.name == *name).and_then(|row| row.definition.as_ref().ok());
        let new = observers.iter().find(|definition| definition.name == *name);
        let (old, new) = (to_value(&old)?, to_value(&new)?);
        let keys = [&old, &new].into_iter().filter_map(Value::as_object).flat_map(|map| map.keys());
        let keys: BTreeSet<&String> = keys.collect();
        let changed = keys.into_iter().filter(|key| old.get(key) != new.get(key));
        let value = |of: &Value, key: &String| of.get(key).cloned().unwrap_or(Value::Null);
        let changed = changed.map(|key| (key.clone(), value(&old, key), value(&new, key)));
        differences.insert(name.clone(), changed.collect());
    }
    Ok(differences)
}

/// What an application did, one line an observer and one in all.
fn done(applied: &Applied) -> String {
    let mut text = String::new();
    for (what, names) in groups(applied) {
        for name in names {
            let _ = writeln!(text, "{what:9}  {name}");
        }
    }
    text + &counts(applied)
}

/// What an application would do: also what changes, and what would have been matched.
fn would_do(applied: &Applied, preview: &Preview, differences: &Differences) -> String {
    let mut text = String::new();
    let events = match preview.since {
        Some(since) => format!("the newest {} events, since {since},", preview.events),
        None => format!("the {} events of the last 24 hours", preview.events),
    };
    for (what, names) in groups(applied) {
        for name in names {
            let _ = writeln!(text, "{what:9}  {name}");
            for (key, before, after) in differences.get(name).into_iter().flatten() {
                let _ = writeln!(text, "             {key}: {before} -> {after}");
            }
            if let Some(Matches { before, after }) = preview.observers.get(name) {
                let _ = writeln!(text, "             of {events} it matches {before} now, and {after} then");
            }
        }
    }
    text + &counts(applied) + " (dry run: nothing was written)"
}

fn groups(applied: &Applied) -> [(&'static str, &Vec<String>); 4] {
    let Applied { created, updated, unchanged, removed } = applied;
    [("created", created), ("updated", updated), ("removed", removed), ("unchanged", unchanged)]
}

fn counts(applied: &Applied) -> String {
    groups(applied).map(|(what, names)| format!("{} {what}", names.len())).join(", ")
}

async fn table(session: &Session) -> Result<Vec<ObserverRow>, Failure> {
    Ok(session.store().await?.load().await?.rows)
}

/// The actions whose endpoints are paused, by observer.
fn paused(holds: Vec<Hold>) -> BTreeMap<String, Vec<String>> {
    let mut paused = BTreeMap::<String, Vec<String>>::new();
    for hold in holds {
        if let Target::Endpoint(observer, action) = hold.target {
            paused.entry(observer).or_default().push(action);
        }
    }
    paused
}

/// A row for the list: what was written, short, and how it is.
fn listed(row: &ObserverRow, paused: &BTreeMap<String, Vec<String>>) -> Value {
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
        "paused": paused.get(&row.name),
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
        Ok(definition) => {
            let catalog = session.catalog()?;
            let granted = Value::Array(effective::grants(definition, &catalog).await);
            joined(definition, more.into_iter().chain([("effective_grants", granted)]))?
        }
        Err(_) => joined(&json!({ "name": row.name }), more)?,
    };
    Ok(session.output.show(&shown)?)
}

async fn set_enabled(session: &Session, name: &str, enabled: bool) -> Outcome {
    let store = session.store().await?;
    known(name, &*store, store.set_enabled(name, enabled, SystemClock.now()).await).await?;
    let text = format!("{name} is {}", if enabled { "enabled" } else { "disabled" });
    Ok(session.output.done(&json!({ "name": name, "enabled": enabled }), &text)?)
}

async fn remove(session: &Session, name: &str) -> Outcome {
    let store = session.store().await?;
    known(name, &*store, store.remove_observer(name).await).await?;
    Ok(session.output.done(&json!({ "name": name, "removed": true }), &format!("{name} is removed"))?)
}

/// The result of a change to one observer; where there is no such observer, the error names the nearest.
async fn known(name: &str, store: &dyn Definitions, result: Result<(), StoreError>) -> Result<(), Failure> {
    match result {
        Err(StoreError::NotFound { .. }) => Err(unknown(name, &store.load().await?.rows)),
        result => Ok(result?),
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
