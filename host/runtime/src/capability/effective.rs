//! What an action may do: what is both declared and granted.

use super::{Grants, Need, Needs, Origin, PrivateNetwork};

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
    use super::*;

    fn origin(text: &str) -> Origin {
        text.parse().unwrap()
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
