//! The client certificates that a configuration names, each for the origin of one of its URLs.
//!
//! Their PEM never becomes a handle: the guest sees the reference as it was written, and can do nothing with it.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{
    capability::Origin,
    configure::{
        marked::MarkedConfig,
        origins::literal_origin,
        problem::{ConfigProblem, Findings},
    },
    egress::{Identity, IdentityError},
    secrets::{Part, Secret, parts},
};

/// The fields that make one identity, by JSON pointer.
#[derive(Default)]
struct Pair<'m> {
    certificate: Option<&'m str>,
    key: Option<&'m str>,
}

/// Reads certificates and keys, and finds the origins that they are for.
pub(crate) fn identities(config: &MarkedConfig, findings: &Findings) -> Vec<(Origin, Identity)> {
    let mut pairs: BTreeMap<&str, Pair<'_>> = BTreeMap::new();
    for (pointer, marks) in &config.marks {
        if let Some(url) = &marks.tls_certificate {
            pairs.entry(url).or_default().certificate = Some(pointer);
        }
        if let Some(url) = &marks.tls_key {
            pairs.entry(url).or_default().key = Some(pointer);
        }
    }
    let mut found = Vec::new();
    for (url, pair) in pairs {
        let mut of_it = pair.certificate.into_iter().chain(pair.key);
        if !of_it.all(|pointer| findings.are_none_at(pointer)) || !findings.are_none_at(&format!("/{url}")) {
            continue;
        }
        match identity(config, url, &pair) {
            Ok(identity) => found.push(identity),
            Err(problem) => findings.add(problem),
        }
    }
    found
}

fn identity(config: &MarkedConfig, url: &str, pair: &Pair<'_>) -> Result<(Origin, Identity), ConfigProblem> {
    let (certificate, key) = match (pair.certificate, pair.key) {
        (Some(certificate), Some(key)) => (certificate, key),
        (Some(alone), None) => {
            return Err(ConfigProblem::new(alone, "a client certificate needs its private key beside it"));
        }
        (None, alone) => {
            let message = "a client's private key needs its certificate beside it";
            return Err(ConfigProblem::new(alone.unwrap_or_default(), message));
        }
    };
    let identity =
        Identity::read(secret(config, certificate)?, secret(config, key)?).map_err(|error| match error {
            IdentityError::Certificate(why) => ConfigProblem::new(certificate, format!("the secret {why}")),
            IdentityError::Key(why) => ConfigProblem::new(key, format!("the secret {why}")),
        })?;
    let written = config.value.get(url).and_then(Value::as_str).unwrap_or_default();
    match literal_origin(written, &config.secrets) {
        Ok(Some(origin)) if origin.is_https() => Ok((origin, identity)),
        _ => {
            let message = "a client certificate is shown to an https origin only, written in full";
            Err(ConfigProblem::new(format!("/{url}"), message).help("such as https://example.com/path"))
        }
    }
}

/// The secret that a field names, and nothing beside it.
fn secret<'c>(config: &'c MarkedConfig, pointer: &str) -> Result<&'c Secret, ConfigProblem> {
    let text = config.value.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    match parts(text).unwrap_or_default()[..] {
        [Part::Secret(name)] if config.secrets.contains_key(name) => Ok(&config.secrets[name]),
        _ => Err(ConfigProblem::new(pointer, "must be a secret").help("write ${secret:NAME}")),
    }
}
