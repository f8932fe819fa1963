//! What the cases share: a database with two hosts, events, plans, and the ends of attempts.

use std::{ops::RangeInclusive, sync::Arc, time::Duration};

use aftercommit_core::{DeliveryId, EntityEvent, EventKind, FailureClass, Timestamp};
use serde_json::{Value, json};
use uuid::Uuid;

use super::TestDatabase;
use crate::{
    AttemptRecord, Backend, CaptureRequest, ClaimRequest, ClaimedDelivery, Completion, ConditionError,
    DeadLetterFilter, DeliveryFilter, DeliveryRow, End, HostId, NewDelivery, Plan, Planned, TakeRequest,
    Taken, Trial,
};

/// So many seconds into the test.
pub(super) fn at(seconds: u64) -> Timestamp {
    Timestamp::from_micros(1_767_225_600_000_000).plus(Duration::from_secs(seconds))
}

/// The heartbeats of hosts that live at `now`, by a lease of so long.
pub(super) fn alive(now: Timestamp, lease: Duration) -> RangeInclusive<Timestamp> {
    now.minus(lease)..=now.plus(lease)
}

/// The event number `n`.
pub(super) fn event(n: u64) -> EntityEvent {
    EntityEvent::at(event_id(n), at(n), EventKind::Created, "Order", n, json!({"id": n, "status": "pending"}))
}

/// Ids in the order of their numbers.
pub(super) fn event_id(n: u64) -> Uuid {
    Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 + u128::from(n))
}

/// One database and the two hosts of it.
pub(super) struct Fixture {
    pub(super) database: Arc<dyn TestDatabase>,
    pub(super) store: Arc<dyn Backend>,
    pub(super) host: HostId,
    pub(super) other: HostId,
}

impl Fixture {
    pub(super) fn new(database: Arc<dyn TestDatabase>) -> Self {
        let store = database.store();
        Self { database, store, host: HostId(Uuid::from_u128(1)), other: HostId(Uuid::from_u128(2)) }
    }

    pub(super) async fn emit(&self, numbers: impl IntoIterator<Item = u64>) {
        for n in numbers {
            self.store.emit(event(n)).await.unwrap();
        }
    }

    /// A captured table of the application, `things (id, code)`, with `code` as the key: it may be null.
    pub(super) async fn capture_things(&self) {
        self.database.sql("CREATE TABLE things (id INTEGER PRIMARY KEY, code TEXT)").await;
        let request = CaptureRequest { key: vec!["code".into()], ..CaptureRequest::new("things", "Thing") };
        self.store.add_capture(request, at(0)).await.unwrap();
    }

    /// Takes up to 100 rows, owning up to `own` deliveries.
    pub(super) async fn take(&self, own: usize, targets: &[Target]) -> Taken {
        self.take_up_to(100, own, targets).await
    }

    pub(super) async fn take_up_to(&self, limit: usize, own: usize, targets: &[Target]) -> Taken {
        let request = TakeRequest {
            host: self.host,
            limit,
            max_bytes: usize::MAX,
            own,
            own_bytes: usize::MAX,
            now: at(0),
        };
        self.store.take(request, Arc::new(Targets(targets.to_vec()))).await.unwrap()
    }

    pub(super) async fn claim(&self, limit: usize, now: Timestamp) -> Vec<ClaimedDelivery> {
        self.store.claim(ClaimRequest::new(self.host, limit, now)).await.unwrap()
    }

    /// Claims what was lost once with its host.
    pub(super) async fn claim_lost(&self, host: HostId, now: Timestamp) -> Vec<ClaimedDelivery> {
        self.store.claim_suspects(host, Trial::Together(10), usize::MAX, &[], now).await.unwrap()
    }

    /// Ends attempts as the owner; all of them must count.
    pub(super) async fn complete(&self, deliveries: &[ClaimedDelivery], end: &End) {
        let completions = deliveries.iter().map(|delivery| completion(delivery, end.clone())).collect();
        let report = self.store.complete(self.host, completions).await.unwrap();
        assert_eq!(report.stale, [], "none of these completions is stale");
        assert_eq!(report.applied, deliveries.len());
    }

    /// Makes dead letters of the events, with one attempt each; returns their ids.
    pub(super) async fn bury(&self, numbers: impl IntoIterator<Item = u64>) -> Vec<DeliveryId> {
        self.emit(numbers).await;
        let taken = self.take(100, &[Target::new("watcher")]).await;
        self.complete(&taken.owned, &dead()).await;
        taken.owned.iter().map(|delivery| delivery.id).collect()
    }

    /// Replays all dead letters; returns their ids.
    pub(super) async fn replay_all(&self, now: Timestamp) -> Vec<DeliveryId> {
        let mut replayed = Vec::new();
        let mut add = |ids: &[DeliveryId]| replayed.extend_from_slice(ids);
        self.store.replay_all(&DeadLetterFilter::default(), now, &mut add).await.unwrap();
        replayed
    }

    /// The live deliveries.
    pub(super) async fn live(&self) -> Vec<DeliveryRow> {
        self.store.deliveries(DeliveryFilter { limit: 1000, ..DeliveryFilter::default() }).await.unwrap()
    }
}

/// Numbers of the events of deliveries.
pub(super) fn numbers(deliveries: &[ClaimedDelivery]) -> Vec<u64> {
    deliveries.iter().map(|delivery| delivery.event.entity_id.parse().unwrap()).collect()
}

/// Where the events go.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) observer: &'static str,
    pub(super) action: &'static str,
    pub(super) priority: u16,
    pub(super) ordered: bool,
    pub(super) hold: bool,
    pub(super) error: bool,
}

impl Target {
    pub(super) fn new(observer: &'static str) -> Self {
        Self { observer, action: "hook", priority: 100, ordered: false, hold: false, error: false }
    }

    /// Ordered by entity. Entities with numbers that are the same modulo 10 are the same here.
    pub(super) fn ordered(observer: &'static str) -> Self {
        Self { ordered: true, ..Self::new(observer) }
    }
}

/// Every event goes to every target.
pub(super) struct Targets(pub(super) Vec<Target>);

impl Plan for Targets {
    fn plan(&self, event: &EntityEvent) -> Planned {
        let mut planned = Planned::default();
        for target in &self.0 {
            if target.error {
                let message = "a number can not be compared with a text".to_owned();
                planned.errors.push(ConditionError { observer: target.observer.into(), message });
                continue;
            }
            let group = event.entity_id.parse::<u64>().map(|n| n % 10).unwrap_or_default();
            planned.deliveries.push(NewDelivery {
                id: DeliveryId::of(event.id, target.observer, target.action),
                observer: target.observer.into(),
                action: target.action.into(),
                action_type: "webhook".into(),
                priority: target.priority,
                max_attempts: 3,
                ordering_key: target.ordered.then(|| format!("{}:{group}", target.observer)),
                hold: target.hold,
            });
        }
        planned
    }
}

pub(super) fn dead() -> End {
    End::Dead { action: action_as_written() }
}

/// With a number that a float would spoil.
pub(super) fn action_as_written() -> Value {
    serde_json::from_str(r#"{"type":"webhook","url":"https://example.com","limit":0.10000000000000000001}"#)
        .unwrap()
}

/// The end of a claimed attempt.
pub(super) fn completion(delivery: &ClaimedDelivery, end: End) -> Completion {
    let succeeded = matches!(end, End::Succeeded);
    let record = AttemptRecord {
        max_attempts: delivery.last_attempt(3),
        class: (!succeeded).then_some(FailureClass::Transient),
        code: (!succeeded).then(|| "http_503".to_owned()),
        message: if succeeded { "delivered".to_owned() } else { "the receiver is \"busy\"".to_owned() },
        http_status: Some(if succeeded { 200 } else { 503 }),
        started_at: at(5),
        duration: Duration::from_micros(1500),
        plugin: Some("webhook".into()),
        plugin_digest: Some("sha256:00ff".into()),
    };
    Completion { id: delivery.id, attempt: delivery.attempt, end, record }
}
