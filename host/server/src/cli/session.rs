//! What every command starts from: the configuration, the output, and the database if it needs one.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Once, OnceLock},
    time::{Duration, Instant},
};

use aftercommit_core::{Timestamp, shell_option};
use aftercommit_store::{Backend, Page, StoreError};
use serde::Serialize;

use super::failure::{Failure, Outcome};
use crate::{
    config::{self, Config, Environment, NamedBy},
    error::Error,
    logging::{self, LogFormat, Verbosity},
    output::{self, Format, Output},
    plugins::Catalog,
    wiring,
};

/// Options that every command takes.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Global options")]
pub(super) struct GlobalArgs {
    /// The configuration file [default: aftercommit.toml in the working folder, if it is there]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How results are printed on standard output
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORMAT")]
    output: Format,
    /// How the log is written on standard error; `AFTERCOMMIT_LOG` sets its level
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORMAT")]
    log_format: LogFormat,
}

impl GlobalArgs {
    /// How results and errors are printed.
    pub(super) const fn output(&self) -> Format {
        self.output
    }
}

/// Between two remarks on how far a list was looked through.
const REMARK: Duration = Duration::from_secs(2);

/// A command at work.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) output: Output,
    global: GlobalArgs,
    /// What names the database.
    database_named_by: OnceLock<NamedBy>,
    /// What the configuration's reader noticed was written to the log.
    warned: Once,
}

impl Session {
    pub(super) fn start(global: GlobalArgs, verbosity: Verbosity) -> Self {
        if let Some(complaint) = logging::start(global.log_format, verbosity) {
            tracing::warn!("{complaint}");
        }
        Self {
            output: Output::new(global.output),
            global,
            database_named_by: OnceLock::new(),
            warned: Once::new(),
        }
    }

    /// The configuration. Read when it is asked for: some commands need none.
    pub(super) fn config(&self) -> Result<Config, Failure> {
        let loaded = config::load(self.global.config.as_deref(), &Environment::of_process())?;
        // A command may ask for it several times.
        self.warned.call_once(|| loaded.warnings.iter().for_each(|warning| tracing::warn!("{warning}")));
        let _ = self.database_named_by.set(loaded.database_named_by);
        Ok(loaded.config)
    }

    /// The engine and its plugins, which this program compiles in processes of its own.
    pub(super) fn catalog_of(config: &Config) -> Result<Catalog, Failure> {
        // On Linux it is there also when the program's file has been replaced by another version, whose code would not fit.
        let linux = Path::new("/proc/self/exe");
        let program = if linux.exists() { Some(linux.to_owned()) } else { std::env::current_exe().ok() };
        Ok(wiring::open_catalog(config, program)?)
    }

    /// The same, by the configuration.
    pub(super) fn catalog(&self) -> Result<Catalog, Failure> {
        Self::catalog_of(&self.config()?)
    }

    /// The database, which must be there and be migrated.
    pub(super) async fn store(&self) -> Result<Arc<dyn Backend>, Failure> {
        self.store_of(&self.config()?).await
    }

    /// The same, by a configuration that was read already.
    pub(super) async fn store_of(&self, config: &Config) -> Result<Arc<dyn Backend>, Failure> {
        let store = self.database_of(config).await?;
        store.check_schema().await?;
        Ok(store)
    }

    /// The database, which must be there.
    pub(super) async fn database_of(&self, config: &Config) -> Result<Arc<dyn Backend>, Failure> {
        self.open(config, false).await
    }

    /// The database; a missing SQLite file is made.
    pub(super) async fn new_database_of(&self, config: &Config) -> Result<Arc<dyn Backend>, Failure> {
        self.open(config, true).await
    }

    async fn open(&self, config: &Config, create: bool) -> Result<Arc<dyn Backend>, Failure> {
        let opened = wiring::open_store(&config.database, create).await;
        opened.map_err(|error| {
            let make_it = match &error {
                Error::Database(StoreError::Missing { .. }) => {
                    format!("; make it with `{}`, or name another", self.migrate())
                }
                Error::Database(StoreError::Unreachable { .. }) => String::new(),
                _ => return error.into(),
            };
            // Whoever meant another database looks for it where nobody does.
            let named = match self.database_named_by.get() {
                Some(NamedBy::Written(by)) => format!("{by} names it"),
                Some(NamedBy::Default(places)) => {
                    format!("{places}: so the default was taken, {}", config.database.url)
                }
                None => return error.into(),
            };
            Failure::from(error).with_help(&format!("{named}{make_it}"))
        })
    }

    /// Prints a list of the database, at most `limit` rows of it, which come page by page. Nobody waits for a reader but this
    /// command: between two pages nothing is open in the database.
    pub(super) async fn list<T: Serialize, P>(
        &self,
        columns: &[&str],
        limit: usize,
        mut page: impl AsyncFnMut(Option<P>) -> Result<Page<T, P>, StoreError>,
    ) -> Outcome {
        let mut listing = self.output.listing(columns);
        let (mut left, mut next, mut remarked) = (limit, Some(None), Instant::now());
        while left > 0
            && listing.has_reader()
            && let Some(after) = next
        {
            let Page { mut rows, next: place, looked_back_to } = page(after).await?;
            rows.truncate(left);
            left -= rows.len();
            listing.add(&rows)?;
            next = place.map(Some);
            if rows.is_empty() && remarked.elapsed() >= REMARK {
                remark(looked_back_to);
                remarked = Instant::now();
            }
        }
        Ok(listing.end()?)
    }

    /// The command that makes the database of this configuration.
    fn migrate(&self) -> String {
        let file = self.global.config.as_ref().and_then(|file| file.to_str());
        file.map_or_else(
            || "aftercommit migrate".to_owned(),
            |file| format!("aftercommit migrate {}", shell_option("--config", file)),
        )
    }
}

/// Says how far back a list was looked through that has not found enough yet.
fn remark(looked_back_to: Option<Timestamp>) {
    if let Some(at) = looked_back_to {
        output::note(&format!("looked back to {at}"));
    }
}
