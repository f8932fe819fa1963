//! `plugin`: what components say of themselves.

use std::{path::PathBuf, sync::Arc};

use aftercommit_runtime::{ComponentSource, LoadError, Plugin};
use serde_json::{Value, json};

use super::{
    failure::{Failure, Outcome},
    session::Session,
};
use crate::output::joined;

/// Look at plugins
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// List the plugins that actions can name, built in and configured
    #[command(after_help = "\
Examples:
  aftercommit plugin list")]
    List,
    /// Show what a component needs, imports and how it is configured; its size and digest
    #[command(after_help = "\
Examples:
  aftercommit plugin inspect slack
  aftercommit plugin inspect audit.wasm
  aftercommit plugin inspect audit.wasm --output json | jq .config_schema")]
    Inspect {
        /// A plugin that actions can name, or a component, a .wasm file
        plugin: PathBuf,
    },
    /// Check that a component can be loaded as a plugin; exit code 1 and the reason if not
    #[command(after_help = "\
Examples:
  aftercommit plugin check audit.wasm")]
    Check {
        /// The component, a .wasm file
        file: PathBuf,
    },
}

pub(super) async fn run(session: &Session, command: Command) -> Outcome {
    match command {
        Command::List => list(session),
        Command::Inspect { plugin } => inspect(session, plugin).await,
        Command::Check { file } => {
            let shown = file.display().to_string();
            let plugin = load(session, file).await?;
            let descriptor = plugin.descriptor();
            let text = format!("{shown} is a plugin: {} {}", descriptor.name, descriptor.version);
            let item = json!({ "valid": true, "name": descriptor.name, "version": descriptor.version });
            Ok(session.output.done(&item, &text)?)
        }
    }
}

fn list(session: &Session) -> Outcome {
    let catalog = session.catalog()?;
    let rows: Vec<Value> = catalog
        .definitions()
        .map(|(name, plugin)| json!({ "name": name, "source": plugin.source.to_string(), "digest": plugin.digest }))
        .collect();
    Ok(session.output.list(&rows, &["name", "source", "digest"])?)
}

async fn inspect(session: &Session, plugin: PathBuf) -> Outcome {
    let known = plugin.to_str().filter(|name| is_name(name));
    let plugin = match known {
        Some(name) => session.catalog()?.plugin(name).await?,
        None => load(session, plugin).await?,
    };
    let descriptor = plugin.descriptor();
    let needs: Vec<&str> = descriptor.needs.iter().map(aftercommit_runtime::Need::as_str).collect();
    let item = json!({
        "name": descriptor.name,
        "version": descriptor.version,
        "summary": descriptor.summary,
        "needs": needs,
        "imports": plugin.imports(),
        "batch": plugin.exports_batch(),
        "size_bytes": plugin.size_bytes(),
        "digest": plugin.digest(),
    });
    let more = if session.output.is_json() {
        ("config_schema", descriptor.config_schema.clone())
    } else {
        ("config", Value::Array(fields(&descriptor.config_schema)))
    };
    Ok(session.output.show(&joined(&item, [more])?)?)
}

/// Whether a text is the name of a plugin and no file's: `slack`, and not `audit.wasm` or `./slack`.
fn is_name(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// The keys of the configuration, a row each.
fn fields(schema: &Value) -> Vec<Value> {
    let required = |key: &str| {
        schema["required"].as_array().is_some_and(|keys| keys.iter().any(|required| required == key))
    };
    schema["properties"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, field)| {
            json!({
                "key": key,
                "type": field["type"],
                "required": required(key),
                "description": field["description"].as_str().unwrap_or_default(),
            })
        })
        .collect()
}

async fn load(session: &Session, file: PathBuf) -> Result<Arc<Plugin>, Failure> {
    let shown = file.display().to_string();
    let name = file.file_stem().map_or_else(|| shown.clone(), |stem| stem.to_string_lossy().into_owned());
    let catalog = session.catalog()?;
    catalog.runtime().load(&name, ComponentSource::File(file), None).await.map_err(|error| match error {
        // It names the file itself.
        LoadError::Unreadable { .. } => Failure::usage(error.to_string()),
        error => Failure::failed(format!("{shown}: {error}")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_files_are_told_apart() {
        assert!(is_name("slack") && is_name("my-plugin_2"));
        assert!(!is_name("audit.wasm") && !is_name("./slack") && !is_name("dist/slack"));
    }

    #[test]
    fn a_schema_becomes_rows() {
        let schema =
            json!({"required": ["url"], "properties": {"url": {"type": "string", "description": "Where"}}});
        assert_eq!(
            fields(&schema),
            [json!({"key": "url", "type": "string", "required": true, "description": "Where"})]
        );
    }
}
