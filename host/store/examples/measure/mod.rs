//! What the measurements of the backends share: how time is taken, what is planned for each event, and how it ends.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use aftercommit_core::{Clock as _, DeliveryId, EntityEvent, SystemClock};
use aftercommit_store::{
    AttemptRecord, Backend, ClaimRequest, Completion, End, HostId, NewDelivery, Plan, Planned, TakeRequest,
};

/// Events taken, claimed and completed at once.
pub(crate) const BATCH: u16 = 500;

/// Time by the clock, and processor time of this process.
#[derive(Clone, Copy, Default)]
pub(crate) struct Spent {
    clock: Duration,
    processor: Duration,
}

impl Spent {
    pub(crate) fn add(&mut self, since: &Started) {
        self.clock += since.clock.elapsed();
        self.processor += processor_time().saturating_sub(since.processor);
    }

    pub(crate) fn print(&self, what: &str, events: u32) {
        let each = |span: Duration| span.as_secs_f64() * 1e6 / f64::from(events);
        println!("{what:28} {:7.2} us, processor {:7.2} us", each(self.clock), each(self.processor));
    }
}

/// A moment.
pub(crate) struct Started {
    clock: Instant,
    processor: Duration,
}

impl Started {
    pub(crate) fn now() -> Self {
        Self { clock: Instant::now(), processor: processor_time() }
    }
}

/// Of all threads of this process.
fn processor_time() -> Duration {
    let mut nanos = 0;
    for task in std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
        let text = std::fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        nanos += text.split(' ').next().and_then(|first| first.parse::<u64>().ok()).unwrap_or_default();
    }
    Duration::from_nanos(nanos)
}

/// One delivery of each event.
struct OneEach {
    /// It waits to be claimed.
    hold: bool,
    /// After those of the same entity.
    ordered: bool,
}

impl Plan for OneEach {
    fn plan(&self, event: &EntityEvent) -> Planned {
        let delivery = NewDelivery {
            id: DeliveryId::of(event.id, "order-created", "webhook"),
            observer: "order-created".into(),
            action: "webhook".into(),
            action_type: "webhook".into(),
            priority: 100,
            max_attempts: 3,
            ordering_key: self.ordered.then(|| format!("order-created:{}", event.entity_id)),
            hold: self.hold,
        };
        Planned { deliveries: vec![delivery], errors: Vec::new() }
    }
}

/// A delivery that succeeded.
fn completion(id: DeliveryId, attempt: u32) -> Completion {
    let record = AttemptRecord {
        max_attempts: 3,
        class: None,
        code: None,
        message: "200 OK".into(),
        http_status: Some(200),
        started_at: SystemClock.now(),
        duration: Duration::from_micros(321),
        plugin: Some("webhook".into()),
        plugin_digest: Some("sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef".into()),
    };
    Completion { id, attempt, end: End::Succeeded, record }
}

/// Takes and ends everything that waits, in batches; what taking, claiming and completing took. With `hold`, nothing is
/// owned at once, and all is claimed.
pub(crate) async fn drain(store: &dyn Backend, host: HostId, hold: bool, ordered: bool) -> [Spent; 3] {
    let [mut taking, mut claiming, mut completing] = [Spent::default(); 3];
    loop {
        let request = TakeRequest {
            host,
            limit: BATCH.into(),
            max_bytes: usize::MAX,
            own: 1000,
            own_bytes: usize::MAX,
            now: SystemClock.now(),
        };
        let started = Started::now();
        let mut taken = store.take(request, Arc::new(OneEach { hold, ordered })).await.unwrap();
        taking.add(&started);
        if hold {
            let started = Started::now();
            taken.owned =
                store.claim(ClaimRequest::new(host, BATCH.into(), SystemClock.now())).await.unwrap();
            claiming.add(&started);
        }
        let done = taken.owned.iter().map(|delivery| completion(delivery.id, delivery.attempt)).collect();
        let started = Started::now();
        store.complete(host, done).await.unwrap();
        completing.add(&started);
        if !taken.more && taken.owned.is_empty() {
            return [taking, claiming, completing];
        }
    }
}

/// How long after a commit the bell rings, 200 times: prints the median and the 99th percentile.
pub(crate) async fn ring<B: Backend + Clone + 'static>(
    store: &B,
    host: HostId,
    mut commit: impl AsyncFnMut(),
) {
    let mut latencies = Vec::new();
    for _ in 0..200 {
        // What was rung for earlier commits is heard first.
        for _ in 0..20 {
            store.doorbell(host, Duration::from_millis(5)).await;
        }
        let waiting = tokio::spawn({
            let store = store.clone();
            async move {
                while store.inbox_len().await.unwrap() == 0 {
                    store.doorbell(host, Duration::from_secs(5)).await;
                }
                Instant::now()
            }
        });
        tokio::time::sleep(Duration::from_millis(20)).await;
        commit().await;
        let committed = Instant::now();
        latencies.push(waiting.await.unwrap().saturating_duration_since(committed));
        drain(store, host, false, false).await;
    }
    latencies.sort();
    let percentile = |part: usize| latencies[latencies.len() * part / 100].as_secs_f64() * 1e3;
    println!("doorbell p50 {:.2} ms, p99 {:.2} ms", percentile(50), percentile(99));
}
