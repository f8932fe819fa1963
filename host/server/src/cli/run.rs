//! `run`: the host, until it is told to stop.

use std::sync::Arc;

use aftercommit_core::{Clock as _, SystemClock};
use aftercommit_store::Backend;

use super::{
    failure::{Failure, Outcome},
    session::Session,
    signals::{Hangups, Signals},
};
use crate::{Host, HostSettings, config::Config, observer_file::ObserverFile, open_files, output};

/// Run the host: apply the configured file of observers, then deliver until told to stop
///
/// Prints `aftercommit ready` on standard output once it takes events. SIGTERM and SIGINT stop it: it takes no more
/// events, lets running actions end within `shutdown_grace_ms` and hands the rest back. A second signal ends it at once;
/// nothing is lost then either, others take over its deliveries. SIGHUP has it read its file of observers again. A host whose database file was replaced ends with exit
/// code 1.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  aftercommit run
  AFTERCOMMIT_LOG=debug aftercommit run --config /etc/aftercommit.toml --log-format json")]
pub(super) struct Args {}

pub(super) async fn run(session: &Session, _: &Args) -> Outcome {
    let config = session.config()?;
    let observers = read_observers(&config)?;
    let mut signals = Signals::listen()?;
    let mut hangups = Hangups::listen()?;
    open_files::allow(&config);
    let store = session.store_of(&config).await?;
    if let Some(file) = observers {
        apply(&*store, file).await?;
    }
    let catalog = Arc::new(Session::catalog_of(&config)?);
    let settings = HostSettings::from(&config);
    let starting = Box::pin(Host::start(Arc::clone(&store), catalog, Arc::new(SystemClock), settings));
    // Plugins that nobody has compiled yet may take minutes. Nothing was taken or claimed before they are.
    let host = tokio::select! {
        host = starting => host?,
        name = signals.next() => return Err(Failure::failed(format!("told to stop by {name} before it was ready"))),
    };
    output::print("aftercommit ready")?;
    tracing::info!(host = %host.id(), "ready");
    let name = loop {
        tokio::select! {
            name = signals.next() => break name,
            () = hangups.next() => reload(&config, &*store, &host).await,
            why = host.ended() => {
                tracing::error!("the host ends: {why}");
                return Err(Failure::failed(why));
            }
        }
    };
    tracing::info!(signal = name, "told to stop");
    tokio::select! {
        stopped = host.stop() => Ok(stopped?),
        name = signals.next() => Err(Failure::failed(format!("stopped at once by a second signal, {name}"))),
    }
}

/// Applies the file of observers again. Whatever is wrong with it, the host goes on with what it has.
async fn reload(config: &Config, store: &dyn Backend, host: &Host) {
    tracing::info!("SIGHUP: reads the file of observers again; other settings are those of the start");
    let applied = match read_observers(config) {
        Ok(Some(file)) => apply(store, file).await,
        Ok(None) => Ok(()),
        Err(failure) => Err(failure),
    };
    match applied {
        Ok(()) => host.reload(),
        Err(failure) => tracing::error!("nothing was reloaded: {failure}"),
    }
}

/// The configured file, if there is one. That its plugins accept it is not asked here: an observer that does not load
/// must not keep the others from running.
fn read_observers(config: &Config) -> Result<Option<ObserverFile>, Failure> {
    let path = &config.observers.file;
    if !config.observers.file_is_required() && !path.exists() {
        return Ok(None);
    }
    Ok(Some(ObserverFile::read(path)?))
}

async fn apply(store: &dyn Backend, mut file: ObserverFile) -> Outcome {
    for warning in &file.warnings {
        tracing::warn!("{warning}");
    }
    let table = store.load().await?;
    file.leave_enabled_as_in(&table);
    let others = file.lacks(&table);
    if !others.is_empty() {
        tracing::info!(
            file = file.document.origin,
            observers = others.join(", "),
            "these observers run too: they are in the database and not in the file; `aftercommit observers remove NAME` ends one"
        );
    }
    let applied = store.apply(file.observers, false, false, SystemClock.now()).await?;
    tracing::info!(
        file = file.document.origin,
        created = applied.created.len(),
        updated = applied.updated.len(),
        unchanged = applied.unchanged.len(),
        "applied observers"
    );
    Ok(())
}
