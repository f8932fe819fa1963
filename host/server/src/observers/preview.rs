//! What a change of observers would have made of the events of the last day.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use aftercommit_core::{EntityEvent, ObserverDefinition, Timestamp};
use aftercommit_store::{Applied, Backend, EventFilter, ObserverTable, Page};
use serde::Serialize;

use super::{EventMatcher, Watcher};
use crate::error::Result;

/// How far back it looks.
const SPAN: Duration = Duration::from_hours(24);

/// Events that are looked at, the newest ones: enough for a person to decide by, and read in a second or so.
const MAX_EVENTS: u64 = 50_000;

/// How many of the last day's events each changed observer matches, as it is and as it would be.
#[derive(Debug, Default, Serialize)]
pub struct Preview {
    /// Events of the last 24 hours that were looked at.
    pub events: u64,
    /// Where there are more: when the oldest of them occurred.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// By the observer's name.
    pub observers: BTreeMap<String, Matches>,
}

/// How many events an observer matches.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Matches {
    /// As it is; 0 if it is not there, is disabled or does not load.
    pub before: u64,
    /// As it would be.
    pub after: u64,
}

impl Preview {
    /// Of the change from `table` to `observers` that `applied` tells of.
    pub async fn of(
        store: &dyn Backend,
        table: &ObserverTable,
        observers: &[ObserverDefinition],
        applied: &Applied,
        now: Timestamp,
    ) -> Result<Self> {
        let Applied { created, updated, removed, unchanged: _ } = applied;
        let changed: Vec<&String> = created.iter().chain(updated).chain(removed).collect();
        if changed.is_empty() {
            return Ok(Self::default());
        }
        let is_changed = |name: &str| changed.iter().any(|changed| *changed == name);
        let old = table.rows.iter().filter(|row| row.enabled && is_changed(&row.name));
        let old = old.filter_map(|row| row.definition.clone().ok());
        // An old condition that can not be read matches nothing, and is no reason to refuse the new one.
        let old = old.filter_map(|definition| Watcher::new(Arc::new(definition)).ok()).map(Arc::new);
        let before = EventMatcher::of(old.collect());
        let new = observers.iter().filter(|definition| is_changed(&definition.name)).cloned();
        let after = EventMatcher::build(new)?;
        let matches = changed.into_iter().map(|name| (name.clone(), Matches::default()));
        let mut preview = Self { events: 0, since: None, observers: matches.collect() };
        preview.count(store, &before, &after, now.minus(SPAN)).await?;
        Ok(preview)
    }

    /// Reads the newest first, so that what is left out is the oldest.
    async fn count(
        &mut self,
        store: &dyn Backend,
        before: &EventMatcher,
        after_change: &EventMatcher,
        since: Timestamp,
    ) -> Result<()> {
        let filter = EventFilter { limit: usize::MAX, ..EventFilter::default() };
        let (mut next, mut oldest) = (Some(None), None);
        while let Some(after) = next {
            let Page { rows, next: place, looked_back_to } = store.events_page(&filter, after).await?;
            let mut is_recent = looked_back_to.is_none_or(|at| at >= since);
            // Their order is that of commits, which is nearly that of their times.
            for event in rows.iter().filter(|event| event.occurred_at >= since) {
                if self.events == MAX_EVENTS {
                    self.since = oldest;
                    return Ok(());
                }
                self.events += 1;
                self.add(before, event, |matches| &mut matches.before);
                self.add(after_change, event, |matches| &mut matches.after);
                oldest = Some(oldest.map_or(event.occurred_at, |at: Timestamp| at.min(event.occurred_at)));
                is_recent = true;
            }
            next = place.filter(|_| is_recent).map(Some);
        }
        Ok(())
    }

    fn add(&mut self, matcher: &EventMatcher, event: &EntityEvent, count: impl Fn(&mut Matches) -> &mut u64) {
        for watcher in matcher.find(event) {
            // A condition that can not be evaluated does not match: it would be an error, and no delivery.
            if watcher.wants(event).is_ok_and(|wants| wants)
                && let Some(matches) = self.observers.get_mut(&*watcher.name)
            {
                *count(matches) += 1;
            }
        }
    }
}
