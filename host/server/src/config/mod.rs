//! What the operator sets: `aftercommit.toml`, and environment variables over it.
//!
//! Two stages. As written: a [`Document`], the file's tree with the environment laid over it, no values checked. Then
//! resolved: a [`Config`], every value checked, every key accounted for. `reference.toml` is the commented default
//! file; it has every key, and a test says so.

mod admin;
mod database;
mod destinations;
mod dispatch;
mod environment;
mod file;
mod intake;
mod memcached;
mod observers;
mod plugins;
mod redis;
mod retention;
mod route;
mod runtime;
mod secrets;
mod smtp;
mod smtp_oauth;

use std::collections::BTreeMap;

use crate::document::{Document, Findings, Report, Section};

pub use admin::AdminConfig;
pub use database::DatabaseConfig;
pub use destinations::DestinationConfig;
pub use dispatch::DispatchConfig;
pub use environment::Environment;
pub use file::{DEFAULT_FILE, Loaded, NamedBy, load};
pub use intake::IntakeConfig;
pub use memcached::MemcachedConfig;
pub use observers::ObserversConfig;
pub use plugins::{PluginConfig, PluginSource};
pub use redis::RedisConfig;
pub use retention::RetentionConfig;
pub use runtime::RuntimeConfig;
pub use secrets::SecretsConfig;
pub use smtp::{SmtpConfig, SmtpTls};
pub use smtp_oauth::SmtpOAuthConfig;

/// The commented default file, which is also the reference: what `aftercommit init` writes.
pub const REFERENCE: &str = include_str!("reference.toml");

/// The resolved configuration. Its fields are named as the keys of the file are.
#[derive(Clone, PartialEq, Default, Debug)]
#[non_exhaustive]
pub struct Config {
    /// `[database]`
    pub database: DatabaseConfig,
    /// `[intake]`
    pub intake: IntakeConfig,
    /// `[dispatch]`
    pub dispatch: DispatchConfig,
    /// `[destinations."NAME"]`, by the name that destinations have.
    pub destinations: BTreeMap<String, DestinationConfig>,
    /// `[observers]`
    pub observers: ObserversConfig,
    /// `[admin]`
    pub admin: AdminConfig,
    /// `[retention]`
    pub retention: RetentionConfig,
    /// `[secrets]`
    pub secrets: SecretsConfig,
    /// `[runtime]`
    pub runtime: RuntimeConfig,
    /// `[smtp]`; without it, no mail is sent.
    pub smtp: Option<SmtpConfig>,
    /// `[redis.NAME]`
    pub redis: BTreeMap<String, RedisConfig>,
    /// `[memcached.NAME]`
    pub memcached: BTreeMap<String, MemcachedConfig>,
    /// `[plugins.NAME]`
    pub plugins: BTreeMap<String, PluginConfig>,
}

impl Config {
    /// Resolves a document, without any environment.
    pub fn resolve(document: &Document) -> Result<Self, Report> {
        let findings = Findings::default();
        let config = Self::read(Section::new("", &document.root, &findings));
        if findings.is_empty() { Ok(config) } else { Err(document.report(findings.into_problems())) }
    }

    /// Every key of the file with its path, `intake.batch_size`; those of `[destinations.NAME]`, `[redis.NAME]`, `[memcached.NAME]`
    /// and `[plugins.NAME]` only for the names in `document`.
    #[must_use]
    pub fn known_keys(document: &Document) -> Vec<String> {
        let findings = Findings::default();
        Self::read(Section::new("", &document.root, &findings));
        let asked = findings.asked();
        let is_table = |path: &String| asked.iter().any(|other| other.starts_with(&format!("{path}.")));
        asked.iter().filter(|path| path.contains('.') && !is_table(path)).cloned().collect()
    }

    fn read(mut root: Section<'_>) -> Self {
        let mut config = Self {
            database: DatabaseConfig::read(root.section("database")),
            intake: IntakeConfig::read(root.section("intake")),
            dispatch: DispatchConfig::read(root.section("dispatch")),
            destinations: BTreeMap::new(),
            observers: ObserversConfig::read(root.section("observers")),
            admin: AdminConfig::read(root.section("admin")),
            retention: RetentionConfig::read(root.section("retention")),
            secrets: SecretsConfig::read(root.section("secrets")),
            runtime: RuntimeConfig::read(root.section("runtime")),
            smtp: SmtpConfig::read(root.section("smtp")),
            redis: root.named("redis").into_iter().map(|(name, it)| (name, RedisConfig::read(it))).collect(),
            memcached: root
                .named("memcached")
                .into_iter()
                .map(|(name, it)| (name, MemcachedConfig::read(it)))
                .collect(),
            plugins: root
                .named("plugins")
                .into_iter()
                .map(|(name, section)| {
                    let plugin = PluginConfig::read(&name, section);
                    (name, plugin)
                })
                .collect(),
        };
        let destinations = root.named("destinations");
        config.destinations = DestinationConfig::read_all(destinations, &config.servers());
        root.finish();
        config
    }

    /// The host's own servers, as destinations are named.
    fn servers(&self) -> Vec<String> {
        let redis = self.redis.keys().map(|name| format!("redis.{name}"));
        let memcached = self.memcached.keys().map(|name| format!("memcached.{name}"));
        redis.chain(memcached).chain(self.smtp.is_some().then(|| "smtp".to_owned())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{Content, Format, Node};

    fn parse(text: &str) -> Result<Config, String> {
        let document =
            Document::parse("aftercommit.toml", text, Format::Toml).map_err(|it| it.to_string())?;
        Config::resolve(&document).map_err(|report| report.to_string())
    }

    /// The reference with its examples switched on: `#key` is an example, `# text` a comment.
    fn with_examples() -> Document {
        let lines = REFERENCE.lines().map(|line| match line.strip_prefix('#') {
            Some(example) if !example.is_empty() && !example.starts_with(' ') => example,
            _ => line,
        });
        Document::parse("reference.toml", lines.collect::<Vec<_>>().join("\n"), Format::Toml).unwrap()
    }

    #[test]
    fn the_reference_is_the_defaults() {
        assert_eq!(parse(REFERENCE), Ok(Config::default()));
        assert_eq!(parse(""), Ok(Config::default()));
    }

    #[test]
    fn the_reference_has_every_key_and_its_examples_are_valid() {
        let document = with_examples();
        let config = Config::resolve(&document).unwrap_or_else(|report| panic!("{report}"));
        assert!(config.smtp.is_some() && !config.redis.is_empty() && !config.memcached.is_empty());
        assert!(config.plugins.len() > 1 && config.destinations.len() > 1);
        let written = |path: &str| {
            // Names may have full stops of their own.
            fn find<'n>(node: &'n Node, path: &str) -> Option<&'n Node> {
                let Content::Table(entries) = &node.content else { return None };
                entries.iter().find_map(|entry| {
                    let rest = path.strip_prefix(&entry.key)?;
                    if rest.is_empty() {
                        Some(&entry.value)
                    } else {
                        find(&entry.value, rest.strip_prefix('.')?)
                    }
                })
            }
            find(&document.root, path)
        };
        let keys = Config::known_keys(&document);
        // One plugin, or destination, is enough to show a key.
        let last = |path: &str| path.rsplit('.').next().map(str::to_owned);
        let shown_elsewhere = |path: &str| {
            ["plugins.", "destinations."].into_iter().filter(|kind| path.starts_with(kind)).any(|kind| {
                keys.iter().any(|other| {
                    other.starts_with(kind) && last(other) == last(path) && written(other).is_some()
                })
            })
        };
        let missing: Vec<_> =
            keys.iter().filter(|path| written(path).is_none() && !shown_elsewhere(path)).collect();
        assert_eq!(missing, Vec::<&String>::new());
        assert!(keys.len() > 25, "{keys:?}");
    }

    #[test]
    fn the_page_has_every_key() {
        let page = include_str!("../../../../docs/configuration.md");
        for path in Config::known_keys(&with_examples()) {
            let key = path.rsplit('.').next().unwrap();
            assert!(page.contains(&format!("`{key}`")), "docs/configuration.md lacks `{path}`");
        }
    }

    #[test]
    fn all_problems_are_reported_each_at_its_place() {
        let text =
            "[intake]\nbatchsize = 5\n[dispatch]\nmax_concurrency = 0\n[admin]\nlisten = \"here\"\n[intak]\n";
        insta::assert_snapshot!(parse(text).unwrap_err());
    }

    #[test]
    fn bad_toml_is_shown_with_its_line() {
        insta::assert_snapshot!(parse("[intake]\nbatch_size = = 5\n").unwrap_err());
    }

    #[test]
    fn servers_that_are_not_ones_are_told_at_their_place() {
        let wrong = "[redis.a]\nurl = \"redis://:hunter2@h/x\"\n[redis.b]\n[memcached.c]\nurl = \"c:11211\"\n\
                     [smtp]\nhost = \"h\"\nfrom = \"nobody\"\npassword_env = \"P\"\n";
        let told = parse(wrong).unwrap_err();
        for expected in [
            "redis.a.url: what follows the host is not the number of a database",
            "redis.b: `url` is missing",
            "memcached.c.url: ",
            "smtp.from: `nobody` is not one address",
            "smtp: `username` is missing",
        ] {
            assert!(told.contains(expected), "{told}");
        }
        assert!(!told.contains("hunter2"), "{told}");
        let login = |host: &str| {
            parse(&format!(
                "[smtp]\nhost = \"{host}\"\ntls = \"none\"\nusername = \"u\"\npassword_env = \"P\"\n"
            ))
        };
        assert!(
            login("mail.example.com").unwrap_err().contains("would go to mail.example.com in plain text")
        );
        assert!(login("127.0.0.1").is_ok());
    }

    #[test]
    fn destinations_are_origins_or_servers_of_the_file() {
        let text = "[redis.cache]\nurl = \"redis://h\"\n[destinations.\"redis.cache\"]\nmax_concurrency = 2\n\
                    [destinations.\"https://api.example.com\"]\nrate_per_sec = 2.5\nburst = 4\n";
        let read = parse(text).unwrap().destinations;
        assert_eq!(read["redis.cache"].max_concurrency, Some(2));
        let rate = read["https://api.example.com"].rate().unwrap();
        assert_eq!((rate.per_sec, rate.burst), (2.5, 4));
    }

    #[test]
    fn a_destination_of_https_may_have_authorities_and_a_proxy_of_its_own() {
        let text = "[destinations.\"https://a.example\"]\nca_file = \"ca.pem\"\n[destinations.\"https://b.example\"]\n\
                    proxy = \"http://proxy.example:3128\"\nproxy_username = \"u\"\nproxy_password_env = \"P\"\n\
                    [destinations.\"http://c.example\"]\nmax_concurrency = 1\n";
        let routes = DestinationConfig::routes(&parse(text).unwrap().destinations);
        let names: Vec<String> = routes.keys().map(ToString::to_string).collect();
        assert_eq!(names, ["https://a.example", "https://b.example"]);
        let proxy = routes.values().last().unwrap().proxy.clone().unwrap();
        assert_eq!(proxy.login, Some(("u".to_owned(), "P".to_owned())));
        let wrong = "[smtp]\nhost = \"h\"\n[destinations.smtp]\nca_file = \"ca.pem\"\n[destinations.\"http://a.example\"]\n\
                     proxy = \"http://u:hunter2@proxy\"\n[destinations.\"https://b.example\"]\nproxy = \"socks5://proxy\"\n\
                     proxy_username = \"u\"\n[destinations.\"https://c.example\"]\nproxy_password_env = \"P\"\n";
        let told = parse(wrong).unwrap_err();
        for expected in [
            "destinations.smtp.ca_file: is for origins of https only",
            "destinations.http://a.example.proxy: is for origins of https only",
            "destinations.http://a.example.proxy: has a login in it",
            "destinations.https://b.example.proxy: is not a proxy such as",
            "destinations.https://b.example: `proxy_password_env` is missing",
            "destinations.https://c.example: `proxy_username` is missing",
            "destinations.https://c.example: `proxy` is missing",
        ] {
            assert!(told.contains(expected), "{expected} in {told}");
        }
        assert!(!told.contains("hunter2"), "{told}");
    }

    #[test]
    fn wrong_destinations_are_told_each_at_its_place() {
        let text = "[redis.cache]\nurl = \"redis://h\"\n\
                    [destinations.\"redis.cahce\"]\nmax_concurrency = 2\n\
                    [destinations.\"https://API.example.com/\"]\nrate_per_sec = 1\n\
                    [destinations.\"https://api.example.com/v1\"]\nrate_per_sec = 1\n\
                    [destinations.\"https://a.example\"]\nrate = 1\nburst = 2\nmax_concurrency = 0\n\
                    [destinations.\"https://b.example\"]\nrate_per_sec = 0\n";
        insta::assert_snapshot!(parse(text).unwrap_err());
    }

    #[test]
    fn passwords_are_not_shown() {
        let text =
            "[database]\nurl = \"postgres://app:hunter2@db/shop\"\n[redis.c]\nurl = \"redis://:hunter2@r\"";
        let shown = format!("{:?}", parse(text).unwrap());
        assert!(!shown.contains("hunter2"), "{shown}");
        let wrong = parse("[database]\nurl = \"mysql://app:hunter2@db/shop\"").unwrap_err();
        assert!(wrong.contains("mysql://app:***@db/shop"), "{wrong}");
    }
}
