//! Finds the observers that want an event of some type and kind, among many, without looking at the others.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use aftercommit_core::{EntityEvent, EventKind, ObserverDefinition};

use super::watcher::Watcher;
use crate::error::{Error, Result};

/// Positions in `EventMatcher::watchers`, ascending, for each kind of event.
type ByKind = [Vec<u32>; EventKind::ALL.len()];

/// An index of watchers by entity type and kind. Immutable.
#[derive(Default, Debug)]
pub struct EventMatcher {
    /// By descending priority, then by name.
    watchers: Vec<Arc<Watcher>>,
    of_type: HashMap<String, ByKind>,
    of_any_type: ByKind,
}

impl EventMatcher {
    /// A matcher of nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A matcher of the enabled ones of these observers. Two of one name are [`Error::InvalidConfig`], a condition that does
    /// not parse is [`Error::InvalidCondition`].
    pub fn build(definitions: impl IntoIterator<Item = ObserverDefinition>) -> Result<Self> {
        let mut names = HashSet::new();
        let mut watchers = Vec::new();
        for definition in definitions.into_iter().filter(|definition| definition.enabled) {
            let watcher = Watcher::new(Arc::new(definition))?;
            if !names.insert(Arc::clone(&watcher.name)) {
                let message = format!("two observers have the name `{}`", watcher.name);
                return Err(Error::InvalidConfig { message });
            }
            watchers.push(Arc::new(watcher));
        }
        Ok(Self::of(watchers))
    }

    /// A matcher of these watchers.
    #[must_use]
    pub fn of(mut watchers: Vec<Arc<Watcher>>) -> Self {
        watchers.sort_by(|a, b| {
            b.definition.priority.cmp(&a.definition.priority).then_with(|| a.name.cmp(&b.name))
        });
        let mut matcher = Self::default();
        for (position, watcher) in watchers.iter().enumerate() {
            let definition = &watcher.definition;
            let by_kind = match definition.entity_type.as_str() {
                "*" => &mut matcher.of_any_type,
                entity_type => matcher.of_type.entry(entity_type.to_owned()).or_default(),
            };
            let position = u32::try_from(position).expect("fewer observers than u32 counts");
            for kind in EventKind::ALL {
                if definition.event_kind.is_none_or(|wanted| wanted == kind) {
                    by_kind[kind as usize].push(position);
                }
            }
        }
        matcher.watchers = watchers;
        matcher
    }

    /// How many observers it knows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.watchers.len()
    }

    /// Whether it knows none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.watchers.is_empty()
    }

    /// All that it knows, by descending priority, then by name.
    pub fn watchers(&self) -> impl Iterator<Item = &Arc<Watcher>> {
        self.watchers.iter()
    }

    /// The observers that watch events of this type and kind, by descending priority, then by name. Conditions are
    /// not evaluated here.
    pub fn find<'a>(&'a self, event: &EntityEvent) -> impl Iterator<Item = &'a Arc<Watcher>> + use<'a> {
        let kind = event.event_kind as usize;
        let typed = self.of_type.get(&event.entity_type).map_or(&[][..], |by_kind| &by_kind[kind]);
        merge(typed, &self.of_any_type[kind]).map(|position| &self.watchers[position as usize])
    }
}

/// Merges two ascending lists.
fn merge<'a>(left: &'a [u32], right: &'a [u32]) -> impl Iterator<Item = u32> + use<'a> {
    let mut left = left.iter().copied().peekable();
    let mut right = right.iter().copied().peekable();
    std::iter::from_fn(move || match (left.peek(), right.peek()) {
        (Some(a), Some(b)) if a < b => left.next(),
        (_, Some(_)) => right.next(),
        (_, None) => left.next(),
    })
}

#[cfg(test)]
mod tests {
    use aftercommit_core::ObserverDefinition;
    use serde_json::json;

    use super::*;

    fn observer(
        name: &str,
        entity_type: &str,
        event_kind: Option<EventKind>,
        priority: u16,
    ) -> ObserverDefinition {
        ObserverDefinition {
            entity_type: entity_type.into(),
            event_kind,
            priority,
            ..ObserverDefinition::new(name)
        }
    }

    fn found(matcher: &EventMatcher, kind: EventKind, entity_type: &str) -> Vec<String> {
        matcher
            .find(&EntityEvent::new(kind, entity_type, 1, json!({})))
            .map(|watcher| watcher.name.to_string())
            .collect()
    }

    #[test]
    fn type_and_kind_with_wildcards_in_order_of_priority() {
        let definitions = [
            observer("b-order", "Order", None, 100),
            observer("a-order-created", "Order", Some(EventKind::Created), 100),
            observer("all", "*", None, 500),
            observer("all-deleted", "*", Some(EventKind::Deleted), 1),
            observer("user", "User", None, 1000),
        ];
        let matcher = EventMatcher::build(definitions).unwrap();
        assert_eq!(found(&matcher, EventKind::Created, "Order"), ["all", "a-order-created", "b-order"]);
        assert_eq!(found(&matcher, EventKind::Deleted, "Order"), ["all", "b-order", "all-deleted"]);
        assert_eq!(found(&matcher, EventKind::Updated, "Unknown"), ["all"]);
        assert_eq!(found(&matcher, EventKind::Custom, "User"), ["user", "all"]);
    }

    #[test]
    fn a_name_is_one_observers() {
        let twins = [observer("a", "Order", None, 1), observer("a", "User", None, 2)];
        let error = EventMatcher::build(twins).unwrap_err();
        assert!(matches!(error, Error::InvalidConfig { .. }), "{error:?}");
    }

    #[test]
    fn disabled_observers_match_nothing() {
        let definition = ObserverDefinition { enabled: false, ..observer("off", "*", None, 1) };
        assert!(EventMatcher::build([definition]).unwrap().is_empty());
    }
}
