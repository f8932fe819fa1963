//! What an operator granted to an action, and what its plugin says it needs. An action may do what is in both.

use std::{fmt, str::FromStr};

use ipnet::IpNet;
use serde_json::Value;
use url::{Host, Url};

use crate::problem::ConfigProblem;

/// A capability that a plugin declares.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Need {
    /// HTTP requests.
    Http,
    /// Signing and tokens with secrets that the plugin does not see.
    Secrets,
    /// The text of secrets.
    Reveal,
    /// E-mail over the host's server.
    Mail,
    /// Commands to a Redis server.
    Redis,
    /// Keys of a Memcached server.
    Memcached,
}

impl Need {
    /// All needs.
    pub const ALL: [Self; 6] =
        [Self::Http, Self::Secrets, Self::Reveal, Self::Mail, Self::Redis, Self::Memcached];

    /// The name in a descriptor.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Secrets => "secrets",
            Self::Reveal => "secrets.reveal",
            Self::Mail => "mail",
            Self::Redis => "redis",
            Self::Memcached => "memcached",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|need| need.as_str() == name)
    }
}

/// Scheme, host and port: the unit by which destinations are granted.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Origin {
    https: bool,
    host: Host<String>,
    port: u16,
}

impl Origin {
    pub(crate) const fn is_https(&self) -> bool {
        self.https
    }

    pub(crate) const fn host(&self) -> &Host<String> {
        &self.host
    }

    /// The origin of an `http` or `https` URL.
    pub fn of(url: &Url) -> Option<Self> {
        let https = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        // A trailing dot names the same host in the DNS, but not in a certificate.
        let host = match url.host()? {
            Host::Domain(name) => Host::Domain(name.trim_end_matches('.').to_owned()),
            Host::Ipv4(address) => Host::Ipv4(address),
            Host::Ipv6(address) => Host::Ipv6(address),
        };
        Some(Self { https, host, port: url.port_or_known_default()? })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, default) = if self.https { ("https", 443) } else { ("http", 80) };
        write!(f, "{scheme}://{}", self.host)?;
        if self.port == default { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

impl FromStr for Origin {
    type Err = String;

    /// Reads an origin written alone: `https://api.example.com`, with a port if it is not the scheme's own.
    fn from_str(text: &str) -> Result<Self, String> {
        const WANTED: &str = "write an origin such as https://api.example.com or http://10.0.0.7:8080";
        if text.contains('*') {
            return Err(format!("`{text}` has a wildcard; every host is named in full: {WANTED}"));
        }
        let url =
            Url::parse(text).map_err(|error| format!("`{text}` is not an origin ({error}); {WANTED}"))?;
        let bare = matches!(url.path(), "" | "/")
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none();
        match Self::of(&url) {
            Some(origin) if bare => Ok(origin),
            _ => Err(format!("`{text}` is not an origin alone; {WANTED}")),
        }
    }
}

/// Which addresses in special ranges (loopback, private, link-local, ..) may be connected to.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub enum PrivateNetwork {
    /// None.
    #[default]
    Denied,
    /// Those in these ranges.
    Ranges(Vec<IpNet>),
    /// All.
    Granted,
}

/// An action's `grants`, read.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Grants {
    /// Origins beside those that the configuration itself names.
    pub http: Vec<Origin>,
    /// Addresses in special ranges.
    pub private_network: PrivateNetwork,
    /// Secrets beside those that the configuration itself names.
    pub secrets: Vec<String>,
    /// Secrets whose text the plugin may read.
    pub reveal: Vec<String>,
    /// The host's mail server.
    pub mail: bool,
    /// Redis connections by name.
    pub redis: Vec<String>,
    /// Memcached connections by name.
    pub memcached: Vec<String>,
}

const KEYS: [&str; 7] = ["http", "private_network", "secrets", "reveal", "mail", "redis", "memcached"];

impl Grants {
    /// Reads `grants` as written.
    pub(crate) fn read(written: &Value) -> Result<Self, Vec<ConfigProblem>> {
        let Value::Object(written) = written else {
            return Err(vec![ConfigProblem::new("/grants", "must be a table of grants")]);
        };
        let mut grants = Self::default();
        let mut problems = Vec::new();
        for (key, value) in written {
            match key.as_str() {
                "http" => grants.http = list(key, value, &mut problems, str::parse),
                "secrets" => grants.secrets = list(key, value, &mut problems, |name| Ok(name.to_owned())),
                "reveal" => grants.reveal = list(key, value, &mut problems, |name| Ok(name.to_owned())),
                "redis" => grants.redis = list(key, value, &mut problems, |name| Ok(name.to_owned())),
                "memcached" => grants.memcached = list(key, value, &mut problems, |name| Ok(name.to_owned())),
                "mail" => match value {
                    Value::Bool(granted) => grants.mail = *granted,
                    _ => problems.push(ConfigProblem::new("/grants/mail", "must be true or false")),
                },
                "private_network" => grants.private_network = private_network(value, &mut problems),
                other => problems.push(ConfigProblem::unknown_key("/grants", other, KEYS)),
            }
        }
        if problems.is_empty() { Ok(grants) } else { Err(problems) }
    }
}

fn list<T>(
    key: &str,
    value: &Value,
    problems: &mut Vec<ConfigProblem>,
    read: impl Fn(&str) -> Result<T, String>,
) -> Vec<T> {
    let Value::Array(items) = value else {
        problems.push(ConfigProblem::new(format!("/grants/{key}"), "must be a list of texts"));
        return Vec::new();
    };
    let mut all = Vec::with_capacity(items.len());
    for (position, item) in items.iter().enumerate() {
        match item.as_str().ok_or_else(|| "must be a text".to_owned()).and_then(&read) {
            Ok(item) => all.push(item),
            Err(why) => problems.push(ConfigProblem::new(format!("/grants/{key}/{position}"), why)),
        }
    }
    all
}

fn private_network(value: &Value, problems: &mut Vec<ConfigProblem>) -> PrivateNetwork {
    match value {
        Value::Bool(true) => PrivateNetwork::Granted,
        Value::Bool(false) => PrivateNetwork::Denied,
        Value::Array(_) => {
            let mut ranges = list("private_network", value, problems, |text| {
                text.parse::<IpNet>()
                    .or_else(|_| text.parse::<std::net::IpAddr>().map(IpNet::from))
                    .map_err(|_| format!("`{text}` is not a range such as 10.1.0.0/16"))
            });
            ranges.sort_unstable();
            PrivateNetwork::Ranges(ranges)
        }
        _ => {
            problems.push(ConfigProblem::new(
                "/grants/private_network",
                "must be true, false or a list of ranges such as 10.1.0.0/16",
            ));
            PrivateNetwork::Denied
        }
    }
}

/// What the plugin declared it needs.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Needs(u8);

impl Needs {
    /// Adds a need.
    #[must_use]
    pub const fn with(self, need: Need) -> Self {
        Self(self.0 | 1 << need as u8)
    }

    /// Whether the need was declared.
    #[must_use]
    pub const fn has(self, need: Need) -> bool {
        self.0 & (1 << need as u8) != 0
    }

    /// Those declared.
    pub fn iter(self) -> impl Iterator<Item = Need> {
        Need::ALL.into_iter().filter(move |need| self.has(*need))
    }
}

/// The effective grants of an action: declared by the plugin and granted by the operator.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Effective {
    /// What the plugin declared.
    pub needs: Needs,
    /// Origins that requests may go to, in order; empty unless `http` is declared.
    pub origins: Vec<Origin>,
    /// Special address ranges; denied unless `http` is declared.
    pub private_network: PrivateNetwork,
    /// Names of the secrets granted; empty unless `http`, `secrets` or `secrets.reveal` is declared.
    pub secrets: Vec<String>,
    /// Names of the secrets that may be read; empty unless `secrets.reveal` is declared.
    pub reveal: Vec<String>,
    /// Whether mail may be sent over the host's server; false unless `mail` is declared.
    pub mail: bool,
    /// Names of the Redis connections, in order; empty unless `redis` is declared.
    pub redis: Vec<String>,
    /// Names of the Memcached connections, in order; empty unless `memcached` is declared.
    pub memcached: Vec<String>,
}

impl Effective {
    /// Intersects what was declared with what was granted. `literal` are the origins that the configuration names
    /// itself, `named` the secrets that it names. What it names of the host's servers is in the grants already.
    pub(crate) fn of(needs: Needs, grants: &Grants, literal: &[Origin], named: &[String]) -> Self {
        let http = needs.has(Need::Http);
        let mut origins: Vec<Origin> =
            if http { literal.iter().chain(&grants.http).cloned().collect() } else { Vec::new() };
        origins.sort_unstable();
        origins.dedup();
        // Secrets leave in requests, or are worked with: a plugin that declares neither can not use one.
        let uses = [Need::Http, Need::Secrets, Need::Reveal].into_iter().any(|need| needs.has(need));
        let secrets: Vec<String> = named.iter().chain(&grants.secrets).cloned().collect();
        Self {
            needs,
            origins,
            private_network: if http { grants.private_network.clone() } else { PrivateNetwork::Denied },
            secrets: names(uses, &secrets),
            reveal: if needs.has(Need::Reveal) { grants.reveal.clone() } else { Vec::new() },
            mail: needs.has(Need::Mail) && grants.mail,
            redis: names(needs.has(Need::Redis), &grants.redis),
            memcached: names(needs.has(Need::Memcached), &grants.memcached),
        }
    }
}

/// Granted names in order, each once, if what they are for was declared.
fn names(declared: bool, granted: &[String]) -> Vec<String> {
    let mut names = if declared { granted.to_vec() } else { Vec::new() };
    names.sort_unstable();
    names.dedup();
    names
}

/// The connection that is meant when none is named: `default`, or else the only one.
pub(crate) const DEFAULT_CONNECTION: &str = "default";

/// The granted connection that a plugin asks for.
pub(crate) fn granted_connection<'g>(granted: &'g [String], asked: &str) -> Option<&'g str> {
    let named = granted.iter().find(|name| *name == asked);
    let only = || granted.first().filter(|_| asked == DEFAULT_CONNECTION && granted.len() == 1);
    named.or_else(only).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn origin(text: &str) -> Origin {
        text.parse().unwrap()
    }

    #[test]
    fn origins_are_normal() {
        assert_eq!(origin("https://API.example.com:443/"), origin("https://api.example.com"));
        assert_eq!(origin("http://0x7f.1"), origin("http://127.0.0.1:80"));
        assert_eq!(origin("https://example.com."), origin("https://example.com"));
        assert_ne!(origin("https://example.com"), origin("http://example.com:443"));
        assert_eq!(origin("http://[::1]:8080").to_string(), "http://[::1]:8080");
        for wrong in [
            "example.com",
            "ftp://example.com",
            "https://a@example.com",
            "https://example.com/path",
            "https://*.example.com",
        ] {
            assert!(wrong.parse::<Origin>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn grants_are_read() {
        let grants = Grants::read(&json!({
            "http": ["https://api.example.com"], "private_network": ["10.0.0.0/8", "127.0.0.1"], "secrets": ["A"],
        }))
        .unwrap();
        assert_eq!(grants.http, [origin("https://api.example.com")]);
        assert!(matches!(grants.private_network, PrivateNetwork::Ranges(ref ranges) if ranges.len() == 2));
        let problems =
            Grants::read(&json!({"htttp": [], "private_network": "yes", "http": ["nonsense"]})).unwrap_err();
        assert_eq!(problems[0].help.as_deref(), Some("did you mean `http`?"));
        assert_eq!(problems[1].pointer, "/grants/private_network");
        assert_eq!(problems[2].pointer, "/grants/http/0");
    }

    #[test]
    fn effective_is_declared_and_granted() {
        let grants = Grants {
            http: vec![origin("https://b.example")],
            private_network: PrivateNetwork::Granted,
            secrets: vec!["B".into()],
            reveal: vec!["B".into()],
            mail: true,
            redis: vec!["b".into(), "a".into(), "b".into()],
            memcached: vec!["c".into()],
        };
        let literal = [origin("https://a.example")];
        let none = Effective::of(Needs::default(), &grants, &literal, &[]);
        assert!(none.origins.is_empty() && none.reveal.is_empty() && none.secrets.is_empty());
        assert_eq!(none.private_network, PrivateNetwork::Denied);
        assert!(!none.mail && none.redis.is_empty() && none.memcached.is_empty());
        let services = Needs::default().with(Need::Mail).with(Need::Redis);
        let services = Effective::of(services, &grants, &[], &[]);
        assert!(services.mail && services.memcached.is_empty());
        assert_eq!(services.redis, ["a", "b"]);
        let http = Effective::of(Needs::default().with(Need::Http), &grants, &literal, &["A".into()]);
        assert_eq!(http.origins.len(), 2);
        assert_eq!(http.secrets, ["A", "B"]);
        assert!(http.reveal.is_empty());
    }

    #[test]
    fn the_default_connection_is_the_only_one_or_the_one_called_so() {
        let granted = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(granted_connection(&granted(&["a"]), "default"), Some("a"));
        assert_eq!(granted_connection(&granted(&["a", "default"]), "default"), Some("default"));
        assert_eq!(granted_connection(&granted(&["a", "b"]), "default"), None);
        assert_eq!(granted_connection(&granted(&["a", "b"]), "b"), Some("b"));
        assert_eq!(granted_connection(&granted(&["a"]), "b"), None);
        assert_eq!(granted_connection(&[], "default"), None);
    }
}
