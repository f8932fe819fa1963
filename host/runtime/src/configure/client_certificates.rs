//! The client certificates that a configuration names, each for the origin of one of its URLs.
//!
//! Their PEM never becomes a handle: the guest sees the reference as it was written, and can do nothing with it.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{
    capability::Origin,
    configure::{
        origins::literal_origin,
        problem::{ConfigProblem, ConfigureError},
    },
    egress::{Identity, IdentityError},
    loading::schema::Marks,
    secrets::{Part, Secret, parts},
};

/// The fields that make one identity, by JSON pointer.
#[derive(Default)]
struct Pair<'m> {
    certificate: Option<&'m str>,
    key: Option<&'m str>,
}

/// Reads certificates and keys, and finds the origins that they are for.
pub(crate) fn identities(
    config: &Value,
    marks: &BTreeMap<String, Marks>,
    secrets: &BTreeMap<String, Secret>,
) -> Result<Vec<(Origin, Identity)>, ConfigureError> {
    let mut pairs: BTreeMap<&str, Pair<'_>> = BTreeMap::new();
    for (pointer, marks) in marks {
        if let Some(url) = &marks.tls_certificate {
            pairs.entry(url).or_default().certificate = Some(pointer);
        }
        if let Some(url) = &marks.tls_key {
            pairs.entry(url).or_default().key = Some(pointer);
        }
    }
    let mut found = Vec::new();
    let mut problems = Vec::new();
    for (url, pair) in pairs {
        match identity(config, url, &pair, secrets) {
            Ok(identity) => found.push(identity),
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() { Ok(found) } else { Err(ConfigureError { problems }) }
}

fn identity(
    config: &Value,
    url: &str,
    pair: &Pair<'_>,
    secrets: &BTreeMap<String, Secret>,
) -> Result<(Origin, Identity), ConfigProblem> {
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
    let identity = Identity::read(secret(config, certificate, secrets)?, secret(config, key, secrets)?)
        .map_err(|error| match error {
            IdentityError::Certificate(why) => ConfigProblem::new(certificate, format!("the secret {why}")),
            IdentityError::Key(why) => ConfigProblem::new(key, format!("the secret {why}")),
        })?;
    let written = config.get(url).and_then(Value::as_str).unwrap_or_default();
    match literal_origin(written, secrets) {
        Ok(Some(origin)) if origin.is_https() => Ok((origin, identity)),
        _ => {
            let message = "a client certificate is shown to an https origin only, written in full";
            Err(ConfigProblem::new(format!("/{url}"), message).help("such as https://example.com/path"))
        }
    }
}

/// The secret that a field names, and nothing beside it.
fn secret<'s>(
    config: &Value,
    pointer: &str,
    secrets: &'s BTreeMap<String, Secret>,
) -> Result<&'s Secret, ConfigProblem> {
    let text = config.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    match parts(text).unwrap_or_default()[..] {
        [Part::Secret(name)] if secrets.contains_key(name) => Ok(&secrets[name]),
        _ => Err(ConfigProblem::new(pointer, "must be a secret").help("write ${secret:NAME}")),
    }
}
