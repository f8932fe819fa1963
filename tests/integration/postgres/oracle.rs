//! Knows every change that was committed, and says whether what was told of them is the truth.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use aftercommit_tests::Received;

use super::database::PostgresDatabase;
use crate::shop::Shop;

/// A change of one row as its event tells it: `created 17 t5`. No two changes that writers make are the same.
pub(crate) type Change = String;

/// The change by its kind, the row's key, and the row's status in the image that the event carries.
pub(crate) fn change(kind: &str, key: i64, status: &str) -> Change {
    format!("{kind} {key} {status}")
}

/// What the writers did.
#[derive(Default)]
pub(crate) struct Oracle(Mutex<Known>);

#[derive(Default)]
struct Known {
    committed: HashMap<Change, Instant>,
    undone: HashSet<Change>,
    /// Transactions whose connection ended while they committed: only the ledger knows.
    unknown: Vec<(i64, Instant, Vec<Change>)>,
}

/// What there is to say when all is as it has to be.
#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) committed: usize,
    pub(crate) dead: usize,
    /// Answers that ended a delivery, beyond the first of each.
    pub(crate) duplicates: usize,
}

impl Oracle {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The commit of these changes was confirmed just now.
    pub(crate) fn committed(&self, changes: Vec<Change>) {
        let now = Instant::now();
        self.known().committed.extend(changes.into_iter().map(|change| (change, now)));
    }

    /// These changes were rolled back, by request or because the connection ended before their commit was asked for.
    pub(crate) fn undone(&self, changes: Vec<Change>) {
        self.known().undone.extend(changes);
    }

    /// The commit of these changes was asked for, and no answer came.
    pub(crate) fn unanswered(&self, transaction: i64, changes: Vec<Change>) {
        self.known().unknown.push((transaction, Instant::now(), changes));
    }

    /// Learns from the application's own table what became of the unanswered commits.
    pub(crate) async fn settle(&self, database: &PostgresDatabase) {
        let ledger = database.column("SELECT id FROM ledger").await.expect("the writers made it");
        let ledger: HashSet<i64> = ledger.iter().map(|id| id.parse().expect("a number")).collect();
        let known = &mut *self.known();
        for (transaction, at, changes) in known.unknown.drain(..) {
            if ledger.contains(&transaction) {
                known.committed.extend(changes.into_iter().map(|change| (change, at)));
            } else {
                known.undone.extend(changes);
            }
        }
    }

    /// Compares what is known with what the only observer's receiver got and what the tables hold. Panics with what is wrong.
    pub(crate) async fn check(&self, shop: &Shop<PostgresDatabase>) -> Account {
        const CHANGES: &str = "SELECT concat_ws(' ', event_kind, entity_id, data ->> 'status') FROM ";
        self.settle(&shop.database).await;
        let table = async |name: &str| {
            shop.database.column(&format!("{CHANGES}{name}")).await.expect("the table is there")
        };
        let events = table("observer_events").await;
        let dead: HashSet<Change> = table("observer_dlq_items").await.into_iter().collect();

        let known = self.known();
        let captured: HashSet<Change> = events.iter().cloned().collect();
        assert_eq!(captured.len(), events.len(), "a change is captured twice");
        let differ: Vec<_> =
            captured.iter().filter(|change| !known.committed.contains_key(*change)).collect();
        assert!(differ.is_empty(), "captured and not committed: {differ:?}");
        let differ: Vec<_> = known.committed.keys().filter(|change| !captured.contains(*change)).collect();
        assert!(differ.is_empty(), "committed and not captured: {differ:?}");

        let told = Told::of(&shop.receiver.received());
        let lies: Vec<_> = told.ids.keys().filter(|change| known.undone.contains(*change)).collect();
        assert!(lies.is_empty(), "told though rolled back: {lies:?}");
        let lies: Vec<_> = told.ids.keys().filter(|change| !known.committed.contains_key(*change)).collect();
        assert!(lies.is_empty(), "told and never made: {lies:?}");
        let lost: Vec<_> = known
            .committed
            .keys()
            .filter(|change| !told.taken.contains_key(*change) && !dead.contains(*change))
            .collect();
        assert!(
            lost.is_empty(),
            "{} of {} neither told nor dead: {lost:?}",
            lost.len(),
            known.committed.len()
        );
        let renamed: Vec<_> = told.ids.iter().filter(|(_, ids)| ids.len() > 1).collect();
        assert!(renamed.is_empty(), "a repeated delivery had another id: {renamed:?}");
        Account { committed: known.committed.len(), dead: dead.len(), duplicates: told.duplicates() }
    }

    /// Panics unless the events of each order are numbered in order: created first and once, deleted last, and the last
    /// event's image equals the row that is there.
    pub(crate) async fn check_numbered_in_order(shop: &Shop<PostgresDatabase>) {
        const KINDS: &str = "SELECT concat_ws(' ', seq, event_kind, entity_id) FROM (
                SELECT seq, event_kind, entity_id,
                    row_number() OVER (PARTITION BY entity_id ORDER BY seq) AS place,
                    row_number() OVER (PARTITION BY entity_id ORDER BY seq DESC) AS from_the_end
                FROM observer_events) numbered
            WHERE (event_kind = 'created') <> (place = 1) OR (event_kind = 'deleted' AND from_the_end > 1)
            ORDER BY seq";
        const IMAGES: &str = "SELECT concat_ws(' ', entity_id, event_kind, data, 'and the row', to_jsonb(o)) FROM (
                SELECT DISTINCT ON (entity_id) entity_id, event_kind, data::jsonb AS data
                FROM observer_events ORDER BY entity_id, seq DESC) last
            FULL JOIN orders o ON o.id::text = entity_id
            WHERE CASE WHEN event_kind = 'deleted' THEN o.id IS NOT NULL ELSE data IS DISTINCT FROM to_jsonb(o) END";
        let wrong = shop.database.column(KINDS).await.expect("the table is there");
        assert!(wrong.is_empty(), "events of an entity out of order: {wrong:?}");
        let wrong = shop.database.column(IMAGES).await.expect("the table is there");
        assert!(wrong.is_empty(), "the last event is not what the row is: {wrong:?}");
    }

    /// Panics unless the changes of each entity were first taken in the order of their events, as an observer with
    /// `ordering = "per_entity"` asks.
    pub(crate) async fn check_delivered_in_order(shop: &Shop<PostgresDatabase>) {
        const EVENTS: &str = "SELECT concat_ws(' ', event_kind, entity_id, data ->> 'status')
            FROM observer_events ORDER BY seq";
        let told = Told::of(&shop.receiver.received());
        let mut last: HashMap<String, (Instant, Change)> = HashMap::new();
        for change in shop.database.column(EVENTS).await.expect("the table is there") {
            let Some(taken) = told.taken.get(&change) else { continue };
            let entity = change.split(' ').nth(1).expect("a key").to_owned();
            if let Some((before, earlier)) = last.insert(entity, (taken[0], change.clone())) {
                assert!(before <= taken[0], "{change} was delivered before {earlier}");
            }
        }
    }

    /// How long after its confirmed commit each change was first taken by the receiver, the shortest first.
    pub(crate) fn latencies(&self, received: &[Received]) -> Vec<Duration> {
        let known = self.known();
        let told = Told::of(received);
        let mut latencies: Vec<Duration> = told
            .taken
            .iter()
            .filter_map(|(change, taken)| {
                Some(taken[0].saturating_duration_since(*known.committed.get(change)?))
            })
            .collect();
        latencies.sort();
        latencies
    }
}

/// What a receiver was told.
struct Told {
    ids: HashMap<Change, HashSet<String>>,
    /// When it gave the answers that end a delivery: success, or a failure for good.
    taken: HashMap<Change, Vec<Instant>>,
}

impl Told {
    fn of(received: &[Received]) -> Self {
        let mut told = Self { ids: HashMap::new(), taken: HashMap::new() };
        for request in received {
            let change = of_body(&request.body);
            told.ids.entry(change.clone()).or_default().insert(request.header("webhook-id").to_owned());
            if !request.answered.is_server_error() {
                told.taken.entry(change).or_default().push(request.at);
            }
        }
        told
    }

    fn duplicates(&self) -> usize {
        self.taken.values().map(|taken| taken.len() - 1).sum()
    }
}

/// The change that a webhook's default body tells.
pub(crate) fn of_body(body: &[u8]) -> Change {
    let message: serde_json::Value = serde_json::from_slice(body).expect("JSON");
    let event = &message["data"];
    let text = |value: &serde_json::Value| value.as_str().expect("text").to_owned();
    let key = text(&event["entity_id"]).parse().expect("a number");
    change(&text(&event["event_kind"]), key, &text(&event["data"]["status"]))
}
