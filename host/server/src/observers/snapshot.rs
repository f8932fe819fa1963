//! All observers at one revision of `tb_observer`, compiled. Immutable; the pipeline swaps it whole.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use aftercommit_core::{ObserverDefinition, Ordering};
use aftercommit_runtime::{Addressed, ConfiguredAction};
use aftercommit_store::{ObserverRow, ObserverTable};

use super::{action::Action, matcher::EventMatcher, watcher::Watcher};
use crate::plugins::Catalog;

/// All observers at one revision.
#[derive(Default)]
pub struct Snapshot {
    /// The revision of `tb_observer`.
    pub revision: i64,
    matcher: EventMatcher,
    entries: BTreeMap<Arc<str>, Entry>,
    ordered: bool,
    /// Destinations at which deliveries go to more than one address.
    shared: HashSet<String>,
}

/// One observer: what the table says, and what runs.
pub struct Entry {
    /// What runs: the present definition, or the last good one if the present one does not load.
    pub definition: Option<Arc<ObserverDefinition>>,
    /// Whether it is enabled.
    pub enabled: bool,
    /// Why the present definition does not load.
    pub error: Option<String>,
    watcher: Option<Arc<Watcher>>,
    actions: Vec<Arc<Action>>,
    alert: Option<Arc<Action>>,
}

impl Snapshot {
    /// Compiles the table. What is unchanged since `before` is kept as it is; what does not load keeps its last good
    /// version from there.
    pub async fn compile(table: &ObserverTable, before: &Self, catalog: &Catalog) -> Self {
        let mut entries = BTreeMap::new();
        for row in &table.rows {
            let entry = Entry::compile(row, before.entries.get(row.name.as_str()), catalog).await;
            entries.insert(Arc::from(row.name.as_str()), entry);
        }
        let watchers =
            entries.values().filter(|entry| entry.enabled).filter_map(|entry| entry.watcher.clone());
        let matcher = EventMatcher::of(watchers.collect());
        let ordered = entries
            .values()
            .flat_map(|entry| &entry.actions)
            .any(|action| action.policy.ordering != Ordering::None);
        let shared = shared(entries.values().flat_map(Entry::all_actions));
        Self { revision: table.revision, matcher, entries, ordered, shared }
    }

    /// Finds observers for events.
    #[must_use]
    pub const fn matcher(&self) -> &EventMatcher {
        &self.matcher
    }

    /// One observer by name; none if it was removed.
    #[must_use]
    pub fn entry(&self, observer: &str) -> Option<&Entry> {
        self.entries.get(observer)
    }

    /// All observers, by name.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.entries.iter().map(|(name, entry)| (&**name, entry))
    }

    /// An observer's actions, in their order.
    #[must_use]
    pub fn actions(&self, observer: &str) -> &[Arc<Action>] {
        self.entries.get(observer).map_or(&[], |entry| &entry.actions)
    }

    /// The action that tells a person of an observer's failures.
    #[must_use]
    pub fn alert(&self, observer: &str) -> Option<&Arc<Action>> {
        self.entries.get(observer)?.alert.as_ref()
    }

    /// One action of an observer, that which alerts included.
    #[must_use]
    pub fn action(&self, observer: &str, action: &str) -> Option<&Arc<Action>> {
        self.entries.get(observer)?.all_actions().find(|candidate| &*candidate.name == action)
    }

    /// All actions of all observers.
    pub fn all_actions(&self) -> impl Iterator<Item = &Arc<Action>> {
        self.entries.values().flat_map(Entry::all_actions)
    }

    /// How an action's deliveries are told apart at their destination. Where all go to the same address, the destination says all.
    #[must_use]
    pub fn addressed<'a>(&self, action: &'a Action) -> Addressed<'a> {
        if self.shared.contains(action.destination()) { action.addressed() } else { Addressed::Server }
    }

    /// Whether the end of one delivery can let another begin.
    #[must_use]
    pub fn is_ordered(&self) -> bool {
        self.ordered
    }

    /// Name and error of every observer whose present definition does not load.
    #[must_use]
    pub fn errors(&self) -> Vec<(String, String)> {
        self.entries().filter_map(|(name, entry)| Some((name.to_owned(), entry.error.clone()?))).collect()
    }
}

/// Destinations at which the deliveries of these actions go to more than one address.
fn shared<'a>(actions: impl Iterator<Item = &'a Arc<Action>>) -> HashSet<String> {
    let mut first: HashMap<&str, &Arc<str>> = HashMap::new();
    let mut shared = HashSet::new();
    for action in actions {
        let destination = action.destination();
        let is_shared = match action.addressed() {
            Addressed::Server => false,
            Addressed::Fixed(address) => *first.entry(destination).or_insert(address) != address,
            Addressed::Made(_) => true,
        };
        if is_shared && !shared.contains(destination) {
            shared.insert(destination.to_owned());
        }
    }
    shared
}

impl Entry {
    async fn compile(row: &ObserverRow, before: Option<&Self>, catalog: &Catalog) -> Self {
        let definition = match &row.definition {
            Ok(definition) => definition,
            Err(error) => return Self::keep(before, row.enabled, error.clone(), None),
        };
        if let Some(before) = before
            && before.error.is_none()
            && before.definition.as_deref() == Some(definition)
            && !before.has_old_secret()
        {
            return Self { enabled: row.enabled, ..before.share() };
        }
        let fresh = Self::fresh(definition, catalog).await;
        match &fresh.error {
            Some(error) if before.is_some_and(Self::ran) => {
                Self::keep(before, row.enabled, error.clone(), None)
            }
            Some(error) => Self::keep(None, row.enabled, error.clone(), Some(&fresh)),
            None => Self { enabled: row.enabled, ..fresh },
        }
    }

    async fn fresh(definition: &ObserverDefinition, catalog: &Catalog) -> Self {
        let definition = Arc::new(definition.clone());
        let mut problems = Vec::new();
        let watcher = match Watcher::new(Arc::clone(&definition)) {
            Ok(watcher) => Some(Arc::new(watcher)),
            Err(error) => {
                problems.push(error.to_string());
                None
            }
        };
        let mut actions = Vec::with_capacity(definition.actions.len());
        for position in 0..definition.actions.len() {
            let action = Action::prepare(&definition, position, catalog).await;
            if let Err(error) = &action.configured {
                problems.push(format!("actions[{position}] ({}): {error}", action.name));
            }
            actions.push(Arc::new(action));
        }
        let alert = Action::prepare_alert(&definition, catalog).await.map(Arc::new);
        if let Some(Err(error)) = alert.as_ref().map(|alert| &alert.configured) {
            problems.push(format!("alert: {error}"));
        }
        Self {
            enabled: definition.enabled,
            definition: Some(definition),
            error: (!problems.is_empty()).then(|| problems.join("\n")),
            watcher,
            actions,
            alert,
        }
    }

    /// The last good version with the error of the present one; without a last good one, what stands of the present.
    fn keep(before: Option<&Self>, enabled: bool, error: String, present: Option<&Self>) -> Self {
        let kept = before.filter(|before| before.ran()).or(present).map(Self::share);
        let kept = kept.unwrap_or(Self {
            definition: None,
            enabled,
            error: None,
            watcher: None,
            actions: Vec::new(),
            alert: None,
        });
        Self { enabled, error: Some(error), ..kept }
    }

    fn share(&self) -> Self {
        Self {
            definition: self.definition.clone(),
            enabled: self.enabled,
            error: self.error.clone(),
            watcher: self.watcher.clone(),
            actions: self.actions.clone(),
            alert: self.alert.clone(),
        }
    }

    fn all_actions(&self) -> impl Iterator<Item = &Arc<Action>> {
        self.actions.iter().chain(&self.alert)
    }

    /// Whether a secret of one of its actions is another by now.
    fn has_old_secret(&self) -> bool {
        self.all_actions()
            .any(|action| action.configured.as_ref().is_ok_and(ConfiguredAction::has_old_secret))
    }

    /// Whether everything in it works: it is a good version to fall back to.
    fn ran(&self) -> bool {
        self.watcher.is_some() && self.all_actions().all(|action| action.configured.is_ok())
    }
}
