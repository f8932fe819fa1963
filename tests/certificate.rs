//! A certificate authority of a test, and a server's certificate by it, as PEM files.

use std::{fs, path::PathBuf};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
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
        let server = CertificateParams::new(names).expect("names").signed_by(&server_key, &issuer);
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
