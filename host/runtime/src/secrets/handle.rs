//! Handles: what a guest sees in the place of a secret.
//!
//! A handle is a word of letters and digits: a prefix that is random for each process, then a part that is random for
//! each secret of each action. It survives URL parsing, JSON and every escaping unchanged, so it is found again when a
//! request leaves. Event data can not hold the handle of a secret: nobody outside can guess one, and text in which the
//! process's prefix stands is changed before a guest or a template sees it (see [`neutralise`]).

use std::{
    borrow::Cow,
    collections::HashMap,
    fmt::Write as _,
    sync::{Arc, OnceLock},
};

use parking_lot::RwLock;
use ring::rand::{SecureRandom as _, SystemRandom};

use super::provider::Secret;
use crate::{capability::Origin, templates::Escaping};

const PREFIX_RANDOM_BYTES: usize = 8;
const OWN_RANDOM_BYTES: usize = 16;
/// Letters and digits of the part after the prefix.
pub(super) const OWN_CHARS: usize = OWN_RANDOM_BYTES * 2;
const WORD: &str = "acsecret";

/// What one handle stands for.
pub(crate) struct Entry {
    /// The secret's name.
    pub(crate) name: String,
    pub(crate) secret: Secret,
    /// Where it may be sent.
    pub(crate) destinations: Vec<Origin>,
    /// Whether it is substituted in a request's body, and how it is escaped there.
    pub(crate) body: Option<Escaping>,
}

/// The handles of one action.
#[derive(Default)]
pub(crate) struct Handles {
    entries: RwLock<HashMap<String, Arc<Entry>>>,
}

impl Handles {
    /// A new handle.
    pub(crate) fn issue(&self, entry: Entry) -> String {
        let handle = format!("{}{}", prefix(), random_hex::<OWN_RANDOM_BYTES>());
        let own = handle[prefix().len()..].to_owned();
        self.entries.write().insert(own, Arc::new(entry));
        handle
    }

    /// From now on the handle stands for another secret; whoever has it already sends the new one.
    pub(crate) fn replace(&self, handle: &str, entry: Entry) {
        if let Some(own) = handle.strip_prefix(prefix()) {
            self.entries.write().insert(own.to_owned(), Arc::new(entry));
        }
    }

    /// From now on the handle stands for nothing.
    pub(crate) fn withdraw(&self, handle: &str) {
        if let Some(own) = handle.strip_prefix(prefix()) {
            self.entries.write().remove(own);
        }
    }

    /// What a text that is a handle, and nothing else, stands for.
    pub(crate) fn whole(&self, handle: &str) -> Option<Arc<Entry>> {
        self.own(handle.strip_prefix(prefix())?)
    }

    /// Whether any secret of this action may be sent to that origin.
    pub(crate) fn any_towards(&self, origin: &Origin) -> bool {
        let entries = self.entries.read();
        entries.values().any(|entry| entry.destinations.contains(origin))
    }

    /// Everything that a handle of this action stands for.
    pub(super) fn all(&self) -> Vec<Arc<Entry>> {
        self.entries.read().values().cloned().collect()
    }

    /// What the part after the prefix stands for.
    pub(super) fn own(&self, own: &str) -> Option<Arc<Entry>> {
        self.entries.read().get(own).cloned()
    }
}

/// The start of every handle of this process.
pub(super) fn prefix() -> &'static str {
    static PREFIX: OnceLock<String> = OnceLock::new();
    PREFIX.get_or_init(|| format!("{WORD}{}", random_hex::<PREFIX_RANDOM_BYTES>()))
}

/// Text from outside in which no handle stands: where the prefix of this process's handles is found, its word is
/// changed. Text without it, which is all honest text, is returned as it is.
pub(crate) fn neutralise(text: &str) -> Cow<'_, str> {
    if text.contains(prefix()) {
        Cow::Owned(text.replace(prefix(), &prefix().replacen(WORD, "not-a-secret-", 1)))
    } else {
        Cow::Borrowed(text)
    }
}

fn random_hex<const N: usize>() -> String {
    let mut bytes = [0_u8; N];
    // `Runtime::new` has asked the system once already and refused to start without randomness.
    SystemRandom::new().fill(&mut bytes).expect("the system's random numbers do not end");
    bytes.iter().fold(String::with_capacity(N * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str) -> Entry {
        Entry { name: name.into(), secret: Secret::new("s"), destinations: Vec::new(), body: None }
    }

    #[test]
    fn a_handle_is_known_to_its_action_only() {
        let (mine, other) = (Handles::default(), Handles::default());
        let handle = mine.issue(entry("A"));
        assert_eq!(mine.whole(&handle).unwrap().name, "A");
        assert!(other.whole(&handle).is_none());
        assert!(mine.whole(&handle[1..]).is_none());
        assert!(mine.whole(&format!("{handle}0")).is_none());
        assert_ne!(handle, mine.issue(entry("A")));
        assert!(handle.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()));
    }

    #[test]
    fn text_from_outside_holds_no_handle() {
        let handles = Handles::default();
        let handle = handles.issue(entry("A"));
        let text = format!("{{\"x\":\"{handle}{handle}\"}}");
        let harmless = neutralise(&text);
        assert!(!harmless.contains(prefix()));
        assert!(matches!(neutralise("honest ${secret:A} acsecret"), Cow::Borrowed(_)));
    }
}
