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
    configure::problem::{ConfigProblem, ConfigureError, escape},
    loading::schema::{ConfigSchema, Marks, SecretPlace},
    templates::Escaping,
};

/// Puts `${secret:NAME}` where a field marked `x-secret-env` says.
pub(crate) fn resolve_secret_names(
    schema: &ConfigSchema,
    config: &Map<String, Value>,
) -> Result<Value, ConfigureError> {
    let mut resolved = config.clone();
    let mut problems = Vec::new();
    for (pointer, marks) in schema.marks(&Value::Object(config.clone())) {
        let Some(field) = marks.secret_env else { continue };
        let key = pointer.trim_start_matches('/');
        let name = config.get(key).and_then(Value::as_str).unwrap_or_default();
        if !is_name(name) {
            problems.push(ConfigProblem::new(pointer, "must be the name of a secret, not the secret itself"));
            continue;
        }
        let reference = Value::String(format!("${{secret:{name}}}"));
        match resolved.get_mut(&field) {
            Some(Value::Array(items)) => items.push(reference),
            None | Some(Value::Null) => {
                let value = if schema.is_list(&field) { Value::Array(vec![reference]) } else { reference };
                resolved.insert(field, value);
            }
            Some(_) => problems
                .push(ConfigProblem::new(pointer, format!("write either this or `{field}`, not both"))),
        }
    }
    if problems.is_empty() { Ok(Value::Object(resolved)) } else { Err(ConfigureError { problems }) }
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

/// Refuses secrets in texts into which nobody would put them: they would be sent as their handles.
pub(crate) fn check_places(config: &Value, marks: &BTreeMap<String, Marks>) -> Result<(), ConfigureError> {
    let mut problems = Vec::new();
    each_text(config, "", &mut |pointer, text| {
        if names_secret(text) && marks.get(pointer).is_some_and(|marks| !marks.may_hold_secret()) {
            let problem = ConfigProblem::new(pointer, "a secret is not put in here");
            problems.push(problem.help(
                "secrets go into URLs, headers, credentials and the bodies of requests, where the plugin's schema says so",
            ));
        }
    });
    if problems.is_empty() { Ok(()) } else { Err(ConfigureError { problems }) }
}

/// The secrets that a configuration names.
pub(crate) fn fetch(
    provider: &dyn SecretProvider,
    config: &Value,
) -> Result<BTreeMap<String, Secret>, ConfigureError> {
    let mut secrets = BTreeMap::new();
    let mut problems = Vec::new();
    each_text(config, "", &mut |pointer, text| {
        let named = match parts(text) {
            Ok(named) => named,
            Err(why) => return problems.push(ConfigProblem::new(pointer, why)),
        };
        for part in named {
            let Part::Secret(name) = part else { continue };
            match provider.secret_of_action(name) {
                Ok(Some(secret)) => {
                    secrets.insert(name.to_owned(), secret);
                }
                Ok(None) => problems.push(
                    ConfigProblem::new(pointer, format!("there is no secret `{name}`"))
                        .help(provider.place(name)),
                ),
                Err(error) => problems.push(ConfigProblem::new(pointer, error.to_string())),
            }
        }
    });
    if problems.is_empty() { Ok(secrets) } else { Err(ConfigureError { problems }) }
}

/// Replaces every `${secret:NAME}` by a handle. Where the schema lets a secret into a body, its handle is another one. What
/// the host alone uses, in TLS, has none.
pub(crate) fn place_handles(
    mut config: Value,
    marks: &BTreeMap<String, Marks>,
    secrets: &BTreeMap<String, Secret>,
    literal: &[Origin],
    grants: &Grants,
    handles: &Handles,
) -> Value {
    let mut issued: HashMap<(String, Option<Escaping>), String> = HashMap::new();
    each_text_mut(&mut config, "", &mut |pointer, text| {
        if !names_secret(text) {
            return;
        }
        let marks = marks.get(pointer);
        if marks.is_some_and(|marks| marks.tls_certificate.is_some() || marks.tls_key.is_some()) {
            return;
        }
        let body = marks
            .filter(|marks| marks.secret_place == Some(SecretPlace::Body))
            .map(|marks| marks.template.unwrap_or(Escaping::Text));
        let mut replaced = String::with_capacity(text.len());
        for part in parts(text).unwrap_or_default() {
            match part {
                Part::Text(text) => replaced.push_str(text),
                Part::Secret(name) => {
                    let handle = issued.entry((name.to_owned(), body)).or_insert_with(|| {
                        let extended = grants.secrets.iter().any(|granted| granted == name);
                        let more: &[Origin] = if extended { &grants.http } else { &[] };
                        handles.issue(Entry {
                            name: name.to_owned(),
                            secret: secrets[name].clone(),
                            destinations: literal.iter().chain(more).cloned().collect(),
                            body,
                        })
                    });
                    replaced.push_str(handle);
                }
            }
        }
        *text = replaced;
    });
    config
}

pub(super) fn each_text(value: &Value, pointer: &str, visit: &mut impl FnMut(&str, &str)) {
    match value {
        Value::String(text) => visit(pointer, text),
        Value::Array(items) => {
            for (position, item) in items.iter().enumerate() {
                each_text(item, &format!("{pointer}/{position}"), visit);
            }
        }
        Value::Object(fields) => {
            for (key, value) in fields {
                each_text(value, &format!("{pointer}/{}", escape(key)), visit);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
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
