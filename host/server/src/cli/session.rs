//! What every command starts from: the configuration, the output, and the database if it needs one.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Once, OnceLock},
};

use aftercommit_store::{Backend, StoreError};
use serde::Serialize;
use tokio::sync::mpsc;

use super::failure::{Failure, Outcome};
use crate::{
    config::{self, Config, Environment},
    error::Error,
    logging::{self, LogFormat, Verbosity},
    output::{Format, Output},
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

/// A command at work.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) output: Output,
    global: GlobalArgs,
    /// Where the database's URL was looked for in vain.
    no_database_in: OnceLock<String>,
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
            no_database_in: OnceLock::new(),
            warned: Once::new(),
        }
    }

    /// The configuration. Read when it is asked for: some commands need none.
    pub(super) fn config(&self) -> Result<Config, Failure> {
        let loaded = config::load(self.global.config.as_deref(), &Environment::of_process())?;
        // A command may ask for it several times.
        self.warned.call_once(|| loaded.warnings.iter().for_each(|warning| tracing::warn!("{warning}")));
        if let Some(places) = loaded.no_database_in {
            let _ = self.no_database_in.set(places);
        }
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
        let opened = wiring::open_store(&config.database, false).await;
        let store = opened.map_err(|error| match (error, self.no_database_in.get()) {
            // Whoever meant another database looks for it where nobody does.
            (error @ Error::Database(StoreError::Unreachable { .. }), Some(places)) => {
                Failure::from(error).with_help(&format!(
                    "{places}: so the default was taken, {}; make it with `aftercommit migrate`, or name another",
                    config.database.url
                ))
            }
            (error, _) => error.into(),
        })?;
        store.check_schema().await?;
        Ok(store)
    }

    /// Prints a list of the database, whose rows come while `list` runs.
    pub(super) async fn list<T: Serialize>(
        &self,
        columns: &[&str],
        list: impl Future<Output = Result<(), StoreError>>,
        mut rows: mpsc::Receiver<T>,
    ) -> Outcome {
        let mut listing = self.output.listing(columns);
        let collect = async move {
            while let Some(row) = rows.recv().await {
                listing.add(&row)?;
            }
            std::io::Result::Ok(listing)
        };
        let (listed, listing) = tokio::join!(list, collect);
        listed?;
        Ok(listing?.print()?)
    }
}
