//! The secrets that a configuration names: found, fetched, and replaced by handles.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value};

use super::{
    handle::{Entry, Handles},
    provider::{Secret, SecretProvider},
    reference::{Part, is_name, names_secret, parts},
};
use crate::{
    capability::{Grants, Origin},
    configure::{
        marked::{MarkedConfig, MarkedText, each_text},
        problem::{ConfigProblem, ConfigureError, Findings, escape},
    },
    loading::schema::{ConfigSchema, SecretPlace},
    templates::Escaping,
};

/// Puts `${secret:NAME}` where a field marked `x-secret-env` says.
pub(crate) fn resolve_secret_names(
    schema: &ConfigSchema,
    config: &Map<String, Value>,
    findings: &Findings,
) -> Value {
    let mut resolved = config.clone();
    for (pointer, marks) in schema.marks(&Value::Object(config.clone())) {
        let Some(field) = marks.secret_env else { continue };
        let key = pointer.trim_start_matches('/');
        let name = config.get(key).and_then(Value::as_str).unwrap_or_default();
        if !is_name(name) {
            findings.add(ConfigProblem::new(pointer, "must be the name of a secret, not the secret itself"));
            continue;
        }
        let reference = Value::String(format!("${{secret:{name}}}"));
        match resolved.get_mut(&field) {
            Some(Value::Array(items)) => items.push(reference),
            None | Some(Value::Null) => {
                let value = if schema.is_list(&field) { Value::Array(vec![reference]) } else { reference };
                resolved.insert(field, value);
            }
            Some(_) => {
                let message = format!("write either this or `{field}`, not both");
                findings.add(ConfigProblem::new(pointer, message));
            }
        }
    }
    Value::Object(resolved)
}

/// Tells what is wrong with a field that [`resolve_secret_names`] has filled where the operator wrote it.
pub(crate) fn as_written(
    schema: &ConfigSchema,
    written: &Map<String, Value>,
    mut error: ConfigureError,
) -> ConfigureError {
    let written = Value::Object(written.clone());
    for (at, marks) in schema.marks(&written) {
        let Some(field) = marks.secret_env.map(|field| format!("/{}", escape(&field))) else { continue };
        for problem in &mut error.problems {
            let is_in = problem
                .pointer
                .strip_prefix(&field)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
            if is_in && written.pointer(&problem.pointer).is_none() {
                problem.pointer.clone_from(&at);
            }
        }
    }
    error
}

impl MarkedConfig {
    /// Refuses secrets in texts into which nobody would put them: they would be sent as their handles.
    pub(crate) fn check_places(&self, findings: &Findings) {
        for MarkedText { pointer, marks, text } in self.sound_texts(findings) {
            if names_secret(text) && !marks.may_hold_secret() {
                let problem = ConfigProblem::new(pointer, "a secret is not put in here");
                findings.add(problem.help(
                    "secrets go into URLs, headers, credentials and the bodies of requests, where the plugin's schema says so",
                ));
            }
        }
    }
}

/// The secrets that a configuration names.
pub(crate) fn fetch(
    provider: &dyn SecretProvider,
    config: &Value,
    findings: &Findings,
) -> BTreeMap<String, Secret> {
    let mut secrets = BTreeMap::new();
    each_text(config, "", &mut |pointer, text| {
        if !findings.are_none_at(pointer) {
            return;
        }
        let named = match parts(text) {
            Ok(named) => named,
            Err(why) => return findings.add(ConfigProblem::new(pointer, why)),
        };
        for part in named {
            let Part::Secret(name) = part else { continue };
            match provider.secret_of_action(name) {
                Ok(Some(secret)) => {
                    secrets.insert(name.to_owned(), secret);
                }
                Ok(None) => findings.add(
                    ConfigProblem::new(pointer, format!("there is no secret `{name}`"))
                        .help(provider.place(name)),
                ),
                Err(error) => findings.add(ConfigProblem::new(pointer, error.to_string())),
            }
        }
    });
    secrets
}

impl MarkedConfig {
    /// The configuration with a handle in the place of every `${secret:NAME}`. Where the schema lets a secret into a body, its handle is
    /// another one. What the host alone uses, in TLS, has none; nor has a secret that is missing.
    pub(crate) fn with_handles(&self, literal: &[Origin], grants: &Grants, handles: &Handles) -> Value {
        let mut config = self.value.clone();
        let mut issued: HashMap<(String, Option<Escaping>), String> = HashMap::new();
        each_text_mut(&mut config, "", &mut |pointer, text| {
            let marks = self.marks.get(pointer);
            if marks.is_some_and(|marks| marks.secret_form.is_some())
                && !matches!(parts(text).unwrap_or_default()[..], [Part::Secret(_)])
            {
                // It is refused, and may be the secret itself, which the guest is not to see when it is asked what else is wrong.
                text.clear();
            }
            if !names_secret(text) {
                return;
            }
            if marks.is_some_and(|marks| marks.tls_certificate.is_some() || marks.tls_key.is_some()) {
                return;
            }
            let body = marks
                .filter(|marks| marks.secret_place == Some(SecretPlace::Body))
                .map(|marks| marks.template.unwrap_or(Escaping::Text));
            let Ok(parts) = parts(text) else { return };
            let mut replaced = String::with_capacity(text.len());
            for part in parts {
                let (name, secret) = match part {
                    Part::Text(text) => {
                        replaced.push_str(text);
                        continue;
                    }
                    Part::Secret(name) => match self.secrets.get(name) {
                        Some(secret) => (name, secret),
                        None => return,
                    },
                };
                let handle = issued.entry((name.to_owned(), body)).or_insert_with(|| {
                    let extended = grants.secrets.iter().any(|granted| granted == name);
                    let more: &[Origin] = if extended { &grants.http } else { &[] };
                    handles.issue(Entry {
                        name: name.to_owned(),
                        secret: secret.clone(),
                        destinations: literal.iter().chain(more).cloned().collect(),
                        body,
                    })
                });
                replaced.push_str(handle);
            }
            *text = replaced;
        });
        config
    }
}

fn each_text_mut(value: &mut Value, pointer: &str, visit: &mut impl FnMut(&str, &mut String)) {
    match value {
        Value::String(text) => visit(pointer, text),
        Value::Array(items) => {
            for (position, item) in items.iter_mut().enumerate() {
                each_text_mut(item, &format!("{pointer}/{position}"), visit);
            }
        }
        Value::Object(fields) => {
            for (key, value) in fields {
                each_text_mut(value, &format!("{pointer}/{}", escape(key)), visit);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
