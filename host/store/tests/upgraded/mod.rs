//! What a program of schema version 3 left behind (`tests/fixtures/upgrade`) is the same after the migrations of this one,
//! and goes on. The same expectations for both databases; how their events read is said by each.

use std::{
    fmt::Write as _,
    sync::{Arc, Mutex},
    time::Duration,
};

use aftercommit_core::{DeliveryId, DeliveryState, EntityEvent, Timestamp};
use aftercommit_store::{
    AttemptRecord, Backend, ClaimRequest, ClaimedDelivery, Completion, DeadLetterFilter, DeliveryFilter, End,
    HostId, NewDelivery, Plan, Planned, TakeRequest, Trial, conformance::TestDatabase,
};

/// How events of one database read, as [`line`] writes them.
pub(crate) struct Expected {
    /// Those that were handled, in order.
    pub(crate) handled: &'static [&'static str],
    /// Those that wait, in order: rows that can not become events are not among them.
    pub(crate) waiting: &'static [&'static str],
    /// The reasons for which such rows are put aside, each with how many were before the upgrade.
    pub(crate) put_aside: &'static [&'static str],
    /// Captured tables: their name, entity type, key, and whether their commits ring.
    pub(crate) captures: &'static [&'static str],
}

/// After everything that was recorded.
fn later() -> Timestamp {
    "2040-01-01T00:00:00Z".parse().unwrap()
}

/// An event as one line: kind, type, id, images, tenant and actor.
pub(crate) fn line(event: &EntityEvent) -> String {
    let mut line = format!("{} {} {} {}", event.event_kind, event.entity_type, event.entity_id, event.data);
    if let Some(old) = &event.old {
        write!(line, " was {old}").unwrap();
    }
    for more in [&event.tenant_id, &event.actor].into_iter().flatten() {
        write!(line, " {more}").unwrap();
    }
    line
}

/// Records what it is asked for, and makes a delivery of each.
#[derive(Default)]
struct Seen(Mutex<Vec<EntityEvent>>);

impl Plan for Seen {
    fn plan(&self, event: &EntityEvent) -> Planned {
        self.0.lock().unwrap().push(event.clone());
        let delivery = NewDelivery {
            id: DeliveryId::of(event.id, "upgraded", "hook"),
            observer: "upgraded".into(),
            action: "hook".into(),
            action_type: "webhook".into(),
            priority: 1,
            max_attempts: 3,
            ordering_key: None,
            hold: false,
        };
        Planned { deliveries: vec![delivery], errors: Vec::new() }
    }
}

/// Takes all that is in the inbox, a few rows at a time, by two hosts in turn; the events in the order in which they came.
pub(crate) async fn take_all(database: &dyn TestDatabase) -> Vec<EntityEvent> {
    let seen = Arc::new(Seen::default());
    let stores = [database.store(), database.second_store().await];
    let hosts = [HostId::random(), HostId::random()];
    for (store, host) in stores.iter().zip(hosts).cycle() {
        let request =
            TakeRequest { host, limit: 4, max_bytes: usize::MAX, own: 0, own_bytes: 0, now: later() };
        store.take(request, Arc::clone(&seen) as Arc<dyn Plan>).await.unwrap();
        if store.inbox_len().await.unwrap() == 0 {
            break;
        }
    }
    std::mem::take(&mut *seen.0.lock().unwrap())
}

/// The reasons of what was put aside, the oldest first, without their explanations.
async fn put_aside(store: &dyn Backend) -> Vec<String> {
    let rows = store.quarantined(100).await.unwrap();
    let short = |reason: &str| reason.split(':').next().unwrap_or_default().to_owned();
    let mut reasons: Vec<_> = rows
        .iter()
        .map(|row| format!("{} {}", row.entity_type.as_deref().unwrap_or_default(), short(&row.reason)))
        .collect();
    reasons.reverse();
    reasons
}

async fn deliveries(store: &dyn Backend, state: Option<DeliveryState>) -> Vec<String> {
    let rows =
        store.deliveries(DeliveryFilter { state, limit: 100, ..DeliveryFilter::default() }).await.unwrap();
    let mut lines: Vec<_> =
        rows.iter().map(|row| format!("{} {} {}", row.observer, row.status, row.attempts)).collect();
    lines.sort();
    lines
}

/// Events, deliveries, attempts, dead letters, holds, observers and captures are there as before.
pub(crate) async fn all_is_listed(database: &dyn TestDatabase, expected: &Expected) {
    let store = database.store();
    let events = database.events().await;
    let handled: Vec<_> = events.iter().take(expected.handled.len()).map(line).collect();
    assert_eq!(handled, expected.handled);
    assert_eq!(put_aside(&*store).await, expected.put_aside[..expected.put_aside.len() / 2]);
    assert_eq!(
        deliveries(&*store, None).await,
        [
            "cut-off running 1",
            "retried ready 0",
            "retried waiting 1",
            "slowed ready 0",
            "slowed ready 0",
            "slowed running 1",
            "switched-off ready 0",
            "switched-off ready 0",
        ]
    );
    let succeeded = deliveries(&*store, Some(DeliveryState::Succeeded)).await;
    assert_eq!(succeeded, vec!["logged succeeded 1"; 4]);
    let history = store.event(events[0].id).await.unwrap();
    assert!(history.in_inbox, "it was put into the inbox again");
    let attempts: Vec<_> =
        history.attempts.iter().map(|attempt| (&*attempt.observer, &*attempt.status)).collect();
    assert_eq!(attempts, [("logged", "succeeded")]);
    let letters = store.dead_letters(100).await.unwrap();
    let mut dead: Vec<_> =
        letters.iter().map(|letter| format!("{} {}", letter.observer, line(&letter.event))).collect();
    dead.sort();
    let buried = |observer: &str, kinds: [&str; 2]| {
        let of = move |line: &&&str| kinds.iter().any(|kind| line.starts_with(kind));
        let observer = observer.to_owned();
        expected.handled.iter().filter(of).map(move |line| format!("{observer} {line}")).collect::<Vec<_>>()
    };
    let refused = buried("given-up", ["created Order 3", "created Order 4"]);
    assert_eq!(dead, [refused, buried("paused", ["created OrderLine", "created OrderLine"])].concat());
    assert!(letters.iter().all(|letter| letter.action_config["type"] == "webhook"));
    let holds: Vec<_> = store.holds().await.unwrap().iter().map(|hold| hold.target.to_string()).collect();
    assert_eq!(holds, ["paused/webhook"]);
    let table = store.load().await.unwrap();
    let disabled: Vec<_> = table.rows.iter().filter(|row| !row.enabled).map(|row| &*row.name).collect();
    assert_eq!((table.rows.len(), disabled), (8, vec!["switched-off"]));
    assert!(table.rows.iter().all(|row| row.definition.is_ok()));
    captures_are_listed(&*store, expected).await;
}

async fn captures_are_listed(store: &dyn Backend, expected: &Expected) {
    let captures = store.captures().await.unwrap();
    let lines: Vec<_> = captures
        .iter()
        .map(|status| {
            let capture = &status.capture;
            let rings = if capture.notify { "rings" } else { "silent" };
            format!("{} {} {} {rings}", capture.table, capture.entity_type, capture.key.join(","))
        })
        .collect();
    assert_eq!(lines, expected.captures);
    for status in &captures {
        assert_eq!(status.drift, None, "{}", status.capture.table);
    }
}

/// What waited is taken exactly once, in order and with its images; what can not become an event is put aside.
pub(crate) async fn what_waited_is_taken_once(database: &dyn TestDatabase, expected: &Expected) {
    let store = database.store();
    let events = database.events().await;
    let taken = take_all(database).await;
    let lines: Vec<_> = taken.iter().map(line).collect();
    assert_eq!(lines[0], expected.handled[0], "what is to be matched again");
    assert_eq!(lines[1..], *expected.waiting);
    let listed = |event: &EntityEvent| events.iter().any(|other| other == event);
    assert!(taken.iter().all(listed), "ids, times and all else are as they were listed");
    assert_eq!(put_aside(&*store).await, expected.put_aside);
    assert_eq!(store.inbox_len().await.unwrap(), 0);
    assert_eq!(take_all(database).await, []);
    let made =
        DeliveryFilter { observer: Some("upgraded".to_owned()), limit: 100, ..DeliveryFilter::default() };
    let made: Vec<_> =
        store.deliveries(made).await.unwrap().iter().map(|delivery| delivery.event_id).collect();
    assert_eq!(made.len(), taken.len());
    assert!(taken.iter().all(|event| made.contains(&event.id)));
}

/// After what waited, in the order of the changes.
pub(crate) async fn changes_are_events(database: &dyn TestDatabase, statements: &str, events: &[&str]) {
    let waiting = take_all(database).await.len();
    database.sql(statements).await;
    let taken: Vec<_> = take_all(database).await.iter().map(line).collect();
    assert_eq!(taken, events);
    assert!(waiting > 0);
}

/// Deliveries of the host that is gone are freed; those that were due go on, with the attempts that they had; dead
/// letters can be replayed.
pub(crate) async fn deliveries_go_on(database: &dyn TestDatabase) {
    let store = database.store();
    let host = HostId::random();
    store.register(host, "upgraded", later()).await.unwrap();
    let freed = store.take_over(later(), later().minus(Duration::from_secs(30))..=later()).await.unwrap();
    assert_eq!((freed.hosts.len(), freed.deliveries), (1, 2));
    let claim = async || {
        let mut claimed = store.claim(ClaimRequest::new(host, 100, later())).await.unwrap();
        let lost = store.claim_suspects(host, Trial::Together(100), usize::MAX, &[], later()).await;
        claimed.extend(lost.unwrap());
        assert!(claimed.iter().all(|delivery| delivery.event_bytes > 0), "the memory for events is counted");
        let mut lines: Vec<_> =
            claimed.iter().map(|delivery| format!("{} {}", delivery.observer, delivery.attempt)).collect();
        lines.sort();
        let end = |delivery: &ClaimedDelivery| Completion {
            id: delivery.id,
            attempt: delivery.attempt,
            end: End::Succeeded,
            record: succeeded(),
        };
        let report = store.complete(host, claimed.iter().map(end).collect()).await.unwrap();
        assert_eq!((report.applied, report.stale.len()), (claimed.len(), 0));
        lines
    };
    assert_eq!(claim().await, ["cut-off 2", "retried 2", "slowed 1", "slowed 1", "slowed 2"]);
    assert_eq!(claim().await, ["retried 1"], "it waited for the change before it");
    store.set_enabled("switched-off", true, later()).await.unwrap();
    assert_eq!(claim().await, ["switched-off 1", "switched-off 1"]);
    let mut replayed = 0;
    store.replay_all(&DeadLetterFilter::default(), later(), &mut |ids| replayed += ids.len()).await.unwrap();
    assert_eq!(replayed, 5);
    assert_eq!(claim().await, ["given-up 2", "given-up 2", "paused 2", "paused 2", "paused 2"]);
    assert_eq!(deliveries(&*store, None).await, Vec::<String>::new());
}

fn succeeded() -> AttemptRecord {
    AttemptRecord {
        max_attempts: 9,
        class: None,
        code: None,
        message: "delivered".to_owned(),
        http_status: Some(200),
        started_at: later(),
        duration: Duration::from_millis(1),
        plugin: None,
        plugin_digest: None,
    }
}
