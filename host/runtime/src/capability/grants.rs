//! What an operator wrote into an action's `grants`.

use ipnet::IpNet;
use serde_json::Value;

use super::Origin;
use crate::configure::problem::{ConfigProblem, Findings};

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
    /// Reads `grants` as written. What is wrong in it grants nothing.
    pub(crate) fn read(written: &Value, findings: &Findings) -> Self {
        let mut grants = Self::default();
        let Value::Object(written) = written else {
            findings.add(ConfigProblem::new("/grants", "must be a table of grants"));
            return grants;
        };
        for (key, value) in written {
            match key.as_str() {
                "http" => grants.http = list(key, value, findings, str::parse),
                "secrets" => grants.secrets = list(key, value, findings, |name| Ok(name.to_owned())),
                "reveal" => grants.reveal = list(key, value, findings, |name| Ok(name.to_owned())),
                "redis" => grants.redis = list(key, value, findings, |name| Ok(name.to_owned())),
                "memcached" => grants.memcached = list(key, value, findings, |name| Ok(name.to_owned())),
                "mail" => match value {
                    Value::Bool(granted) => grants.mail = *granted,
                    _ => findings.add(ConfigProblem::new("/grants/mail", "must be true or false")),
                },
                "private_network" => grants.private_network = private_network(value, findings),
                other => findings.add(ConfigProblem::unknown_key("/grants", other, KEYS)),
            }
        }
        grants
    }
}

fn list<T>(
    key: &str,
    value: &Value,
    findings: &Findings,
    read: impl Fn(&str) -> Result<T, String>,
) -> Vec<T> {
    let Value::Array(items) = value else {
        findings.add(ConfigProblem::new(format!("/grants/{key}"), "must be a list of texts"));
        return Vec::new();
    };
    let mut all = Vec::with_capacity(items.len());
    for (position, item) in items.iter().enumerate() {
        match item.as_str().ok_or_else(|| "must be a text".to_owned()).and_then(&read) {
            Ok(item) => all.push(item),
            Err(why) => findings.add(ConfigProblem::new(format!("/grants/{key}/{position}"), why)),
        }
    }
    all
}

fn private_network(value: &Value, findings: &Findings) -> PrivateNetwork {
    match value {
        Value::Bool(true) => PrivateNetwork::Granted,
        Value::Bool(false) => PrivateNetwork::Denied,
        Value::Array(_) => {
            let mut ranges = list("private_network", value, findings, |text| {
                text.parse::<IpNet>()
                    .or_else(|_| text.parse::<std::net::IpAddr>().map(IpNet::from))
                    .map_err(|_| format!("`{text}` is not a range such as 10.1.0.0/16"))
            });
            ranges.sort_unstable();
            PrivateNetwork::Ranges(ranges)
        }
        _ => {
            findings.add(ConfigProblem::new(
                "/grants/private_network",
                "must be true, false or a list of ranges such as 10.1.0.0/16",
            ));
            PrivateNetwork::Denied
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn grants_are_read() {
        let read = |written| {
            let findings = Findings::default();
            let grants = Grants::read(&written, &findings);
            (grants, findings.into_result().map_or_else(|error| error.problems, |()| Vec::new()))
        };
        let (grants, problems) = read(json!({
            "http": ["https://api.example.com"], "private_network": ["10.0.0.0/8", "127.0.0.1"], "secrets": ["A"],
        }));
        assert_eq!(problems, []);
        assert_eq!(grants.http, ["https://api.example.com".parse().unwrap()]);
        assert!(matches!(grants.private_network, PrivateNetwork::Ranges(ref ranges) if ranges.len() == 2));
        let (grants, problems) = read(json!({
            "htttp": [], "private_network": "yes", "http": ["nonsense"], "mail": true,
        }));
        assert_eq!(grants, Grants { mail: true, ..Grants::default() }, "what is wrong grants nothing");
        assert_eq!(problems[0].help.as_deref(), Some("did you mean `http`?"));
        assert_eq!(problems[1].pointer, "/grants/private_network");
        assert_eq!(problems[2].pointer, "/grants/http/0");
    }
}
