//! From an action as written to an action that can run: checked, granted, its secrets replaced, its templates compiled.

pub(crate) mod client_certificates;
pub(crate) mod connections;
pub(crate) mod default_destinations;
pub(crate) mod enum_hint;
pub(crate) mod origins;
pub(crate) mod problem;
pub(crate) mod url_checks;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use aftercommit_core::{ActionConfig, BatchConfig, plain::plain};
use serde_json::Value;

use crate::{
    bindings::aftercommit::action::model::FieldProblem,
    calling::{
        action::{ConfiguredAction, Goal},
        address::Address,
        guest::Phase,
        instance::{Instance, within},
        rendering::ConfigText,
    },
    capability::{Effective, Grants, Origin},
    configure::{
        client_certificates::identities,
        connections::lacking,
        origins::literal_origins,
        problem::{ConfigProblem, ConfigureError},
        url_checks::check_reachable,
    },
    egress::{Permit, Who, check_mailbox},
    hostapi::LogSink,
    limits::{Limits, MAX_TIMEOUT_MS},
    loading::{describe_limits, plugin::Plugin, schema::Marks},
    secrets::{
        Handles, SecretProvider as _, as_written, check_characters, check_forms, check_places, fetch,
        names_secret, place_handles, resolve_secret_names,
    },
    templates::Template,
};

impl Plugin {
    /// Makes an action of this plugin from what an operator wrote. `observer` is told in logs.
    pub async fn configure(
        self: &Arc<Self>,
        action: &ActionConfig,
        observer: &str,
    ) -> Result<ConfiguredAction, ConfigureError> {
        let configured = self.configure_resolved(action, observer).await;
        configured.map_err(|error| as_written(&self.loaded.schema, &action.config, error))
    }

    /// The same; problems are told where they are once the names of secrets are resolved.
    async fn configure_resolved(
        self: &Arc<Self>,
        action: &ActionConfig,
        observer: &str,
    ) -> Result<ConfiguredAction, ConfigureError> {
        let Written { limits, grants } = self.check_written(action)?;
        let mut config = resolve_secret_names(&self.loaded.schema, &action.config)?;
        default_destinations::fill(&self.loaded.schema, &mut config, self.builtin)?;
        let marks = self.loaded.schema.marks(&config);
        check_places(&config, &marks)?;
        let secrets = fetch(self.runtime.secrets.as_ref(), &config)?;
        let literal = literal_origins(&config, &marks, &secrets)?;
        let names: Vec<String> = secrets.keys().cloned().collect();
        let (needs, services) = (self.descriptor().needs, &self.runtime.settings.services);
        let host = connections::Host { services, trusted: self.builtin };
        let grants = connections::with_configured(grants, needs, &self.loaded.schema, &config, &marks, host)?;
        check_recipients(&config, &marks)?;
        let effective = Effective::of(needs, &grants, &literal, &names);
        self.check_mail_login(&effective)?;
        check_forms(&config, &marks, &secrets, &effective.origins)?;
        check_characters(&config, &marks, &secrets)?;
        let destination = literal.first().map(Origin::to_string).or_else(|| server(&effective));
        let is_many_servers = destination.is_none();
        let identities = identities(&config, &marks, &secrets)?;
        check_reachable(&config, &marks, &secrets, &effective)?;
        let name = action.name.clone().unwrap_or_else(|| action.plugin.clone());
        let who = Arc::new(Who { plugin: self.name.clone(), observer: observer.to_owned(), action: name });
        let destination =
            destination.unwrap_or_else(|| format!("{}/{}/{}", who.plugin, observer, who.action));
        let address = Address::of(&config, &marks, &destination);
        let goal = Goal { destination, is_many_servers, address };
        let handles = Handles::default();
        let config = place_handles(config, &marks, &secrets, &literal, &grants, &handles);
        let templates = compile_templates(&config, &marks, &action.config)?;

        let clients = &self.runtime.egress.clients;
        let identified: Vec<_> = identities
            .into_iter()
            .map(|(origin, identity)| {
                let client = clients.identified(&effective, &origin, &identity);
                (origin, client)
            })
            .collect();
        let mut permit = Permit { handles, ..Permit::new(who, effective, clients) };
        drop(permit.particular.splice(0..0, identified));
        let permit = Arc::new(permit);
        self.check(config.to_string(), &permit).await?;
        let text = ConfigText::new(&config, templates);
        let limits = Arc::new(limits);
        Ok(ConfiguredAction::new(Arc::clone(self), permit, limits, action.batch, text, goal, secrets))
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
        if let Some(batch) = &action.batch {
            problems.extend(self.batch_problems(batch));
        }
        let grants =
            action.grants.as_ref().map_or_else(|| Ok(Grants::default()), Grants::read).unwrap_or_else(
                |more| {
                    problems.extend(more);
                    Grants::default()
                },
            );
        problems.extend(lacking(self.descriptor().needs, &self.runtime.settings.services));
        problems.extend(self.loaded.schema.problems(&Value::Object(action.config.clone())));
        if problems.is_empty() { Ok(Written { limits, grants }) } else { Err(ConfigureError { problems }) }
    }

    fn batch_problems(&self, batch: &BatchConfig) -> Vec<ConfigProblem> {
        if self.exports_batch() {
            let wrong = batch.problems().into_iter();
            return wrong.map(|(key, why)| ConfigProblem::new(format!("/batch/{key}"), why)).collect();
        }
        let message = format!("`{}` takes one delivery at a time: it does not export `run-batch`", self.name);
        vec![ConfigProblem::new("/batch", message).help("leave `batch` out")]
    }

    /// A missing secret of the mail server's login is an error when the action loads, not with the first mail.
    fn check_mail_login(&self, effective: &Effective) -> Result<(), ConfigureError> {
        let smtp = self.runtime.settings.services.smtp.as_ref().filter(|_| effective.mail);
        let Some(name) = smtp.and_then(|smtp| smtp.login_secret()) else { return Ok(()) };
        let problem = match self.runtime.secrets.secret(name) {
            Ok(Some(_)) => return Ok(()),
            Ok(None) => ConfigProblem::new(
                "",
                format!("there is no secret `{name}` for the login at the mail server"),
            )
            .help(self.runtime.secrets.place(name)),
            Err(error) => ConfigProblem::new("", error.to_string()),
        };
        Err(problem.into())
    }

    /// The plugin's own `check`.
    async fn check(&self, config: String, permit: &Arc<Permit>) -> Result<(), ConfigureError> {
        let limits = Arc::new(describe_limits());
        let log = LogSink::new(Arc::clone(&permit.who), String::new(), limits.log_lines, limits.log_bytes);
        let (permit, cpu_profile) = (Arc::clone(permit), Arc::default());
        let loaded = Arc::clone(&self.loaded);
        let capacity = self.runtime.check_capacity(loaded.shares_beyond).await;
        let call =
            self.runtime.call(Phase::Check, permit, Arc::clone(&limits), Arc::clone(&log), cpu_profile);
        let said = within(&limits, Arc::clone(&call.cpu), async move {
            // Until the instance is gone, on whatever thread that is.
            let _capacity = capacity;
            Instance::fresh(&loaded.linked, call).await?.check(&config).await
        })
        .await;
        let problems = match said {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(problems)) => said_by_plugin(&problems),
            Err(ended) => {
                let failure = ended.failure(&limits, log.last_error().as_deref());
                vec![ConfigProblem::new(
                    "",
                    format!("the plugin's check did not end well: {}", failure.problem.message),
                )]
            }
        };
        Err(ConfigureError { problems })
    }
}

/// What is wrong with recipients that no template makes: a mail to them could never be sent.
fn check_recipients(config: &Value, marks: &BTreeMap<String, Marks>) -> Result<(), ConfigureError> {
    let written = marks.iter().filter(|(_, marks)| marks.recipient);
    let texts = written.filter_map(|(pointer, _)| Some((pointer, config.pointer(pointer)?.as_str()?)));
    let fixed = texts.filter(|(_, text)| !Template::is_template(text) && !names_secret(text));
    let problems: Vec<_> = fixed
        .filter_map(|(pointer, text)| Some(ConfigProblem::new(pointer, check_mailbox(text).err()?)))
        .collect();
    if problems.is_empty() { Ok(()) } else { Err(ConfigureError { problems }) }
}

/// Problems that are told of those that a plugin finds, and the letters of each: they stand in a log and in a table.
const MAX_PROBLEMS: usize = 20;
const MAX_PROBLEM_CHARS: usize = 500;

fn said_by_plugin(problems: &[FieldProblem]) -> Vec<ConfigProblem> {
    let short = |text: &str| plain(&text.chars().take(MAX_PROBLEM_CHARS).collect::<String>()).into_owned();
    let told = problems.iter().take(MAX_PROBLEMS);
    let mut told: Vec<_> =
        told.map(|problem| ConfigProblem::new(short(&problem.pointer), short(&problem.message))).collect();
    match problems.len().saturating_sub(MAX_PROBLEMS) {
        0 => {}
        more => told.push(ConfigProblem::new("", format!("the plugin finds {more} problems more"))),
    }
    told
}

/// The one server that an action without URLs uses.
fn server(effective: &Effective) -> Option<String> {
    let redis = effective.redis.first().map(|name| format!("redis.{name}"));
    let memcached = || effective.memcached.first().map(|name| format!("memcached.{name}"));
    redis.or_else(memcached).or_else(|| effective.mail.then(|| "smtp".to_owned()))
}

struct Written {
    limits: Limits,
    grants: Grants,
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
            if let Err(problem) = Template::check_literal(text, escaping) {
                problems.push(ConfigProblem::new(pointer, problem.to_string()));
            }
            continue;
        }
        match Template::compile(text, escaping) {
            Ok(template) => {
                let template = if marks.name { template.of_name() } else { template };
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_plugin_finds_wrong_is_told_in_bounds() {
        let problem = FieldProblem { pointer: "/x\u{1b}".into(), message: "m".repeat(1 << 20) };
        let told = ConfigureError { problems: said_by_plugin(&vec![problem; 1000]) }.to_string();
        assert!(told.starts_with("/x\u{fffd}: mmm") && told.ends_with("finds 980 problems more"), "{told}");
        assert!(told.len() < 20_000, "{}", told.len());
    }
}
