//! Secrets that are looked at again: files are replaced while the host runs.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};

use ring::{
    hmac::{self, HMAC_SHA256},
    rand::SystemRandom,
};

use super::provider::{Secret, SecretError, SecretProvider};

/// A provider that knows which secrets are not what they were.
pub(crate) struct LiveSecrets {
    provider: Arc<dyn SecretProvider>,
    /// Of this process: what is remembered of a secret says nothing of it.
    key: hmac::Key,
    /// What each secret was when it was asked for first, or when changes were asked for last.
    seen: Mutex<BTreeMap<String, Seen>>,
}

/// Nothing where there was no secret, or it could not be read.
type Seen = Option<[u8; 32]>;

impl LiveSecrets {
    pub(crate) fn new(provider: Arc<dyn SecretProvider>) -> Self {
        // `Runtime::new` has asked the system for randomness before.
        let key = hmac::Key::generate(HMAC_SHA256, &SystemRandom::new())
            .expect("the system's random numbers do not end");
        Self { provider, key, seen: Mutex::default() }
    }

    /// The names of the secrets that have changed, come or gone since this was called last.
    pub(crate) fn changed(&self) -> BTreeSet<String> {
        let names: Vec<String> = self.lock().keys().cloned().collect();
        let now: Vec<(String, Seen)> =
            names.into_iter().map(|name| (name.clone(), self.seen(&self.provider.secret(&name)))).collect();
        let mut seen = self.lock();
        let changed = now.into_iter().filter(|(name, now)| seen.insert(name.clone(), *now) != Some(*now));
        changed.map(|(name, _)| name).collect()
    }

    fn seen(&self, secret: &Result<Option<Secret>, SecretError>) -> Seen {
        let secret = secret.as_ref().ok()?.as_ref()?;
        hmac::sign(&self.key, secret.expose().as_bytes()).as_ref().try_into().ok()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SecretProvider for LiveSecrets {
    fn secret(&self, name: &str) -> Result<Option<Secret>, SecretError> {
        let secret = self.provider.secret(name);
        let seen = self.seen(&secret);
        self.lock().entry(name.to_owned()).or_insert(seen);
        secret
    }

    fn place(&self, name: &str) -> String {
        self.provider.place(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::FileSecrets;

    fn names(changed: &BTreeSet<String>) -> Vec<&str> {
        changed.iter().map(String::as_str).collect()
    }

    #[test]
    fn what_changed_is_named_once() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("A", "one\n");
        let live = LiveSecrets::new(Arc::new(FileSecrets::new(folder.path())));
        assert_eq!(live.secret("A").unwrap().unwrap().expose(), "one");
        assert!(live.secret("LATE").unwrap().is_none());
        assert!(live.changed().is_empty());
        write("A", "one");
        assert!(live.changed().is_empty(), "a line break at the end is no part of it");
        write("A", "two");
        assert_eq!(live.secret("A").unwrap().unwrap().expose(), "two");
        write("LATE", "here");
        assert_eq!(names(&live.changed()), ["A", "LATE"], "reading it in between hides nothing");
        assert!(live.changed().is_empty());
        std::fs::remove_file(folder.path().join("A")).unwrap();
        assert_eq!(names(&live.changed()), ["A"]);
    }
}
