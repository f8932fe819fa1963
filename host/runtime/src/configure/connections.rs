//! The host's servers that a configuration names: the mail server by recipients, connections by their names. As origins
//! are, they are granted by writing them; and a grant of something that this host does not have is an error.

use std::collections::BTreeSet;

use aftercommit_core::nearest;
use serde_json::Value;

use crate::{
    capability::{DEFAULT_CONNECTION, Grants, Need, Needs},
    configure::{
        marked::MarkedConfig,
        problem::{ConfigProblem, Findings},
    },
    loading::schema::ConfigSchema,
    settings::ServiceSettings,
};

/// A kind of connections.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Redis,
    Memcached,
}

impl Kind {
    const ALL: [Self; 2] = [Self::Redis, Self::Memcached];

    const fn need(self) -> Need {
        match self {
            Self::Redis => Need::Redis,
            Self::Memcached => Need::Memcached,
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Self::Redis => "Redis",
            Self::Memcached => "Memcached",
        }
    }

    /// The name of the section and of the grant.
    const fn key(self) -> &'static str {
        self.need().as_str()
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.key() == name)
    }

    fn configured(self, services: &ServiceSettings) -> BTreeSet<&str> {
        match self {
            Self::Redis => services.redis.keys().map(String::as_str).collect(),
            Self::Memcached => services.memcached.keys().map(String::as_str).collect(),
        }
    }

    fn granted(self, grants: &mut Grants) -> &mut Vec<String> {
        match self {
            Self::Redis => &mut grants.redis,
            Self::Memcached => &mut grants.memcached,
        }
    }
}

/// Needs that this host can not meet, whatever is granted.
pub(crate) fn lacking(needs: Needs, services: &ServiceSettings) -> Vec<ConfigProblem> {
    let mut problems = Vec::new();
    if needs.has(Need::Mail) && services.smtp.is_none() {
        let message = "the plugin needs `mail`, and this host provides no SMTP server";
        problems.push(ConfigProblem::new("", message).help("write `[smtp]` into the host's configuration"));
    }
    let kinds: Vec<Kind> = Kind::ALL.into_iter().filter(|kind| needs.has(kind.need())).collect();
    if !kinds.is_empty() && kinds.iter().all(|kind| kind.configured(services).is_empty()) {
        let names: Vec<_> = kinds.iter().map(|kind| format!("`{}`", kind.key())).collect();
        let titles: Vec<_> = kinds.iter().map(|kind| kind.title()).collect();
        let message = format!(
            "the plugin needs {}, and this host provides no {} connection",
            names.join(" or "),
            titles.join(" or ")
        );
        let help = format!("write `[{}.default]` into the host's configuration", kinds[0].key());
        problems.push(ConfigProblem::new("", message).help(help));
    }
    problems
}

/// The grants with those that the configuration names itself.
pub(crate) fn with_configured(
    mut grants: Grants,
    needs: Needs,
    schema: &ConfigSchema,
    config: &MarkedConfig,
    host: Host<'_>,
    findings: &Findings,
) -> Grants {
    let Host { services, trusted } = host;
    if grants.mail && services.smtp.is_none() {
        findings.add(ConfigProblem::new("/grants/mail", "this host has no SMTP server: `[smtp]`"));
    }
    // Where something is wrong with a list, its places are others.
    let is_sound = |kind: &Kind| findings.are_none_at(&format!("/grants/{}", kind.key()));
    for kind in Kind::ALL.into_iter().filter(is_sound) {
        for (position, name) in kind.granted(&mut grants).iter().enumerate() {
            let pointer = format!("/grants/{}/{position}", kind.key());
            findings.extend(absent(kind, name, services).map(|why| why.at(pointer)));
        }
    }
    grants.mail |= needs.has(Need::Mail) && config.marks.values().any(|marks| marks.recipient);
    for field in schema.connection_fields() {
        let pointer = format!("/{}", crate::configure::problem::escape(&field.name));
        if !findings.are_none_at(&pointer) {
            continue;
        }
        let written = |name: &str| config.value.get(name).and_then(Value::as_str);
        let kind = Kind::named(&field.kind)
            .or_else(|| Kind::named(written(&field.kind).or(schema.default_text(&field.kind))?));
        let Some(kind) = kind.filter(|kind| needs.has(kind.need())) else { continue };
        let name = match written(&field.name) {
            Some(name) => Ok(name),
            None => implied(kind, services)
                .and_then(|name| if trusted { Ok(name) } else { Err(not_granted(kind, &field.name, name)) }),
        };
        match name.map(|name| (name, absent(kind, name, services))) {
            Ok((name, None)) => kind.granted(&mut grants).push(name.to_owned()),
            Ok((_, Some(problem))) | Err(problem) => findings.add(problem.at(pointer)),
        }
    }
    grants
}

/// What the host has, and whether it may grant the implied connection: only to plugins that the program carries inside
/// itself, because whoever wrote another one would grant it to himself.
#[derive(Clone, Copy)]
pub(crate) struct Host<'h> {
    pub(crate) services: &'h ServiceSettings,
    pub(crate) trusted: bool,
}

fn not_granted(kind: Kind, field: &str, name: &str) -> ConfigProblem {
    let key = kind.key();
    ConfigProblem::new(
        "",
        format!("is not written, and this plugin would use `[{key}.{name}]`, which nobody granted"),
    )
    .help(format!("write {field} = \"{name}\" to grant it"))
}

/// The connection that is meant when none is written: the one called `default`, or the only one.
fn implied(kind: Kind, services: &ServiceSettings) -> Result<&str, ConfigProblem> {
    let configured = kind.configured(services);
    let key = kind.key();
    let mut names = configured.iter().copied();
    match (configured.contains(DEFAULT_CONNECTION), names.next(), names.next()) {
        (true, ..) => Ok(DEFAULT_CONNECTION),
        (false, Some(only), None) => Ok(only),
        (false, None, _) => {
            let problem = ConfigProblem::new("", format!("this host has no {} connection", kind.title()));
            Err(problem.help(format!("write `[{key}.default]` into the host's configuration")))
        }
        (false, Some(_), Some(_)) => {
            let names: Vec<&str> = configured.into_iter().collect();
            let message =
                format!("this host has several {} connections, and none is called `default`", kind.title());
            Err(ConfigProblem::new("", message).help(format!("name one of {}", names.join(", "))))
        }
    }
}

/// What is wrong with a connection's name, if this host does not have it.
fn absent(kind: Kind, name: &str, services: &ServiceSettings) -> Option<ConfigProblem> {
    let configured = kind.configured(services);
    if configured.contains(name) {
        return None;
    }
    let shown: String = name.escape_debug().take(80).collect();
    let problem = ConfigProblem::new("", format!("this host has no `[{}.{shown}]`", kind.key()));
    Some(match nearest(name, configured.iter().copied()) {
        Some(near) => problem.help(format!("did you mean `{near}`?")),
        None if configured.is_empty() => problem,
        None => {
            let names: Vec<&str> = configured.into_iter().collect();
            problem.help(format!("there are: {}", names.join(", ")))
        }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        egress::{MemcachedSettings, RedisSettings, SmtpEncryption, SmtpSettings},
        secrets::EnvSecrets,
    };

    fn services(redis: &[&str], memcached: &[&str]) -> ServiceSettings {
        let of = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let at_redis = RedisSettings::from_url("redis://localhost").unwrap();
        let at_memcached = MemcachedSettings::from_url("memcached://localhost").unwrap();
        ServiceSettings {
            smtp: Some(SmtpSettings::new("localhost", 25, SmtpEncryption::None)),
            redis: of(redis).into_iter().map(|name| (name, at_redis.clone())).collect(),
            memcached: of(memcached).into_iter().map(|name| (name, at_memcached.clone())).collect(),
        }
    }

    fn schema() -> ConfigSchema {
        let schema = json!({"type": "object", "properties": {
            "backend": {"type": "string", "default": "redis"},
            "connection": {"type": "string", "x-connection": "backend"},
            "to": {"type": "string", "x-recipient": true},
        }});
        ConfigSchema::read(&schema.to_string()).unwrap()
    }

    fn granted(config: &Value, grants: &Value, services: &ServiceSettings) -> Result<Grants, String> {
        let (schema, needs) = (schema(), Need::ALL.into_iter().fold(Needs::default(), Needs::with));
        let findings = Findings::default();
        let config = MarkedConfig::new(config.clone(), &schema, &EnvSecrets, &findings);
        let grants = Grants::read(grants, &findings);
        let host = Host { services, trusted: true };
        let grants = with_configured(grants, needs, &schema, &config, host, &findings);
        findings.into_result().map_or_else(|error| Err(error.to_string()), |()| Ok(grants))
    }

    #[test]
    fn what_the_configuration_names_is_granted() {
        let services = services(&["a", "b"], &["only"]);
        let by_name = granted(&json!({"connection": "b"}), &json!({}), &services).unwrap();
        assert_eq!((by_name.redis, by_name.memcached, by_name.mail), (vec!["b".to_owned()], vec![], false));
        let other = granted(&json!({"backend": "memcached", "to": "a@b"}), &json!({}), &services).unwrap();
        assert_eq!((other.redis, other.memcached, other.mail), (vec![], vec!["only".to_owned()], true));
        let more = json!({"redis": ["a"], "mail": true});
        let more = granted(&json!({"backend": "memcached"}), &more, &services).unwrap();
        assert_eq!((more.redis, more.mail), (vec!["a".to_owned()], true));
    }

    #[test]
    fn the_implied_connection_is_the_default_or_the_only_one() {
        for (configured, expected) in [
            (&["default", "x"][..], Ok("default")),
            (&["x"], Ok("x")),
            (&[], Err("/connection: this host has no Redis connection (write `[redis.default]` into")),
            (&["x", "y"], Err("none is called `default` (name one of x, y)")),
        ] {
            let got = granted(&json!({}), &json!({}), &services(configured, &[]));
            match (got, expected) {
                (Ok(grants), Ok(name)) => assert_eq!(grants.redis, [name]),
                (Err(told), Err(expected)) => assert!(told.contains(expected), "{told}"),
                (got, expected) => panic!("{got:?}, not {expected:?}"),
            }
        }
    }

    #[test]
    fn nothing_is_implied_for_a_plugin_of_others() {
        let (schema, services) = (schema(), services(&["only"], &[]));
        let granted = |config: &Value| {
            let needs = Needs::default().with(Need::Redis);
            let host = Host { services: &services, trusted: false };
            let findings = Findings::default();
            let config = MarkedConfig::new(config.clone(), &schema, &EnvSecrets, &findings);
            let grants = with_configured(Grants::default(), needs, &schema, &config, host, &findings);
            findings.into_result().map(|()| grants)
        };
        let told = granted(&json!({})).unwrap_err().to_string();
        assert!(
            told.contains("/connection: is not written") && told.contains("connection = \"only\""),
            "{told}"
        );
        assert_eq!(granted(&json!({"connection": "only"})).unwrap().redis, ["only"]);
    }

    #[test]
    fn a_grant_that_this_host_can_not_enforce_is_an_error() {
        let services = ServiceSettings { smtp: None, ..services(&["cache"], &[]) };
        let grants = json!({"redis": ["cahce"], "memcached": ["m"], "mail": true});
        let told = granted(&json!({"connection": "x"}), &grants, &services).unwrap_err();
        for expected in [
            "/grants/mail: this host has no SMTP server",
            "/grants/redis/0: this host has no `[redis.cahce]` (did you mean `cache`?)",
            "/grants/memcached/0: this host has no `[memcached.m]`",
            "/connection: this host has no `[redis.x]` (there are: cache)",
        ] {
            assert!(told.contains(expected), "{told}");
        }
    }

    #[test]
    fn a_service_that_the_host_lacks_is_told() {
        let told = |needs: &[Need], services: &ServiceSettings| {
            let needs = needs.iter().fold(Needs::default(), |needs, need| needs.with(*need));
            lacking(needs, services).iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let none = ServiceSettings::default();
        assert!(
            told(&[Need::Mail], &none)[0]
                .starts_with("the plugin needs `mail`, and this host provides no SMTP")
        );
        let cache = [Need::Redis, Need::Memcached];
        assert!(told(&cache, &none)[0].contains("provides no Redis or Memcached connection"));
        assert!(told(&cache, &services(&[], &["m"])).is_empty(), "one of them is enough");
        assert!(told(&[Need::Http], &none).is_empty());
    }
}
