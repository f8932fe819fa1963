//! From an action as written to an action that can run: checked, granted, its secrets replaced, its templates compiled.

pub(crate) mod client_certificates;
pub(crate) mod connections;
pub(crate) mod default_destinations;
pub(crate) mod enum_hint;
pub(crate) mod marked;
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
        marked::{MarkedConfig, MarkedText},
        origins::literal_origins,
        problem::{ConfigProblem, ConfigureError, Findings},
        url_checks::check_reachable,
    },
    egress::{Identity, Permit, Who, check_mailbox},
    hostapi::LogSink,
    limits::Limits,
    loading::{describe_limits, plugin::Plugin, schema::Marks},
    secrets::{
        Handles, Secret, SecretProvider as _, as_written, check_characters, check_forms, names_secret,
        resolve_secret_names,
    },
    templates::Template,
};

/// An action as far as it could be made; it is whole if nothing was found wrong with it.
struct Prepared {
    /// Whether the plugin's schema accepts what was written: only then can the plugin read it.
    fits_schema: bool,
    limits: Limits,
    /// With handles in the places of secrets.
    config: Value,
    secrets: BTreeMap<String, Secret>,
    templates: HashMap<String, Template>,
    goal: Goal,
    permit: Permit,
}

impl Plugin {
    /// Makes an action of this plugin from what an operator wrote. `observer` is named in logs. The error has everything that is wrong with
    /// it: what the host finds, and, if the plugin's schema accepts the configuration, what the plugin finds.
    pub async fn configure(
        self: &Arc<Self>,
        action: &ActionConfig,
        observer: &str,
    ) -> Result<ConfiguredAction, ConfigureError> {
        let findings = Findings::default();
        let Prepared { fits_schema, limits, config, secrets, templates, goal, permit } =
            self.prepare(action, observer, &findings);
        let permit = Arc::new(permit);
        if fits_schema {
            let mut problems = self.check(config.to_string(), &permit).await;
            problems.retain(|problem| findings.are_none_at(&problem.pointer));
            findings.extend(problems);
        }
        let result = findings.into_result();
        result.map_err(|error| as_written(&self.loaded.schema, &action.config, error))?;
        let text = ConfigText::new(&config, templates);
        let limits = Arc::new(limits);
        Ok(ConfiguredAction::new(Arc::clone(self), permit, limits, action.batch, text, goal, secrets))
    }

    /// All that the host makes of an action and finds wrong with it; problems are where they are once the names of secrets are resolved.
    fn prepare(&self, action: &ActionConfig, observer: &str, findings: &Findings) -> Prepared {
        let schema = &self.loaded.schema;
        let limits = self.limits(action, findings);
        if let Some(batch) = &action.batch {
            findings.extend(self.batch_problems(batch));
        }
        let refused = schema.problems(&Value::Object(action.config.clone()));
        let fits_schema = refused.is_empty();
        findings.extend(refused);
        let mut value = resolve_secret_names(schema, &action.config, findings);
        default_destinations::fill(schema, &mut value, self.builtin, findings);
        let config = MarkedConfig::new(value, schema, self.runtime.secrets.as_ref(), findings);
        let literal = literal_origins(&config, findings);
        let grants = self.grants(action, &config, findings);
        let names: Vec<String> = config.secrets.keys().cloned().collect();
        let effective = Effective::of(self.descriptor().needs, &grants, &literal, &names);
        check_recipients(&config, findings);
        findings.extend(self.mail_login_problem(&effective));
        // What is wrong with a URL or with `grants` already leaves origins out, which is not reported once more.
        let are_known = findings.are_none_at("/grants/http") && config.has_sound_urls(findings);
        let origins = are_known.then_some(&effective.origins[..]);
        check_forms(&config, origins, findings);
        check_characters(&config, findings);
        let identities = identities(&config, findings);
        check_reachable(&config, &effective, origins, findings);

        let name = action.name.clone().unwrap_or_else(|| action.plugin.clone());
        let who = Arc::new(Who { plugin: self.name.clone(), observer: observer.to_owned(), action: name });
        let goal = goal(&config, &literal, &effective, &who);
        let handles = Handles::default();
        let value = config.with_handles(&literal, &grants, &handles);
        let templates = compile_templates(&value, &config.marks, &action.config, findings);
        let permit = self.permit(who, effective, handles, identities);
        let secrets = config.secrets;
        Prepared { fits_schema, limits, config: value, secrets, templates, goal, permit }
    }

    fn limits(&self, action: &ActionConfig, findings: &Findings) -> Limits {
        let mut limits = self.runtime.settings.defaults.clone();
        if let Some(written) = &action.limits {
            limits = limits.with(written, findings);
        }
        if let Some(timeout_ms) = action.timeout_ms {
            let most = ActionConfig::MAX_TIMEOUT_MS;
            if (1..=most).contains(&timeout_ms) {
                limits.timeout_ms = timeout_ms;
            } else {
                let message = format!("expected a whole number from 1 to {most}, found {timeout_ms}");
                findings.add(ConfigProblem::new("/timeout_ms", message));
            }
        }
        limits
    }

    fn batch_problems(&self, batch: &BatchConfig) -> Vec<ConfigProblem> {
        if self.exports_batch() {
            let wrong = batch.problems().into_iter();
            return wrong.map(|(key, why)| ConfigProblem::new(format!("/batch/{key}"), why)).collect();
        }
        let message = format!("`{}` takes one delivery at a time: it does not export `run-batch`", self.name);
        vec![ConfigProblem::new("/batch", message).help("leave `batch` out")]
    }

    /// What is granted: as written, and by what the configuration itself names.
    fn grants(&self, action: &ActionConfig, config: &MarkedConfig, findings: &Findings) -> Grants {
        let written = action.grants.as_ref();
        let grants = written.map(|written| Grants::read(written, findings)).unwrap_or_default();
        let (needs, services) = (self.descriptor().needs, &self.runtime.settings.services);
        let lacking = lacking(needs, services);
        if !lacking.is_empty() {
            // Each field that names such a server would say it once more.
            findings.extend(lacking);
            return grants;
        }
        let host = connections::Host { services, trusted: self.builtin };
        connections::with_configured(grants, needs, &self.loaded.schema, config, host, findings)
    }

    /// A missing secret of the mail server's login is an error when the action loads, not with the first mail.
    fn mail_login_problem(&self, effective: &Effective) -> Option<ConfigProblem> {
        let smtp = self.runtime.settings.services.smtp.as_ref().filter(|_| effective.mail)?;
        let name = smtp.login_secret()?;
        match self.runtime.secrets.secret(name) {
            Ok(Some(_)) => None,
            Ok(None) => {
                let message = format!("there is no secret `{name}` for the login at the mail server");
                Some(ConfigProblem::new("", message).help(self.runtime.secrets.place(name)))
            }
            Err(error) => Some(ConfigProblem::new("", error.to_string())),
        }
    }

    fn permit(
        &self,
        who: Arc<Who>,
        effective: Effective,
        handles: Handles,
        identities: Vec<(Origin, Identity)>,
    ) -> Permit {
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
        permit
    }

    /// What the plugin's own `check` finds.
    async fn check(&self, config: String, permit: &Arc<Permit>) -> Vec<ConfigProblem> {
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
        match said {
            Ok(Ok(())) => Vec::new(),
            Ok(Err(problems)) => said_by_plugin(&problems),
            Err(ended) => {
                let failure = ended.failure(&limits, log.last_error().as_deref());
                let message = format!("the plugin's check did not end well: {}", failure.problem.message);
                vec![ConfigProblem::new("", message)]
            }
        }
    }
}

/// Reports what is wrong with recipients that no template makes: a mail to them could never be sent.
fn check_recipients(config: &MarkedConfig, findings: &Findings) {
    let texts = config.sound_texts(findings).into_iter().filter(|text| text.marks.recipient);
    for MarkedText { pointer, text, .. } in texts {
        if !Template::is_template(text) && !names_secret(text) {
            findings.extend(check_mailbox(text).err().map(|why| ConfigProblem::new(pointer, why)));
        }
    }
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

/// Where the deliveries of an action go.
fn goal(config: &MarkedConfig, literal: &[Origin], effective: &Effective, who: &Who) -> Goal {
    let destination = literal.first().map(Origin::to_string).or_else(|| server(effective));
    let is_many_servers = destination.is_none();
    let destination =
        destination.unwrap_or_else(|| format!("{}/{}/{}", who.plugin, who.observer, who.action));
    let address = Address::of(&config.value, &config.marks, &destination);
    Goal { destination, is_many_servers, address }
}

/// The one server that an action without URLs uses.
fn server(effective: &Effective) -> Option<String> {
    let redis = effective.redis.first().map(|name| format!("redis.{name}"));
    let memcached = || effective.memcached.first().map(|name| format!("memcached.{name}"));
    redis.or_else(memcached).or_else(|| effective.mail.then(|| "smtp".to_owned()))
}

/// Compiles every text with something to render that the schema marks as a template. Also where a secret is missing: that says nothing of
/// the template.
fn compile_templates(
    config: &Value,
    marks: &BTreeMap<String, Marks>,
    written: &serde_json::Map<String, Value>,
    findings: &Findings,
) -> HashMap<String, Template> {
    let mut templates = HashMap::new();
    for (pointer, marks) in marks {
        let (Some(escaping), Some(text)) = (marks.template, config.pointer(pointer).and_then(Value::as_str))
        else {
            continue;
        };
        if !Template::is_template(text) {
            if let Err(problem) = Template::check_literal(text, escaping) {
                findings.add(ConfigProblem::new(pointer, problem.to_string()));
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
                findings.add(ConfigProblem::new(pointer, format!("the template is wrong: {error}")));
            }
        }
    }
    templates
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
