//! What the actions of an observer may do: declared by their plugins and granted by the operator.

use aftercommit_core::ObserverDefinition;
use aftercommit_runtime::{ConfiguredAction, Need, PrivateNetwork};
use serde_json::{Value, json};

use crate::{observers::Action, plugins::Catalog};

/// A row for each action, that which alerts included. An action that does not load may do nothing; its row says why.
pub(super) async fn grants(definition: &ObserverDefinition, catalog: &Catalog) -> Vec<Value> {
    let mut rows = Vec::with_capacity(definition.actions.len());
    for position in 0..definition.actions.len() {
        rows.push(row(&Action::prepare(definition, position, catalog).await));
    }
    rows.extend(Action::prepare_alert(definition, catalog).await.as_ref().map(row));
    rows
}

fn row(action: &Action) -> Value {
    match &action.configured {
        Ok(configured) => granted(&action.name, configured),
        Err(error) => json!({ "action": action.name, "error": error.to_string() }),
    }
}

fn granted(action: &str, configured: &ConfiguredAction) -> Value {
    let effective = configured.effective_grants();
    let needs: Vec<&str> = effective.needs.iter().map(Need::as_str).collect();
    let http: Vec<String> = effective.origins.iter().map(ToString::to_string).collect();
    json!({
        "action": action,
        "destination": configured.destination(),
        "needs": needs,
        "http": http,
        "private_network": private_network(&effective.private_network),
        "secrets": effective.secrets,
        "reveal": effective.reveal,
        "mail": effective.mail,
        "redis": effective.redis,
        "memcached": effective.memcached,
    })
}

/// As it is written in `grants`.
fn private_network(granted: &PrivateNetwork) -> Value {
    match granted {
        PrivateNetwork::Denied => json!(false),
        PrivateNetwork::Granted => json!(true),
        PrivateNetwork::Ranges(ranges) => ranges.iter().map(ToString::to_string).collect(),
    }
}
