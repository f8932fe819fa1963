//! TLS to a server of the configuration (mail, Redis): it trusts the platform's authorities, those of the host's settings, and those of
//! the server's own `ca_file`, which is read again when it may have changed.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::{Mutex, MutexGuard};
use rustls::pki_types::CertificateDer;

use super::{
    ca_file,
    client::{Tls, extra_roots},
};
use crate::engine::EngineError;

/// TLS to one server.
#[derive(Debug)]
pub(super) struct ServiceTls {
    /// What the configuration calls the server.
    service: String,
    ca_file: Option<PathBuf>,
    /// Of the host's settings.
    extra: Vec<CertificateDer<'static>>,
    present: Mutex<Present>,
}

#[derive(Debug)]
struct Present {
    /// Of the file.
    roots: Vec<CertificateDer<'static>>,
    tls: Arc<Tls>,
}

impl ServiceTls {
    pub(super) fn open(
        service: &str,
        ca_file: Option<&Path>,
        extra_ca_pem: &[Vec<u8>],
    ) -> Result<Self, EngineError> {
        let extra = extra_roots(extra_ca_pem)?;
        let unreadable = |why| EngineError::Service { service: service.to_owned(), why };
        let roots = ca_file.map(ca_file::read).transpose().map_err(unreadable)?.unwrap_or_default();
        let tls = tls(&extra, &roots);
        Ok(Self {
            service: service.to_owned(),
            ca_file: ca_file.map(Path::to_owned),
            extra,
            present: Mutex::new(Present { roots, tls }),
        })
    }

    /// For the next connection.
    pub(super) fn present(&self) -> Arc<Tls> {
        Arc::clone(&self.lock().tls)
    }

    /// Reads the file again; whether others are trusted from now on. A file that can not be read, or holds no certificate, changes
    /// nothing.
    pub(super) fn follow(&self) -> bool {
        let Some(file) = &self.ca_file else { return false };
        let roots = match ca_file::read(file) {
            Ok(roots) => roots,
            Err(why) => {
                tracing::warn!(destination = self.service, "{why}; what was read before goes on");
                return false;
            }
        };
        let mut present = self.lock();
        if present.roots == roots {
            return false;
        }
        let tls = tls(&self.extra, &roots);
        *present = Present { roots, tls };
        tracing::info!(destination = self.service, "its certificates have changed");
        true
    }

    fn lock(&self) -> MutexGuard<'_, Present> {
        self.present.lock()
    }
}

fn tls(extra: &[CertificateDer<'static>], roots: &[CertificateDer<'static>]) -> Arc<Tls> {
    Arc::new(Tls::of_roots(extra.iter().chain(roots).cloned().collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pem() -> String {
        let key = rcgen::KeyPair::generate().unwrap();
        rcgen::CertificateParams::new(["ca".to_owned()]).unwrap().self_signed(&key).unwrap().pem()
    }

    #[test]
    fn a_file_is_followed_and_a_bad_one_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        let told = ServiceTls::open("redis.a", Some(&file), &[]).map(drop).unwrap_err().to_string();
        assert!(told.starts_with("redis.a: `ca_file` ") && told.contains("can not be read"), "{told}");
        std::fs::write(&file, pem()).unwrap();
        let tls = ServiceTls::open("redis.a", Some(&file), &[]).unwrap();
        let first = tls.present();
        assert!(!tls.follow(), "nothing has changed");
        std::fs::write(&file, "nothing").unwrap();
        assert!(!tls.follow() && Arc::ptr_eq(&first, &tls.present()));
        std::fs::remove_file(&file).unwrap();
        assert!(!tls.follow() && Arc::ptr_eq(&first, &tls.present()));
        std::fs::write(&file, pem()).unwrap();
        assert!(tls.follow() && !Arc::ptr_eq(&first, &tls.present()));
        assert!(!ServiceTls::open("smtp", None, &[]).unwrap().follow());
    }
}
