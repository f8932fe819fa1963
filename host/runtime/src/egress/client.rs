//! HTTP clients: connections of their own for each set of grants, each client certificate, each way to an origin that the operator says
//! more of, and each origin, never shared between different ones.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use http::HeaderValue;
use parking_lot::Mutex;
use rustls::{
    client::Resumption,
    pki_types::{CertificateDer, pem::PemObject as _},
    sign::{CertifiedKey, SingleCertAndKey},
};
use rustls_platform_verifier::Verifier;

use super::{
    certificates::NamesSelfSigned,
    connector::{Connector, HttpClient},
    identity::{Fingerprint, Identity},
    idle::{DEFAULT_IDLE, IdleConnections, Use},
    names::{GuardedResolver, Names, SystemNames},
    route::{Route, RouteSettings, Routes},
};
use crate::{
    capability::{Effective, Origin, PrivateNetwork},
    engine::EngineError,
    secrets::SecretProvider,
};

/// What makes two actions share a pool.
type Sharing = (Vec<Origin>, PrivateNetwork, Option<Fingerprint>, Option<Origin>);

/// The clients that are in use, and how many there were.
#[derive(Default)]
struct Known {
    clients: HashMap<Sharing, Weak<Client>>,
    count: u64,
}

/// All clients in use.
pub(crate) struct Clients {
    tls: Arc<Tls>,
    names: Arc<dyn Names>,
    user_agent: HeaderValue,
    routes: Routes,
    idle: Arc<IdleConnections>,
    by_sharing: Mutex<Known>,
}

impl Clients {
    pub(crate) fn new(user_agent: &str, extra_ca_pem: &[Vec<u8>]) -> Result<Self, EngineError> {
        // Fails when the program has installed a provider before; that one is then used.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let tls = Arc::new(Tls::new(extra_ca_pem)?);
        let user_agent = HeaderValue::from_str(user_agent).map_err(|_| EngineError::UserAgent)?;
        let names = Arc::new(SystemNames);
        let idle = Arc::new(IdleConnections::new(DEFAULT_IDLE));
        let routes = Routes::default();
        Ok(Self { tls, names, user_agent, routes, idle, by_sharing: Mutex::default() })
    }

    /// The same with another bound of idle connections.
    pub(crate) fn with_max_idle(self, most: usize) -> Self {
        Self { idle: Arc::new(IdleConnections::new(most)), ..self }
    }

    /// The same with ways of their own to some origins.
    pub(crate) fn with_routes(
        self,
        settings: &BTreeMap<Origin, RouteSettings>,
        secrets: &Arc<dyn SecretProvider>,
    ) -> Result<Self, EngineError> {
        Ok(Self { routes: Routes::open(settings, secrets)?, ..self })
    }

    /// Reads again the files and secrets that the ways name.
    pub(crate) fn follow_routes(&self) {
        self.routes.follow();
    }

    /// The same with another way to look names up.
    #[cfg(test)]
    pub(super) fn with_names(self, names: Arc<dyn Names>) -> Self {
        Self { names, ..self }
    }

    /// The client for a set of grants, for all origins of which nothing more is said.
    pub(crate) fn of(&self, effective: &Effective) -> Arc<Client> {
        self.make(effective, None, None)
    }

    /// The client for one origin, if it has a way of its own.
    pub(crate) fn routed(&self, effective: &Effective, origin: &Origin) -> Option<Arc<Client>> {
        self.routes.to(origin).map(|_| self.make(effective, Some(origin), None))
    }

    /// The client on which one origin is shown a client certificate.
    pub(crate) fn identified(
        &self,
        effective: &Effective,
        origin: &Origin,
        identity: &Identity,
    ) -> Arc<Client> {
        self.make(effective, Some(origin), Some(identity))
    }

    /// Made when it is first used to send.
    fn make(
        &self,
        effective: &Effective,
        origin: Option<&Origin>,
        identity: Option<&Identity>,
    ) -> Arc<Client> {
        let fingerprint = identity.map(|identity| identity.fingerprint);
        let route = origin.and_then(|origin| Some((origin, self.routes.to(origin)?)));
        let routed = route.map(|(origin, _)| origin.clone());
        let key = (effective.origins.clone(), effective.private_network.clone(), fingerprint, routed);
        let mut known = self.by_sharing.lock();
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
            route: route.map(|(_, route)| Arc::clone(route)),
            version: AtomicU64::new(0),
            config: Mutex::default(),
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
    user_agent: HeaderValue,
    route: Option<Arc<Route>>,
    /// Of the route, as its connections were made last.
    version: AtomicU64,
    /// Made when it is first used to send, of this version of the route. TLS sessions are kept in it, for longer than connections are.
    config: Mutex<Option<(u64, rustls::ClientConfig)>>,
}

impl Drop for Client {
    fn drop(&mut self) {
        self.idle.forget(self.owner_at(self.version.load(Relaxed)));
    }
}

impl Client {
    /// The connections to one origin, for one request. Those that began with other certificates or another password of a proxy
    /// are not used again.
    pub(super) fn enter(&self, origin: &Origin) -> Result<Use, String> {
        self.idle.enter(self.owner(), origin, |most_idle| self.build(most_idle))
    }

    /// A client without connections, which keeps none: its next request has a new one.
    pub(super) fn unpooled(&self) -> Result<HttpClient, String> {
        self.build(0)
    }

    /// What `User-Agent` says of this program.
    pub(super) const fn user_agent(&self) -> &HeaderValue {
        &self.user_agent
    }

    /// Closes all idle connections, whoever's: the process may open no more files.
    pub(super) fn give_way(&self) {
        self.idle.give_way();
    }

    /// The proxy that its requests go through, as it may be told.
    pub(super) fn proxy_shown(&self) -> Option<String> {
        self.route.as_ref()?.proxy_shown()
    }

    /// Whose connections those are that it uses now.
    fn owner(&self) -> u64 {
        let version = self.route.as_ref().map_or(0, |route| route.version());
        let before = self.version.swap(version, Relaxed);
        if before != version {
            self.idle.forget(self.owner_at(before));
        }
        self.owner_at(version)
    }

    /// One number for each client and version of its route; of neither there are so many.
    const fn owner_at(&self, version: u64) -> u64 {
        self.number.wrapping_add(version << 32)
    }

    fn config(&self, version: u64, roots: &[CertificateDer<'static>]) -> rustls::ClientConfig {
        let mut made = self.config.lock();
        if let Some((_, config)) = made.as_ref().filter(|(of, _)| *of == version) {
            return config.clone();
        }
        let mut tls = self.tls.trusting(roots);
        // RFC 7301; APNs speaks HTTP/2 only.
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        if let Some(certified) = &self.certified {
            tls.client_auth_cert_resolver = Arc::new(SingleCertAndKey::from(Arc::clone(certified)));
        }
        if self.certified.is_some() || self.route.is_some() {
            // A session that others began is not theirs to go on with (RFC 8446, 2.2): it stands for their certificate, or for
            // whom they trust.
            tls.resumption = Resumption::default();
        }
        made.insert((version, tls)).1.clone()
    }

    pub(super) fn build(&self, most_idle: usize) -> Result<HttpClient, String> {
        let (version, present) = self.route.as_ref().map_or_else(Default::default, |route| route.present());
        let proxy = self.route.as_ref().map_or(Ok(None), |route| route.proxy(&present))?;
        // Behind a proxy only its own name is looked up here; the operator wrote it.
        let private_network =
            if proxy.is_some() { PrivateNetwork::Granted } else { self.private_network.clone() };
        let resolver = GuardedResolver { names: Arc::clone(&self.names), private_network };
        // A proxy is shown no client certificate, which is for the origin, and is spoken to in HTTP/1.1.
        let proxy = proxy.map(|proxy| (proxy, self.tls.trusting(&present.roots)));
        let tls = self.config(version, &present.roots);
        Ok(Connector::new(resolver, tls, proxy, &self.user_agent).client(most_idle))
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
        Ok(Self::of_roots(extra_roots(extra_ca_pem)?))
    }

    /// Trusts the platform's authorities and these.
    pub(super) fn of_roots(extra: Vec<CertificateDer<'static>>) -> Self {
        Self { extra, config: OnceLock::new() }
    }

    pub(super) fn config(&self) -> &rustls::ClientConfig {
        self.config.get_or_init(|| self.with_roots(&[]))
    }

    /// One that trusts these too, for the connections to one origin.
    fn trusting(&self, more: &[CertificateDer<'static>]) -> rustls::ClientConfig {
        if more.is_empty() { self.config().clone() } else { self.with_roots(more) }
    }

    fn with_roots(&self, more: &[CertificateDer<'static>]) -> rustls::ClientConfig {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("ring supports the default versions of TLS");
        match Verifier::new_with_extra_roots(self.extra.iter().chain(more).cloned(), provider) {
            Ok(verifier) => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(NamesSelfSigned(verifier)))
                .with_no_client_auth(),
            Err(error) => {
                tracing::error!(%error, "this system has no certificate authorities: every https request will fail");
                builder.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth()
            }
        }
    }
}

pub(super) fn extra_roots(all: &[Vec<u8>]) -> Result<Vec<CertificateDer<'static>>, EngineError> {
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
        assert!(clients.of(&Effective::default()).enter(&origin).is_ok());
        assert!(clients.tls.config().alpn_protocols.is_empty());
    }

    #[test]
    fn connections_are_shared_by_equal_grants_only() {
        let clients = Clients::new("test", &[]).unwrap();
        let origins = vec!["https://a.example".parse().unwrap()];
        let open = Effective { origins: origins.clone(), ..Effective::default() };
        let private = Effective { origins, private_network: PrivateNetwork::Granted, ..Effective::default() };
        let first = clients.of(&open);
        assert!(Arc::ptr_eq(&first, &clients.of(&open)));
        assert!(!Arc::ptr_eq(&first, &clients.of(&private)));
        assert!(!Arc::ptr_eq(&first, &clients.of(&Effective::default())));
        assert!(clients.routed(&open, &open.origins[0]).is_none());
        drop(first);
        assert_eq!(
            clients.by_sharing.lock().clients.values().filter(|client| client.strong_count() > 0).count(),
            0
        );
    }
}
