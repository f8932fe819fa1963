//! Puts the parts together as the configuration says: the only place that names a database backend.

use std::{path::PathBuf, sync::Arc};

use aftercommit_core::{Clock, SystemClock, without_password};
use aftercommit_runtime::{
    ChainedSecrets, Compiler, EnvSecrets, FileSecrets, Runtime, RuntimeSettings, SecretProvider,
};
use aftercommit_store::{
    Backend, StoreError,
    postgres::PostgresStore,
    sqlite::{SqliteOptions, SqliteStore},
};

use crate::{
    config::{Config, DatabaseConfig, DestinationConfig},
    error::{Error, Result},
    open_files,
    plugins::Catalog,
    services,
};

/// Opens the database. With `create`, a missing SQLite file is made.
pub async fn open_store(config: &DatabaseConfig, create: bool) -> Result<Arc<dyn Backend>> {
    let url = &config.url;
    match url.split_once(':') {
        Some(("sqlite", _)) => {
            Ok(Arc::new(SqliteStore::open(url, SqliteOptions { create, ..SqliteOptions::default() }).await?))
        }
        Some(("postgres" | "postgresql", _)) => {
            Ok(Arc::new(PostgresStore::open(url, config.postgres_options()).await?))
        }
        _ => Err(StoreError::BadUrl {
            url: without_password(url),
            why: "write sqlite:FILE or postgres://USER:PASSWORD@HOST/NAME".to_owned(),
        }
        .into()),
    }
}

/// The engine and the plugins that it can run. `compiler_program` is one that begins with
/// [`compile_if_asked`](aftercommit_runtime::compile_if_asked): without one, plugins are compiled in this process.
pub fn open_catalog(config: &Config, compiler_program: Option<PathBuf>) -> Result<Catalog> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let bounds = &config.runtime;
    let compiler = |program| Compiler {
        program,
        cpu_secs: bounds.compile_cpu_secs,
        memory_mb: bounds.compile_memory_mb,
    };
    let settings = RuntimeSettings {
        cache_dir: bounds.cache_dir.clone().or_else(default_cache_dir),
        max_component_bytes: bounds.max_component_mb << 20,
        compiler: compiler_program.map(compiler),
        max_instances: u32::try_from(config.dispatch.max_concurrency).unwrap_or(u32::MAX),
        max_idle_connections: open_files::idle_connections(config),
        services: services::settings(config)?,
        routes: DestinationConfig::routes(&config.destinations),
        ..RuntimeSettings::default()
    };
    let runtime = Runtime::new(settings, secrets(config), clock)
        .map_err(|error| Error::InvalidConfig { message: error.to_string() })?;
    Ok(Catalog::new(runtime, config.plugins.clone()))
}

/// Where secrets come from: the folder, if there is one, then the environment.
fn secrets(config: &Config) -> Arc<dyn SecretProvider> {
    match &config.secrets.dir {
        None => Arc::new(EnvSecrets),
        Some(dir) => Arc::new(ChainedSecrets(vec![Arc::new(FileSecrets::new(dir)), Arc::new(EnvSecrets)])),
    }
}

/// The user's own cache folder (XDG Base Directory Specification), which nobody else can write to.
fn default_cache_dir() -> Option<PathBuf> {
    let from = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = from("XDG_CACHE_HOME").or_else(|| Some(from("HOME")?.join(".cache")))?;
    Some(base.join("aftercommit"))
}
