//! Two hosts at once: none lost, none twice.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use super::fixture::{Fixture, Target, Targets, at, completion};
use crate::{Backend, ClaimRequest, End, HostId, TakeRequest};

const EVENTS: u64 = 300;

/// How often each delivery was run.
type Runs = Arc<Mutex<HashMap<uuid::Uuid, u32>>>;

/// Takes and claims until there is nothing left, like a host.
async fn work(store: Arc<dyn Backend>, host: HostId, own: usize, runs: Runs) {
    loop {
        let request =
            TakeRequest { host, limit: 7, max_bytes: usize::MAX, own, own_bytes: usize::MAX, now: at(0) };
        let plan = Arc::new(Targets(vec![Target::new("watcher"), Target::ordered("ordered")]));
        let taken = store.take(request, plan).await.unwrap();
        let claimed = store.claim(ClaimRequest::new(host, 5, at(0))).await.unwrap();
        let idle = taken.events == 0 && claimed.is_empty();
        let mut completions = Vec::new();
        for delivery in taken.owned.iter().chain(&claimed) {
            *runs.lock().unwrap().entry(delivery.id.0).or_default() += 1;
            completions.push(completion(delivery, End::Succeeded));
        }
        let report = store.complete(host, completions).await.unwrap();
        assert_eq!(report.stale, []);
        let live = store.next_due(&[]).await.unwrap().is_some();
        if idle && !live && store.inbox_len().await.unwrap() == 0 {
            return;
        }
    }
}

async fn both_hosts_work(fixture: &Fixture, own: usize) {
    let second = fixture.database.second_store().await;
    let runs = Runs::default();
    let hosts = [(Arc::clone(&fixture.store), fixture.host), (second, fixture.other)];
    let working: Vec<_> = hosts
        .into_iter()
        .map(|(store, host)| tokio::spawn(work(store, host, own, Arc::clone(&runs))))
        .collect();
    for host in working {
        host.await.unwrap();
    }
    let runs = runs.lock().unwrap();
    assert_eq!(runs.len() as u64, EVENTS * 2, "none is lost");
    assert!(runs.values().all(|&times| times == 1), "none runs twice");
}

pub(super) async fn two_hosts_take_each_event_once(fixture: Fixture) {
    fixture.emit(1..=EVENTS).await;
    both_hosts_work(&fixture, 100).await;
    assert!(fixture.live().await.is_empty());
}

pub(super) async fn two_hosts_claim_each_delivery_once(fixture: Fixture) {
    fixture.emit(1..=EVENTS).await;
    both_hosts_work(&fixture, 0).await;
    assert!(fixture.live().await.is_empty());
}
