//! Certificates made for one test: an authority, servers called `localhost`, and clients.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
};

/// An authority that a test made.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    der: CertificateDer<'static>,
    /// Its own certificate.
    pub(super) pem: String,
}

/// A client's certificate and key, as PEM.
pub(super) struct Client {
    pub(super) certificate: String,
    pub(super) key: String,
}

impl Authority {
    pub(super) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::new([]).unwrap();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let own = parameters.self_signed(&key).unwrap();
        Self { pem: own.pem(), der: own.der().clone(), issuer: Issuer::new(parameters, key) }
    }

    /// A client that it vouches for.
    pub(super) fn client(&self) -> Client {
        let key = KeyPair::generate().unwrap();
        let parameters = CertificateParams::new(["client".to_owned()]).unwrap();
        let certificate = parameters.signed_by(&key, &self.issuer).unwrap().pem();
        Client { certificate, key: key.serialize_pem() }
    }

    /// The side of a server called `localhost`, which takes every client.
    pub(super) fn server(&self, protocols: &[&str]) -> Arc<ServerConfig> {
        self.server_for(WebPkiClientVerifier::no_client_auth(), protocols)
    }

    /// The same, which takes only clients that `clients` vouches for.
    pub(super) fn server_for_clients_of(&self, clients: &Self, protocols: &[&str]) -> Arc<ServerConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(clients.der.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
        self.server_for(verifier.unwrap(), protocols)
    }

    fn server_for(&self, clients: Arc<dyn ClientCertVerifier>, protocols: &[&str]) -> Arc<ServerConfig> {
        let key = KeyPair::generate().unwrap();
        let parameters = CertificateParams::new(["localhost".to_owned()]).unwrap();
        let certificate = parameters.signed_by(&key, &self.issuer).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut tls = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(clients)
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
            )
            .unwrap();
        tls.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        Arc::new(tls)
    }
}

/// A server's side of TLS with these protocols in ALPN, and the authority that signed its certificate, as PEM.
pub(super) fn localhost(protocols: &[&str]) -> (Arc<ServerConfig>, String) {
    let authority = Authority::new();
    (authority.server(protocols), authority.pem)
}
