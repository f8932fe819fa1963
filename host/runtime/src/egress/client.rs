//! HTTP clients: connections of their own for each set of grants, each client certificate and each origin, never shared between
//! different ones.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, OnceLock, PoisonError, Weak},
    time::Duration,
};

use rustls::{
    client::Resumption,
    pki_types::{CertificateDer, pem::PemObject as _},
    sign::{CertifiedKey, SingleCertAndKey},
};
use rustls_platform_verifier::Verifier;

use super::{
    certificates::NamesSelfSigned,
    identity::{Fingerprint, Identity},
    idle::{DEFAULT_IDLE, IDLE, IdleConnections, Use},
    names::{GuardedResolver, Names, SystemNames},
};
use crate::{
    capability::{Effective, Origin, PrivateNetwork},
    engine::EngineError,
};

/// What makes two actions share a pool.
type Sharing = (Vec<Origin>, PrivateNetwork, Option<Fingerprint>);

/// The clients that are in use, and how many there were.
#[derive(Default)]
struct Known {
    clients: HashMap<Sharing, Weak<Client>>,
    count: u64,
}

/// Part of the request's own timeout, but no connection is waited for longer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Headers of a response; most clients take more than the 100 that are hyper's default. Their bytes are bounded too: by hyper
/// to some 400 KiB with HTTP/1.1, and by [`MAX_HTTP2_HEADERS_BYTES`] with HTTP/2.
const MAX_HEADERS: usize = 1000;
/// As many as other clients take, where h2's default is 16 KiB.
const MAX_HTTP2_HEADERS_BYTES: u32 = 256 << 10;

/// All clients in use.
pub(crate) struct Clients {
    tls: Arc<Tls>,
    names: Arc<dyn Names>,
    user_agent: String,
    idle: Arc<IdleConnections>,
    by_sharing: Mutex<Known>,
}

impl Clients {
    pub(crate) fn new(user_agent: &str, extra_ca_pem: &[Vec<u8>]) -> Result<Self, EngineError> {
        // Fails when the program has installed a provider before; that one is then used.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let tls = Arc::new(Tls::new(extra_ca_pem)?);
        let (user_agent, names) = (user_agent.to_owned(), Arc::new(SystemNames));
        let idle = Arc::new(IdleConnections::new(DEFAULT_IDLE));
        Ok(Self { tls, names, user_agent, idle, by_sharing: Mutex::default() })
    }

    /// The same with another bound of idle connections.
    pub(crate) fn with_max_idle(self, most: usize) -> Self {
        Self { idle: Arc::new(IdleConnections::new(most)), ..self }
    }

    /// The same with another way to look names up.
    #[cfg(test)]
    pub(super) fn with_names(self, names: Arc<dyn Names>) -> Self {
        Self { names, ..self }
    }

    /// The client for a set of grants and a client certificate; made when it is first used to send.
    pub(crate) fn of(&self, effective: &Effective, identity: Option<&Identity>) -> Arc<Client> {
        let fingerprint = identity.map(|identity| identity.fingerprint);
        let key = (effective.origins.clone(), effective.private_network.clone(), fingerprint);
        let mut known = self.by_sharing.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = known.clients.get(&key).and_then(Weak::upgrade) {
            return client;
        }
        known.clients.retain(|_, client| client.strong_count() > 0);
        known.count += 1;
        let client = Arc::new(Client {
            number: known.count,
            idle: Arc::clone(&self.idle),
            private_network: effective.private_network.clone(),
            tls: Arc::clone(&self.tls),
            certified: identity.map(|identity| Arc::clone(&identity.certified)),
            names: Arc::clone(&self.names),
            user_agent: self.user_agent.clone(),
            config: OnceLock::new(),
        });
        known.clients.insert(key, Arc::downgrade(&client));
        client
    }
}

/// The connections of one set of grants, with or without a client certificate.
pub(crate) struct Client {
    /// No other client ever has it.
    number: u64,
    idle: Arc<IdleConnections>,
    private_network: PrivateNetwork,
    tls: Arc<Tls>,
    certified: Option<Arc<CertifiedKey>>,
    names: Arc<dyn Names>,
    user_agent: String,
    /// Made when it is first used to send.
    config: OnceLock<rustls::ClientConfig>,
}

impl Drop for Client {
    fn drop(&mut self) {
        self.idle.forget(self.number);
    }
}

impl Client {
    /// The connections to one origin, for one request.
    pub(super) fn enter(&self, origin: &Origin) -> Result<Use, String> {
        self.idle.enter(self.number, origin, |most_idle| self.build(most_idle))
    }

    /// Closes all idle connections, whoever's: the process may open no more files.
    pub(super) fn give_way(&self) {
        self.idle.give_way();
    }

    /// TLS sessions are kept in it, for longer than connections are.
    fn config(&self) -> &rustls::ClientConfig {
        self.config.get_or_init(|| {
            let mut tls = self.tls.config().clone();
            // RFC 7301; APNs speaks HTTP/2 only.
            tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
            if let Some(certified) = &self.certified {
                tls.client_auth_cert_resolver = Arc::new(SingleCertAndKey::from(Arc::clone(certified)));
                // A session that others began is not theirs to go on with (RFC 8446, 2.2): it stands for their certificate.
                tls.resumption = Resumption::default();
            }
            tls
        })
    }

    fn build(&self, most_idle: usize) -> Result<reqwest::Client, String> {
        let resolver =
            GuardedResolver { names: Arc::clone(&self.names), private_network: self.private_network.clone() };
        reqwest::Client::builder()
            .tls_backend_preconfigured(self.config().clone())
            .user_agent(&self.user_agent)
            .dns_resolver(Arc::new(resolver))
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(most_idle)
            .tcp_nodelay(true)
            // A response whose head other clients understand has a status, and that counts.
            .http1_max_headers(MAX_HEADERS)
            .http1_allow_spaces_after_header_name_in_responses(true)
            .http1_allow_obsolete_multiline_headers_in_responses(true)
            .http1_ignore_invalid_headers_in_responses(true)
            .http2_max_header_list_size(MAX_HTTP2_HEADERS_BYTES)
            .build()
            .map_err(|error| error.without_url().to_string())
    }
}

/// One TLS configuration for all clients, made when the first of them connects: reading the platform's roots takes
/// milliseconds. It says whom to trust, and nothing of what is spoken then.
#[derive(Debug)]
pub(super) struct Tls {
    extra: Vec<CertificateDer<'static>>,
    config: OnceLock<rustls::ClientConfig>,
}

impl Tls {
    /// Trusts the platform's authorities and these (PEM).
    pub(super) fn new(extra_ca_pem: &[Vec<u8>]) -> Result<Self, EngineError> {
        Ok(Self { extra: extra_roots(extra_ca_pem)?, config: OnceLock::new() })
    }

    pub(super) fn config(&self) -> &rustls::ClientConfig {
        self.config.get_or_init(|| {
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let builder = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
                .with_safe_default_protocol_versions()
                .expect("ring supports the default versions of TLS");
            match Verifier::new_with_extra_roots(self.extra.iter().cloned(), provider) {
                Ok(verifier) => builder
                    .dangerous()
                    .with_custom_certificate_verifier(Arc::new(NamesSelfSigned(verifier)))
                    .with_no_client_auth(),
                Err(error) => {
                    tracing::error!(%error, "this system has no certificate authorities: every https request will fail");
                    builder.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth()
                }
            }
        })
    }
}

fn extra_roots(all: &[Vec<u8>]) -> Result<Vec<CertificateDer<'static>>, EngineError> {
    let mut roots = Vec::new();
    for pem in all {
        for root in CertificateDer::pem_slice_iter(pem) {
            roots.push(root.map_err(|error| EngineError::Certificate(error.to_string()))?);
        }
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_that_speak_something_else_are_not_offered_http() {
        // As mail and Redis connect.
        let clients = Clients::new("test", &[]).unwrap();
        let origin = "https://a.example".parse().unwrap();
        assert!(clients.of(&Effective::default(), None).enter(&origin).is_ok());
        assert!(clients.tls.config().alpn_protocols.is_empty());
    }

    #[test]
    fn connections_are_shared_by_equal_grants_only() {
        let clients = Clients::new("test", &[]).unwrap();
        let origins = vec!["https://a.example".parse().unwrap()];
        let open = Effective { origins: origins.clone(), ..Effective::default() };
        let private = Effective { origins, private_network: PrivateNetwork::Granted, ..Effective::default() };
        let first = clients.of(&open, None);
        assert!(Arc::ptr_eq(&first, &clients.of(&open, None)));
        assert!(!Arc::ptr_eq(&first, &clients.of(&private, None)));
        assert!(!Arc::ptr_eq(&first, &clients.of(&Effective::default(), None)));
        drop(first);
        assert_eq!(
            clients
                .by_sharing
                .lock()
                .unwrap()
                .clients
                .values()
                .filter(|client| client.strong_count() > 0)
                .count(),
            0
        );
    }
}
