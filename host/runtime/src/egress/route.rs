//! How the host reaches one origin where the operator says more than its URL: authorities that are trusted there only, and a forward
//! proxy.
//!
//! A proxy is asked for a tunnel (`CONNECT`, RFC 9110, 9.3.6), in which TLS goes on to the origin: the certificate is still the origin's. It
//! resolves the origin's name itself, so addresses are not checked by this host: whoever names a proxy for an origin leaves that to
//! the proxy. Grants are checked as ever, and so is an address that the URL writes out.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{
            AtomicU64,
            Ordering::{Acquire, Release},
        },
    },
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderValue, Uri};
use parking_lot::{Mutex, MutexGuard};
use rustls::pki_types::CertificateDer;
use url::Url;
use zeroize::Zeroizing;

use super::ca_file;
use crate::{
    capability::Origin,
    engine::EngineError,
    secrets::{Secret, SecretProvider},
};

/// What the operator says of the way to one origin.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct RouteSettings {
    /// A file of certificates (PEM) trusted there beside the platform's. Followed when it changes.
    pub ca_file: Option<PathBuf>,
    /// The proxy on the way; of `https` origins only.
    pub proxy: Option<ProxySettings>,
}

/// A forward proxy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProxySettings {
    /// `http://HOST:PORT`, or `https` for TLS to the proxy too. Its address may be in any range.
    pub url: Url,
    /// User name, and the name of the secret that holds the password (HTTP Basic).
    pub login: Option<(String, String)>,
}

/// A proxy, as a connection asks it for a tunnel.
pub(super) struct Proxy {
    pub(super) uri: Uri,
    /// `Proxy-Authorization` (RFC 9110, 11.7.2).
    pub(super) login: Option<HeaderValue>,
}

/// The way to one origin.
pub(super) struct Route {
    settings: RouteSettings,
    secrets: Arc<dyn SecretProvider>,
    present: Mutex<Present>,
    /// Counts what [`Route::present`] was.
    version: AtomicU64,
}

/// What the settings name, as it was read last.
#[derive(Clone, Default)]
pub(super) struct Present {
    pub(super) roots: Vec<CertificateDer<'static>>,
    password: Option<Secret>,
}

impl Route {
    fn open(settings: RouteSettings, secrets: &Arc<dyn SecretProvider>) -> Result<Self, String> {
        let present = Present::read(&settings, &**secrets)?;
        let (secrets, present) = (Arc::clone(secrets), Mutex::new(present));
        Ok(Self { settings, secrets, present, version: AtomicU64::new(0) })
    }

    /// Reads again what the settings name. What can not be read, or is no certificate, stays what it was.
    fn follow(&self, origin: &Origin) {
        match Present::read(&self.settings, &*self.secrets) {
            Ok(now) => {
                let mut present = self.lock();
                if !present.is(&now) {
                    *present = now;
                    self.version.fetch_add(1, Release);
                    tracing::info!(destination = %origin, "its certificates or its proxy's password have changed");
                }
            }
            Err(why) => tracing::warn!(destination = %origin, "{why}; what was read before goes on"),
        }
    }

    pub(super) fn version(&self) -> u64 {
        self.version.load(Acquire)
    }

    /// What was read last, and its version at least.
    pub(super) fn present(&self) -> (u64, Present) {
        let version = self.version();
        (version, self.lock().clone())
    }

    /// The proxy, as it may be told.
    pub(super) fn proxy_shown(&self) -> Option<String> {
        let url = &self.settings.proxy.as_ref()?.url;
        Origin::of(url).map(|origin| origin.to_string())
    }

    /// The proxy with its login.
    pub(super) fn proxy(&self, present: &Present) -> Result<Option<Proxy>, String> {
        let Some(settings) = &self.settings.proxy else { return Ok(None) };
        let uri = settings.url.as_str().parse().map_err(|_| "the proxy's URL can not be used".to_owned())?;
        let (Some((user, _)), Some(password)) = (&settings.login, &present.password) else {
            return Ok(Some(Proxy { uri, login: None }));
        };
        let pair = Zeroizing::new(format!("{user}:{}", password.expose()));
        let basic = Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())));
        let mut login = HeaderValue::from_str(&basic).map_err(|error| error.to_string())?;
        login.set_sensitive(true);
        Ok(Some(Proxy { uri, login: Some(login) }))
    }

    fn lock(&self) -> MutexGuard<'_, Present> {
        self.present.lock()
    }
}

impl Present {
    fn is(&self, other: &Self) -> bool {
        let [here, there] = [self, other].map(|it| it.password.as_ref().map(Secret::expose));
        self.roots == other.roots && here == there
    }

    fn read(settings: &RouteSettings, secrets: &dyn SecretProvider) -> Result<Self, String> {
        let roots = settings.ca_file.as_deref().map(ca_file::read).transpose()?.unwrap_or_default();
        let login = settings.proxy.as_ref().and_then(|proxy| proxy.login.as_ref());
        let password = match login {
            None => None,
            Some((_, name)) => {
                let found = secrets.secret(name).map_err(|error| error.to_string())?;
                let absent =
                    || format!("there is no password `{name}` for the proxy ({})", secrets.place(name));
                Some(found.ok_or_else(absent)?)
            }
        };
        Ok(Self { roots, password })
    }
}

/// All ways that the operator says something of.
#[derive(Default)]
pub(super) struct Routes(BTreeMap<Origin, Arc<Route>>);

impl Routes {
    pub(super) fn open(
        settings: &BTreeMap<Origin, RouteSettings>,
        secrets: &Arc<dyn SecretProvider>,
    ) -> Result<Self, EngineError> {
        let open = |(origin, settings): (&Origin, &RouteSettings)| -> Result<_, EngineError> {
            let route = Route::open(settings.clone(), secrets);
            let route = route.map_err(|why| EngineError::Route { origin: origin.to_string(), why })?;
            Ok((origin.clone(), Arc::new(route)))
        };
        Ok(Self(settings.iter().map(open).collect::<Result<_, _>>()?))
    }

    pub(super) fn to(&self, origin: &Origin) -> Option<&Arc<Route>> {
        self.0.get(origin)
    }

    /// Reads again what they name.
    pub(super) fn follow(&self) {
        for (origin, route) in &self.0 {
            route.follow(origin);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::EnvSecrets;

    #[test]
    fn a_file_of_certificates_is_followed_and_a_bad_one_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        let pem = || {
            let key = rcgen::KeyPair::generate().unwrap();
            rcgen::CertificateParams::new(["ca".to_owned()]).unwrap().self_signed(&key).unwrap().pem()
        };
        let settings = RouteSettings { ca_file: Some(file.clone()), proxy: None };
        let origin: Origin = "https://a.example".parse().unwrap();
        let secrets: Arc<dyn SecretProvider> = Arc::new(EnvSecrets);
        assert!(Route::open(settings.clone(), &secrets).is_err(), "there is no such file");
        std::fs::write(&file, pem()).unwrap();
        let route = Route::open(settings, &secrets).unwrap();
        route.follow(&origin);
        std::fs::write(&file, "nothing").unwrap();
        route.follow(&origin);
        assert_eq!((route.version(), route.present().1.roots.len()), (0, 1));
        std::fs::write(&file, pem() + &pem()).unwrap();
        route.follow(&origin);
        let (version, now) = route.present();
        assert_eq!((version, now.roots.len()), (1, 2));
    }
}
