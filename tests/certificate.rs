//! A certificate authority of a test, and a server's certificate by it, as PEM files.

use std::{fs, path::PathBuf, sync::Arc};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use tempfile::TempDir;

/// The files. Gone when dropped.
pub struct Certificate {
    folder: TempDir,
}

impl Certificate {
    /// A new authority and a certificate for `localhost` and 127.0.0.1.
    #[must_use]
    pub fn new() -> Self {
        Self::for_names(&["localhost", "127.0.0.1"])
    }

    /// A new authority and a certificate for these names.
    #[must_use]
    pub fn for_names(names: &[&str]) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = params.self_signed(&key).expect("a certificate");
        let issuer = Issuer::new(params, key);
        let server_key = KeyPair::generate().expect("a key");
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut server = CertificateParams::new(names).expect("names");
        // With the name of its authority it would be taken for self-signed.
        server.distinguished_name.push(DnType::CommonName, "a server of a test");
        let server = server.signed_by(&server_key, &issuer);
        for (name, text) in [
            ("ca.pem", authority.pem()),
            ("cert.pem", server.expect("a certificate").pem()),
            ("key.pem", server_key.serialize_pem()),
        ] {
            fs::write(folder.path().join(name), text).expect("the folder is ours");
        }
        Self { folder }
    }

    /// The authority, which clients trust.
    #[must_use]
    pub fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// The server's certificate.
    #[must_use]
    pub fn cert(&self) -> PathBuf {
        self.folder.path().join("cert.pem")
    }

    /// What a server with this certificate speaks TLS with; `protocols` are those of ALPN (RFC 7301).
    #[must_use]
    pub fn server(&self, protocols: &[&str]) -> Arc<ServerConfig> {
        let chain = CertificateDer::from_pem_file(self.cert()).expect("it is written");
        let key = PrivateKeyDer::from_pem_file(self.key()).expect("it is written");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring has them")
            .with_no_client_auth()
            .with_single_cert(vec![chain], key)
            .expect("key and certificate match");
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        Arc::new(config)
    }

    /// The server's key.
    #[must_use]
    pub fn key(&self) -> PathBuf {
        self.folder.path().join("key.pem")
    }
}

impl Default for Certificate {
    fn default() -> Self {
        Self::new()
    }
}
