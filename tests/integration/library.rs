//! The library as a program embeds it: each class of error arrives, and a source and a queue of its own work with a durable host.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use aftercommit::{
    ActionConfig, Catalog, DeadLetterQueue, DlqItem, EntityEvent, Error, EventKind, EventMatcher,
    EventSource, FailurePolicy, Host, HostSettings, ObserverDefinition, ObserverExecutor, Result,
    RetryConfig, SystemClock,
    testing::{MockDeadLetterQueue, MockEventSource},
};
use aftercommit_runtime::{EnvSecrets, Runtime, RuntimeSettings};
use aftercommit_store::{Backend, Definitions as _, Schema as _, SqliteOptions, SqliteStore};
use aftercommit_tests::{Answer, Receiver};
use async_trait::async_trait;
use serde_json::{Value, json};
use uuid::Uuid;

fn order(id: i64, data: Value) -> EntityEvent {
    EntityEvent::new(EventKind::Created, "Order", id, data)
}

fn observer(name: &str, action: ActionConfig, max_attempts: u32) -> ObserverDefinition {
    ObserverDefinition {
        entity_type: "Order".to_owned(),
        on_failure: FailurePolicy::Dlq,
        retry: RetryConfig { max_attempts, initial_delay_ms: 1, ..RetryConfig::default() },
        actions: vec![action],
        ..ObserverDefinition::new(name)
    }
}

fn webhook(url: &str) -> ActionConfig {
    let action = ActionConfig::new("webhook").with("url", url);
    ActionConfig { grants: Some(json!({"private_network": true})), ..action }
}

async fn executor(observers: Vec<ObserverDefinition>) -> Result<ObserverExecutor> {
    ObserverExecutor::new(EventMatcher::build(observers)?, Arc::new(MockDeadLetterQueue::new())).await
}

/// The one error of an event that one action fails for.
async fn error_of(definition: ObserverDefinition, data: Value) -> Error {
    let executor = executor(vec![definition]).await.unwrap();
    let mut summary = executor.process_event(&order(1, data)).await.unwrap();
    assert_eq!(summary.errors.len(), 1, "{summary:?}");
    summary.errors.remove(0)
}

#[tokio::test]
async fn each_end_of_an_event_has_its_class() {
    let receiver = Receiver::start().await;
    receiver.respond(|seen| Answer::status(if seen.path == "/gone" { 403 } else { 503 }));
    let one = |url: &str, attempts| observer("o", webhook(&receiver.url(url)), attempts);

    let error = error_of(one("/busy", 1), json!({})).await;
    assert!(matches!(error, Error::ActionExecutionFailed { .. }) && error.is_transient(), "{error:?}");
    let error = error_of(one("/busy", 2), json!({})).await;
    assert!(matches!(error, Error::RetriesExhausted { .. }), "{error:?}");
    let error = error_of(one("/gone", 2), json!({})).await;
    assert!(matches!(error, Error::ActionPermanentlyFailed { .. }) && !error.is_transient(), "{error:?}");
    let error = error_of(one("/{{missing}}", 2), json!({})).await;
    assert!(matches!(error, Error::TemplateRenderingFailed { .. }), "{error:?}");
    let odd = ObserverDefinition { condition: Some("total > 1".to_owned()), ..one("/", 1) };
    let error = error_of(odd, json!({"total": "many"})).await;
    assert!(matches!(error, Error::ConditionEvaluationFailed { .. }), "{error:?}");

    let executor = executor(vec![one("/", 1)]).await.unwrap();
    let stranger = EntityEvent::new(EventKind::Created, "Invoice", 1, json!({}));
    let error = executor.process_expected(&stranger).await.unwrap_err();
    assert!(matches!(error, Error::NoMatchingObservers { .. }), "{error:?}");
    assert!(executor.process_event(&stranger).await.unwrap().is_success());
}

#[tokio::test]
async fn what_does_not_load_has_its_class() {
    let refused = async |observers| executor(observers).await.err().unwrap();
    let condition =
        ObserverDefinition { condition: Some("total >".to_owned()), ..observer("o", webhook("x"), 1) };
    assert!(matches!(refused(vec![condition]).await, Error::InvalidCondition { .. }));
    assert!(matches!(
        refused(vec![observer("o", webhook("no url"), 1)]).await,
        Error::InvalidActionConfig(_)
    ));
    let unknown = observer("o", ActionConfig::new("webhok"), 1);
    assert!(matches!(refused(vec![unknown]).await, Error::UnsupportedActionType { .. }));
    let twins = vec![observer("o", webhook("x"), 1), observer("o", webhook("x"), 1)];
    assert!(matches!(refused(twins).await, Error::InvalidConfig { .. }));
    let nowhere = SqliteStore::open("sqlite:/nowhere/own.db", SqliteOptions::default()).await;
    assert!(matches!(Error::from(nowhere.err().unwrap()), Error::Database(_)));
}

/// A source that fails after its events, and remembers what was acknowledged.
struct Broken {
    events: VecDeque<EntityEvent>,
    acknowledged: Vec<Uuid>,
}

#[async_trait]
impl EventSource for Broken {
    async fn next_event(&mut self) -> Option<EntityEvent> {
        self.events.pop_front()
    }

    fn failure(&mut self) -> Option<Error> {
        Some(Error::InvalidConfig { message: "the line is dead".to_owned() })
    }

    async fn acknowledge(&mut self, event_id: Uuid) {
        self.acknowledged.push(event_id);
    }
}

/// A queue that takes nothing at first, and the order 2 never.
#[derive(Default)]
struct Shy {
    takes: AtomicBool,
    kept: MockDeadLetterQueue,
    refused: AtomicUsize,
}

#[async_trait]
impl DeadLetterQueue for Shy {
    async fn push(&self, event: EntityEvent, action: ActionConfig, error: String) -> Result<Uuid> {
        if event.entity_id == "2" || !self.takes.load(Relaxed) {
            self.refused.fetch_add(1, Relaxed);
            return Err(Error::InvalidConfig { message: "not now".to_owned() });
        }
        self.kept.push(event, action, error).await
    }

    async fn get_pending(&self, limit: usize) -> Result<Vec<DlqItem>> {
        self.kept.get_pending(limit).await
    }

    async fn mark_success(&self, id: Uuid) -> Result<()> {
        self.kept.mark_success(id).await
    }

    async fn mark_retry_failed(&self, id: Uuid, error: &str) -> Result<()> {
        self.kept.mark_retry_failed(id, error).await
    }
}

#[tokio::test]
async fn a_source_and_a_queue_that_fail_have_their_classes() {
    let receiver = Receiver::start().await;
    receiver.respond(|_| Answer::status(403));
    let matcher = EventMatcher::build([observer("o", webhook(&receiver.url("/")), 1)]).unwrap();
    let executor = ObserverExecutor::new(matcher, Arc::new(Shy::default())).await.unwrap();
    let error = executor.process_event(&order(1, json!({}))).await.unwrap_err();
    assert!(matches!(error, Error::DlqError { .. }) && error.to_string().contains("not now"), "{error:?}");

    let nobody = executor_of_nobody().await;
    let mut source = Broken { events: [order(1, json!({}))].into(), acknowledged: Vec::new() };
    let error = nobody.process_all(&mut source).await.unwrap_err();
    assert!(matches!(error, Error::ListenerConnectionFailed { .. }), "{error:?}");
    assert_eq!(source.acknowledged.len(), 1);
}

async fn executor_of_nobody() -> ObserverExecutor {
    executor(Vec::new()).await.unwrap()
}

/// A host of a program's own, on a file.
async fn host(folder: &std::path::Path, observers: Vec<ObserverDefinition>) -> (Host, Arc<dyn Backend>) {
    let options = SqliteOptions { create: true, ..SqliteOptions::default() };
    let url = format!("sqlite:{}", folder.join("own.db").display());
    let store = SqliteStore::open(&url, options).await.unwrap();
    store.migrate().await.unwrap();
    store.apply(observers, false, false, aftercommit_core::Clock::now(&SystemClock)).await.unwrap();
    let store: Arc<dyn Backend> = Arc::new(store);
    let clock = Arc::new(SystemClock);
    let runtime = Runtime::new(RuntimeSettings::default(), Arc::new(EnvSecrets), clock.clone()).unwrap();
    let catalog = Arc::new(Catalog::new(runtime, []));
    let host = Host::start(Arc::clone(&store), catalog, clock, HostSettings::default()).await.unwrap();
    (host, store)
}

async fn eventually(what: &str, done: impl AsyncFn() -> bool) {
    let wait = async {
        while !done().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_mins(1), wait).await.is_ok(), "{what}: never");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_durable_host_takes_events_from_a_source_of_ones_own() {
    let receiver = Receiver::start().await;
    let folder = tempfile::tempdir().unwrap();
    let (host, _) = host(folder.path(), vec![observer("o", webhook(&receiver.url("/")), 3)]).await;
    let events: Vec<EntityEvent> = (0..20).map(|id| order(id, json!({"total": id}))).collect();
    // The source repeats all of them, as one does that was cut off.
    let mut source: MockEventSource = events.iter().chain(&events).cloned().collect();
    assert_eq!(host.feeder().feed(&mut source).await.unwrap(), 40);
    let mut source = Broken { events: [events[0].clone()].into(), acknowledged: Vec::new() };
    let error = host.feeder().feed(&mut source).await.unwrap_err();
    assert!(matches!(error, Error::ListenerConnectionFailed { .. }), "{error:?}");
    assert_eq!(source.acknowledged, [events[0].id]);
    receiver.wait_for(20).await;
    host.stop().await.unwrap();
    assert_eq!(receiver.count(), 20, "none twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_durable_host_hands_its_dead_letters_to_a_queue_of_ones_own() {
    let receiver = Receiver::start().await;
    receiver.respond(|_| Answer::status(403));
    let folder = tempfile::tempdir().unwrap();
    let written = observer("o", webhook(&receiver.url("/")), 1);
    let (host, store) = host(folder.path(), vec![written.clone()]).await;
    let queue = Arc::new(Shy::default());
    let (drain, kept) = (host.dead_letter_drain(), Arc::clone(&queue));
    let draining = tokio::spawn(async move { drain.run(&*kept).await });
    for id in 1..=3 {
        store.emit(order(id, json!({"id": id}))).await.unwrap();
    }
    eventually("the queue is asked", async || queue.refused.load(Relaxed) > 0).await;
    eventually("all are dead", async || store.dead_letters(10).await.unwrap().len() == 3).await;
    queue.takes.store(true, Relaxed);
    eventually("the queue has the others", async || queue.kept.items().len() == 2).await;
    eventually("the host keeps one", async || store.dead_letters(10).await.unwrap().len() == 1).await;
    assert_eq!(store.dead_letters(10).await.unwrap()[0].event.entity_id, "2", "one that the queue refuses");
    let items = queue.get_pending(10).await.unwrap();
    // They came in the order in which they died, whichever that is.
    let ids: BTreeSet<&str> = items.iter().map(|item| &*item.event.entity_id).collect();
    assert_eq!(ids, BTreeSet::from(["1", "3"]));
    assert_eq!(items[0].action.config, written.actions[0].config);
    assert!(items[0].error_message.contains("403"), "{}", items[0].error_message);
    host.stop().await.unwrap();
    draining.await.unwrap();

    // Replayed from there.
    receiver.respond(|_| Answer::status(200));
    let executor = ObserverExecutor::new(EventMatcher::build([]).unwrap(), queue.clone()).await.unwrap();
    assert!(executor.replay(&items[0]).await.unwrap());
    assert_eq!(queue.kept.items().len(), 1);
}
