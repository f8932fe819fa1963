//! URLs of a configuration that no request could ever go to, told when the action is loaded.

use std::{collections::BTreeMap, net::IpAddr};

use serde_json::Value;
use url::Host;

use crate::{
    capability::{Effective, Origin},
    configure::{
        origins::literal_origin,
        problem::{ConfigProblem, ConfigureError},
    },
    loading::schema::Marks,
    secrets::Secret,
};

/// What is wrong with the fields marked `x-egress`: an address in a special range that is not granted, and a host that only a
/// template knows where no origin is granted.
pub(crate) fn check_reachable(
    config: &Value,
    marks: &BTreeMap<String, Marks>,
    secrets: &BTreeMap<String, Secret>,
    effective: &Effective,
) -> Result<(), ConfigureError> {
    let mut problems = Vec::new();
    for (pointer, _) in marks.iter().filter(|(_, marks)| marks.egress) {
        let Some(text) = config.pointer(pointer).and_then(Value::as_str) else { continue };
        match literal_origin(text, secrets) {
            Ok(Some(origin)) => {
                problems.extend(special(&origin, effective).map(|problem| problem.at(pointer)));
            }
            Ok(None) if effective.origins.is_empty() => problems.push(
                ConfigProblem::new(
                    pointer,
                    "its host comes from a template or a secret, and no origin is granted",
                )
                .help("write grants = { http = [\"https://..\"] } with the origins that it may be"),
            ),
            Ok(None) | Err(_) => {}
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(ConfigureError { problems }) }
}

fn special(origin: &Origin, effective: &Effective) -> Option<ConfigProblem> {
    let address = match origin.host() {
        Host::Ipv4(address) => IpAddr::V4(*address),
        Host::Ipv6(address) => IpAddr::V6(*address),
        // Names are resolved when a request is sent. This one is always loopback (RFC 6761, 6.3).
        Host::Domain(name) if name == "localhost" => IpAddr::from([127, 0, 0, 1]),
        Host::Domain(_) => return None,
    };
    let range = effective.private_network.permits(address).err()?;
    let message = format!("its address is in a special range ({range}), which is not granted");
    Some(ConfigProblem::new("", message).help("write grants = { private_network = true }"))
}
