//! Secrets that are read again: their files are replaced while the host runs.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use parking_lot::{Mutex, MutexGuard};
use ring::{
    hmac::{self, HMAC_SHA256},
    rand::SystemRandom,
};

use super::provider::{Secret, SecretError, SecretProvider};

/// A provider that knows which secrets have changed since they were read.
pub(crate) struct LiveSecrets {
    provider: Arc<dyn SecretProvider>,
    /// Made for this process: what is remembered of a secret gives nothing of it away.
    key: hmac::Key,
    seen: Mutex<BTreeMap<(String, Asker), Seen>>,
}

/// What is remembered of a secret.
struct Seen {
    /// When it was first asked for, or when changes were last asked for.
    digest: Digest,
    /// Since [`LiveSecrets::forget_unasked`] was called last.
    is_asked_for: bool,
}

/// None where there was no secret, or it could not be read.
type Digest = Option<[u8; 32]>;

/// Who asks for a secret: an action is not given the host's own settings.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Asker {
    Host,
    Action,
}

impl LiveSecrets {
    pub(crate) fn new(provider: Arc<dyn SecretProvider>) -> Self {
        // `Runtime::new` has asked the system for randomness before.
        let key = hmac::Key::generate(HMAC_SHA256, &SystemRandom::new())
            .expect("the system's random numbers do not end");
        Self { provider, key, seen: Mutex::default() }
    }

    /// The names of the secrets that have changed, come or gone since the last call.
    pub(crate) fn changed(&self) -> BTreeSet<String> {
        let asked: Vec<(String, Asker)> = self.seen().keys().cloned().collect();
        // Read without the lock: a folder may hang.
        let now = asked.into_iter().map(|(name, asker)| {
            let digest = self.digest(&self.ask(&name, asker));
            ((name, asker), digest)
        });
        let now: Vec<_> = now.collect();
        let mut seen = self.seen();
        let changed = now.into_iter().filter(|(asked, now)| {
            seen.get_mut(asked).is_some_and(|seen| std::mem::replace(&mut seen.digest, *now) != *now)
        });
        changed.map(|((name, _), _)| name).collect()
    }

    /// Forgets the secrets of actions that nobody asked for since the last call: those that are in use are asked for whenever the
    /// observers are read. Else every name that ever stood in a configuration would be remembered, and read again.
    pub(crate) fn forget_unasked(&self) {
        self.seen().retain(|(_, asker), seen| {
            std::mem::take(&mut seen.is_asked_for) || matches!(asker, Asker::Host)
        });
    }

    fn ask(&self, name: &str, asker: Asker) -> Result<Option<Secret>, SecretError> {
        match asker {
            Asker::Host => self.provider.secret(name),
            Asker::Action => self.provider.secret_of_action(name),
        }
    }

    fn remembered(&self, name: &str, asker: Asker) -> Result<Option<Secret>, SecretError> {
        let secret = self.ask(name, asker);
        let digest = self.digest(&secret);
        let mut seen = self.seen();
        let seen = seen.entry((name.to_owned(), asker)).or_insert(Seen { digest, is_asked_for: true });
        seen.is_asked_for = true;
        secret
    }

    fn digest(&self, secret: &Result<Option<Secret>, SecretError>) -> Digest {
        let secret = secret.as_ref().ok()?.as_ref()?;
        hmac::sign(&self.key, secret.expose().as_bytes()).as_ref().try_into().ok()
    }

    fn seen(&self) -> MutexGuard<'_, BTreeMap<(String, Asker), Seen>> {
        self.seen.lock()
    }
}

impl SecretProvider for LiveSecrets {
    fn secret(&self, name: &str) -> Result<Option<Secret>, SecretError> {
        self.remembered(name, Asker::Host)
    }

    fn secret_of_action(&self, name: &str) -> Result<Option<Secret>, SecretError> {
        self.remembered(name, Asker::Action)
    }

    fn place(&self, name: &str) -> String {
        self.provider.place(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::FileSecrets;

    /// Has every name, for the host alone.
    struct Settings;

    impl SecretProvider for Settings {
        fn secret(&self, name: &str) -> Result<Option<Secret>, SecretError> {
            Ok(Some(Secret::new(name)))
        }

        fn secret_of_action(&self, name: &str) -> Result<Option<Secret>, SecretError> {
            Err(SecretError { name: name.to_owned(), why: "it is the host's".to_owned() })
        }

        fn place(&self, _: &str) -> String {
            "nowhere".to_owned()
        }
    }

    #[test]
    fn an_action_is_not_given_the_settings_of_the_host() {
        let live = LiveSecrets::new(Arc::new(Settings));
        assert!(live.secret_of_action("DATABASE_URL").is_err());
        assert!(live.secret("DATABASE_URL").unwrap().is_some());
        assert!(live.changed().is_empty(), "each of the two is as it was");
    }

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

    #[test]
    fn a_secret_of_an_action_that_is_gone_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let live = LiveSecrets::new(Arc::new(FileSecrets::new(folder.path())));
        live.secret("HOST").unwrap();
        for name in ["USED", "GONE"] {
            live.secret_of_action(name).unwrap();
        }
        live.forget_unasked();
        assert!(live.changed().is_empty());
        live.secret_of_action("USED").unwrap();
        live.forget_unasked();
        for name in ["HOST", "USED", "GONE"] {
            std::fs::write(folder.path().join(name), "text").unwrap();
        }
        assert_eq!(names(&live.changed()), ["HOST", "USED"]);
    }
}
