//! From an action as written to an action that can run: checked, granted, its secrets replaced, its templates compiled.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use aftercommit_core::ActionConfig;
use serde_json::Value;
use url::Url;

use crate::{
    action::ConfiguredAction,
    capability::{Effective, Grants, Need, Needs, Origin},
    egress::{Permit, Who},
    guest::Phase,
    hostapi::{LogSink, Tokens},
    invocation::{Circumstances, Instance, within},
    limits::{Limits, MAX_TIMEOUT_MS},
    loading::describe_limits,
    plugin::Plugin,
    problem::{ConfigProblem, ConfigureError},
    rendering::ConfigText,
    schema::Marks,
    secrets::{Entry, Handles, Part, Secret, is_name, names_secret, parts},
    settings::Provides,
    templates::{Escaping, Template},
};

impl Plugin {
    /// Makes an action of this plugin from what an operator wrote. `observer` is told in logs.
    pub async fn configure(
        self: &Arc<Self>,
        action: &ActionConfig,
        observer: &str,
    ) -> Result<ConfiguredAction, ConfigureError> {
        let written = self.check_written(action)?;
        let config = self.resolve_secret_names(&action.config)?;
        let marks = self.loaded.schema.marks(&config);
        let secrets = self.fetch(&config)?;
        let literal = literal_origins(&config, &marks, &secrets)?;
        let destination = literal.first().map(Origin::to_string);
        let names: Vec<String> = secrets.keys().cloned().collect();
        let effective = Effective::of(self.descriptor().needs, &written.grants, &literal, &names);
        let handles = Handles::default();
        let config = place_handles(config, &marks, &secrets, &literal, &written.grants, &handles);
        let templates = compile_templates(&config, &marks, &action.config)?;

        let name = action.name.clone().unwrap_or_else(|| action.plugin.clone());
        let who = Arc::new(Who { plugin: self.name.clone(), observer: observer.to_owned(), action: name });
        let client = self.runtime.egress.clients.of(&effective);
        let destination =
            destination.unwrap_or_else(|| format!("{}/{}/{}", who.plugin, observer, who.action));
        let permit = Arc::new(Permit { who, effective, handles, client, tokens: Tokens::default() });
        self.check(&config.to_string(), &permit).await?;
        let text = ConfigText::new(&config, templates);
        Ok(ConfiguredAction::new(Arc::clone(self), permit, Arc::new(written.limits), text, destination))
    }

    /// Everything that can be said before any secret is read.
    fn check_written(&self, action: &ActionConfig) -> Result<Written, ConfigureError> {
        let mut problems = Vec::new();
        let mut limits = self.runtime.settings.defaults.clone();
        if let Some(written) = &action.limits {
            match limits.with(written) {
                Ok(read) => limits = read,
                Err(more) => problems.extend(more),
            }
        }
        if let Some(timeout_ms) = action.timeout_ms {
            if (1..=MAX_TIMEOUT_MS).contains(&timeout_ms) {
                limits.timeout_ms = timeout_ms;
            } else {
                problems
                    .push(ConfigProblem::new("/timeout_ms", format!("must be from 1 to {MAX_TIMEOUT_MS}")));
            }
        }
        let grants =
            action.grants.as_ref().map_or_else(|| Ok(Grants::default()), Grants::read).unwrap_or_else(
                |more| {
                    problems.extend(more);
                    Grants::default()
                },
            );
        problems.extend(lacking(self.descriptor().needs, self.runtime.settings.provides));
        problems.extend(self.loaded.schema.problems(&Value::Object(action.config.clone())));
        if problems.is_empty() { Ok(Written { limits, grants }) } else { Err(ConfigureError { problems }) }
    }

    /// Puts `${secret:NAME}` where a field marked `x-secret-env` says.
    fn resolve_secret_names(&self, config: &serde_json::Map<String, Value>) -> Result<Value, ConfigureError> {
        let mut resolved = config.clone();
        let mut problems = Vec::new();
        for (pointer, marks) in self.loaded.schema.marks(&Value::Object(config.clone())) {
            let Some(field) = marks.secret_env else { continue };
            let key = pointer.trim_start_matches('/');
            let name = config.get(key).and_then(Value::as_str).unwrap_or_default();
            if !is_name(name) {
                problems
                    .push(ConfigProblem::new(pointer, "must be the name of a secret, not the secret itself"));
                continue;
            }
            let reference = Value::String(format!("${{secret:{name}}}"));
            match resolved.get_mut(&field) {
                Some(Value::Array(items)) => items.push(reference),
                None | Some(Value::Null) => {
                    let value = if self.loaded.schema.is_list(&field) {
                        Value::Array(vec![reference])
                    } else {
                        reference
                    };
                    resolved.insert(field, value);
                }
                Some(_) => problems
                    .push(ConfigProblem::new(pointer, format!("write either this or `{field}`, not both"))),
            }
        }
        if problems.is_empty() { Ok(Value::Object(resolved)) } else { Err(ConfigureError { problems }) }
    }

    /// The secrets that a configuration names.
    fn fetch(&self, config: &Value) -> Result<BTreeMap<String, Secret>, ConfigureError> {
        let provider = &self.runtime.secrets;
        let mut secrets = BTreeMap::new();
        let mut problems = Vec::new();
        each_text(config, "", &mut |pointer, text| {
            let named = match parts(text) {
                Ok(named) => named,
                Err(why) => return problems.push(ConfigProblem::new(pointer, why)),
            };
            for part in named {
                let Part::Secret(name) = part else { continue };
                match provider.secret(name) {
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

    /// The plugin's own `check`.
    async fn check(&self, config: &String, permit: &Arc<Permit>) -> Result<(), ConfigureError> {
        let limits = Arc::new(describe_limits());
        let log = LogSink::new(Arc::clone(&permit.who), String::new(), limits.log_lines, limits.log_bytes);
        let call = self.runtime.call(Phase::Check, Arc::clone(permit), Arc::clone(&limits), Arc::clone(&log));
        let mut memory_refused = false;
        let said = within(Duration::from_millis(limits.timeout_ms), async {
            let mut instance = Instance::fresh(&self.loaded.pre, call).await?;
            let said =
                instance.exports.aftercommit_action_plugin().call_check(&mut instance.store, config).await;
            memory_refused = instance.store.data().memory.refused;
            said
        })
        .await;
        let problems = match said {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(problems)) => problems
                .into_iter()
                .map(|problem| ConfigProblem::new(problem.pointer, problem.message))
                .collect(),
            Err(ended) => {
                let failure = ended.failure(&Circumstances {
                    timeout_ms: limits.timeout_ms,
                    cpu_ms: limits.cpu_ms,
                    memory_mb: limits.memory_mb,
                    memory_refused,
                    last_error: log.last_error().as_deref(),
                });
                vec![ConfigProblem::new(
                    "",
                    format!("the plugin's check did not end well: {}", failure.problem.message),
                )]
            }
        };
        Err(ConfigureError { problems })
    }
}

struct Written {
    limits: Limits,
    grants: Grants,
}

/// Needs that this host can not meet, whatever is granted.
fn lacking(needs: Needs, provides: Provides) -> Vec<ConfigProblem> {
    [(Need::Mail, provides.mail, "SMTP server"), (Need::Redis, provides.redis, "Redis connection")]
        .into_iter()
        .filter(|(need, provided, _)| needs.has(*need) && !provided)
        .map(|(need, _, what)| {
            ConfigProblem::new(
                "",
                format!("the plugin needs `{}`, and this host provides no {what}", need.as_str()),
            )
        })
        .collect()
}

/// The origins that fields marked `x-egress` name in full: before any template, or as the start of a secret URL.
fn literal_origins(
    config: &Value,
    marks: &BTreeMap<String, Marks>,
    secrets: &BTreeMap<String, Secret>,
) -> Result<Vec<Origin>, ConfigureError> {
    let mut origins = Vec::new();
    let mut problems = Vec::new();
    for (pointer, _) in marks.iter().filter(|(_, marks)| marks.egress) {
        let Some(text) = config.pointer(pointer).and_then(Value::as_str) else { continue };
        let named = parts(text).unwrap_or_default();
        let secret = match named.first() {
            Some(Part::Secret(name)) => secrets.get(*name),
            _ => None,
        };
        let text = secret.map_or(text, Secret::expose);
        let Some(start) = origin_part(text) else {
            let what = if secret.is_some() {
                "the secret is not an http or https URL"
            } else {
                "is not an http or https URL"
            };
            if !text.starts_with("{{") {
                problems.push(
                    ConfigProblem::new(pointer, what)
                        .help("write it in full, such as https://example.com/path"),
                );
            }
            continue;
        };
        // A host that a template or a secret completes is not granted by writing it.
        if start.contains("{{") || names_secret(start) {
            continue;
        }
        match Url::parse(start).ok().as_ref().and_then(Origin::of) {
            Some(origin) => origins.push(origin),
            None => problems.push(ConfigProblem::new(pointer, "its scheme, host or port is not one")),
        }
    }
    if problems.is_empty() { Ok(origins) } else { Err(ConfigureError { problems }) }
}

/// Scheme and authority, as written.
fn origin_part(text: &str) -> Option<&str> {
    let authority = text.find("://")? + 3;
    if !matches!(text[..authority].to_ascii_lowercase().as_str(), "http://" | "https://") {
        return None;
    }
    let end = text[authority..].find(['/', '?', '#', '\\']).map_or(text.len(), |end| authority + end);
    Some(&text[..end])
}

/// Replaces every `${secret:NAME}` by a handle. Where the schema lets a secret into a body, its handle is another one.
fn place_handles(
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
        let body =
            marks.filter(|marks| marks.secret_body).map(|marks| marks.template.unwrap_or(Escaping::Text));
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

/// Compiles every text with something to render that the schema marks as a template.
fn compile_templates(
    config: &Value,
    marks: &BTreeMap<String, Marks>,
    written: &serde_json::Map<String, Value>,
) -> Result<HashMap<String, Template>, ConfigureError> {
    let mut templates = HashMap::new();
    let mut problems = Vec::new();
    for (pointer, marks) in marks {
        let (Some(escaping), Some(text)) = (marks.template, config.pointer(pointer).and_then(Value::as_str))
        else {
            continue;
        };
        if !Template::is_template(text) {
            continue;
        }
        match Template::compile(text, escaping) {
            Ok(template) => {
                templates.insert(pointer.clone(), template);
            }
            Err(error) => {
                // Places are told in the text as written, without handles.
                let original = written.get(pointer.trim_start_matches('/')).and_then(Value::as_str);
                let error =
                    original.and_then(|text| Template::compile(text, escaping).err()).unwrap_or(error);
                problems.push(ConfigProblem::new(pointer, format!("the template is wrong: {error}")));
            }
        }
    }
    if problems.is_empty() { Ok(templates) } else { Err(ConfigureError { problems }) }
}

fn each_text(value: &Value, pointer: &str, visit: &mut impl FnMut(&str, &str)) {
    match value {
        Value::String(text) => visit(pointer, text),
        Value::Array(items) => {
            for (position, item) in items.iter().enumerate() {
                each_text(item, &format!("{pointer}/{position}"), visit);
            }
        }
        Value::Object(fields) => {
            for (key, value) in fields {
                each_text(value, &format!("{pointer}/{}", crate::problem::escape(key)), visit);
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
                each_text_mut(value, &format!("{pointer}/{}", crate::problem::escape(key)), visit);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_that_the_host_lacks_is_told() {
        let needs = Needs::default().with(Need::Mail).with(Need::Http);
        let told = lacking(needs, Provides { redis: true, ..Provides::default() });
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].message, "the plugin needs `mail`, and this host provides no SMTP server");
        assert!(lacking(needs, Provides { mail: true, redis: false }).is_empty());
    }

    #[test]
    fn an_origin_ends_before_the_path() {
        assert_eq!(origin_part("https://a.example:1/x"), Some("https://a.example:1"));
        assert_eq!(origin_part("https://a.example\\@evil.example"), Some("https://a.example"));
        assert_eq!(origin_part("HTTP://a{{x}}/"), Some("HTTP://a{{x}}"));
        assert_eq!(origin_part("ftp://a.example"), None);
        assert_eq!(origin_part("a.example"), None);
    }
}
