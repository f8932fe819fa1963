//! The story, chapter by chapter.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use aftercommit_core::{DeliveryId, EntityEvent};
use aftercommit_store::{Backend, EventFilter, EventHistory, events::AttemptRow};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use uuid::Uuid;

use super::{
    receiver::{BILLING, Received, Receiver},
    screen::{Screen, Tone},
    shop::Scene,
    stage::{HostProcess, Stage},
};
use crate::{
    config::DatabaseConfig, document::Format, error::Error, observer_file::ObserverFile,
    observers::EventMatcher, wiring,
};

/// Longer than any step takes on a slow machine.
const PATIENCE: Duration = Duration::from_secs(30);

const OBSERVERS: &str = include_str!("observers.toml");

struct Story {
    screen: Screen,
    stage: Stage,
    receiver: Receiver,
    matcher: EventMatcher,
    store: std::sync::Arc<dyn Backend>,
    told: HashSet<Uuid>,
    conditions_false: usize,
    attempts: Vec<AttemptRow>,
}

/// Tells the story on standard output; fails if anything did not happen as it should.
pub async fn tell() -> Result<(), Error> {
    let started = Instant::now();
    let mut screen = Screen::new();
    println!(
        "{}",
        screen.paint(
            Tone::Strong,
            "aftercommit demo: a committed row becomes an action in a WebAssembly component"
        )
    );

    screen.chapter("a shop with a database, a receiver, and four observers");
    let secret = format!(
        "whsec_{}",
        STANDARD.encode([Uuid::new_v4().into_bytes(), Uuid::new_v4().into_bytes()].concat())
    );
    let receiver = Receiver::start(&secret).await.map_err(failed)?;
    let observers = OBSERVERS.replace("RECEIVER", &receiver.address.to_string());
    let stage = Stage::set(&secret, &observers).map_err(failed)?;
    stage.shop(Scene::Open).await.map_err(failed)?;
    for command in ["migrate", "capture add orders --entity Order", "observers apply observers.toml"] {
        let arguments: Vec<&str> = command.split(' ').collect();
        let said = stage.run(&arguments).await.map_err(failed)?;
        plain(format_args!(
            "$ aftercommit {command:<36} {}",
            said.split_whitespace().collect::<Vec<_>>().join(" ")
        ));
    }
    let before = Instant::now();
    let host = stage.start_host().await.map_err(failed)?;
    let took = before.elapsed().as_millis();
    plain(format_args!("$ aftercommit {:<36} ready after {took} ms, process {}", "run", host.id()));
    plain(format_args!("receiver at http://{}, its {BILLING} is out of order", receiver.address));

    let database =
        wiring::open_store(&DatabaseConfig::of(format!("sqlite:{}", stage.database().display())), false)
            .await?;
    let file = ObserverFile::parse("observers.toml", observers, Format::Toml).map_err(failed)?;
    let matcher = EventMatcher::build(file.observers)?;
    let mut story = Story {
        screen,
        stage,
        receiver,
        matcher,
        store: database,
        told: HashSet::new(),
        conditions_false: 0,
        attempts: Vec::new(),
    };
    story.commit("three orders in one statement", Scene::Order, 3).await?;
    story.commit("an order is shipped, another changes its price", Scene::Ship, 2).await?;
    story.commit("an order is cancelled", Scene::Cancel, 1).await?;
    story.replay().await?;
    story.end(host, started).await
}

impl Story {
    /// The shop commits, in its own process; then each event is followed to its end.
    async fn commit(&mut self, title: &str, scene: Scene, events: usize) -> Result<(), Error> {
        self.screen.chapter(title);
        for statement in scene.statements() {
            self.screen.line("commit", statement);
        }
        self.stage.shop(scene).await.map_err(failed)?;
        let fresh = self.fresh_events(events).await?;
        for event in fresh {
            self.follow(&event).await?;
        }
        Ok(())
    }

    async fn fresh_events(&mut self, count: usize) -> Result<Vec<EntityEvent>, Error> {
        let filter = EventFilter { limit: 100, ..EventFilter::default() };
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut fresh = self.store.events(filter.clone()).await?;
            fresh.retain(|event| !self.told.contains(&event.id));
            if fresh.len() >= count {
                fresh.reverse();
                self.told.extend(fresh.iter().map(|event| event.id));
                return Ok(fresh);
            }
            self.wait(deadline, "the events were not captured").await?;
        }
    }

    async fn follow(&mut self, event: &EntityEvent) -> Result<(), Error> {
        let history = self.ended(event.id).await?;
        println!();
        let what = format!("{} {} {}", event.entity_type, event.entity_id, event.event_kind);
        self.screen.line("event", self.screen.paint(Tone::Strong, &what));
        for watcher in self.matcher.find(event) {
            let condition = watcher.definition.condition.as_deref().unwrap_or("(no condition)");
            let wants = watcher.wants(event).unwrap_or(false);
            self.conditions_false += usize::from(!wants);
            let verdict = if wants {
                self.screen.paint(Tone::Good, "true")
            } else {
                self.screen.paint(Tone::Quiet, "not true")
            };
            self.screen.line("  match", format_args!("{:<14} {condition:<42} {verdict}", watcher.name));
        }
        for attempt in &history.attempts {
            self.attempt(event, attempt);
        }
        self.attempts.extend(history.attempts);
        Ok(())
    }

    fn attempt(&self, event: &EntityEvent, attempt: &AttemptRow) {
        let tone = if attempt.status == "succeeded" { Tone::Good } else { Tone::Bad };
        let status = match attempt.status.as_str() {
            "waiting" => "will be retried",
            "dead" => "dead letter",
            other => other,
        };
        #[expect(clippy::cast_precision_loss, reason = "a duration for people")]
        let duration_ms = attempt.duration_us as f64 / 1000.0;
        self.screen.line(
            "  plugin",
            format_args!(
                "{:<14} {:<8} attempt {} of {}  {duration_ms:>5.1} ms  {}",
                attempt.observer,
                attempt.plugin.as_deref().unwrap_or("-"),
                attempt.attempt,
                attempt.max_attempts,
                self.screen.paint(tone, status),
            ),
        );
        let id = attempt.delivery_id.map(|id| id.to_string()).unwrap_or_default();
        let requests: Vec<Received> =
            self.receiver.received().into_iter().filter(|request| request.id == id).collect();
        let Some(request) = requests.get(attempt.attempt.saturating_sub(1) as usize) else { return };
        let after = request.at.since(event.occurred_at).as_millis();
        let signature = if request.signature_is_valid {
            self.screen.paint(Tone::Good, "signature valid")
        } else {
            self.screen.paint(Tone::Bad, "signature WRONG")
        };
        let path = &request.path;
        self.screen.line(
            "  receiver",
            format_args!("{path:<14} {} {signature}, {after} ms after the change", request.status),
        );
    }

    /// What became of an event, once nothing of it is waiting any more.
    async fn ended(&self, id: Uuid) -> Result<EventHistory, Error> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let history = self.store.event(id).await?;
            if !history.in_inbox && history.deliveries.iter().all(|delivery| delivery.status.is_final()) {
                return Ok(history);
            }
            self.wait(deadline, "an event did not come to its end").await?;
        }
    }

    async fn replay(&mut self) -> Result<(), Error> {
        self.screen.chapter("the receiver is repaired, and a person replays the dead letter");
        let letters = self.store.dead_letters(10).await?;
        let [letter] = letters.as_slice() else {
            return Err(failed(format!("one dead letter was expected, there are {}", letters.len())));
        };
        self.screen
            .line("letter", format_args!("{} to {}: {}", letter.id, letter.observer, letter.last_error));
        self.receiver.repair_billing();
        let id = letter.id.to_string();
        self.stage.run(&["dlq", "retry", &id]).await.map_err(failed)?;
        plain(format_args!("$ aftercommit dlq retry {id}"));
        let history = self.ended(letter.event_id).await?;
        let same = |attempt: &&AttemptRow| attempt.delivery_id.map(DeliveryId) == Some(letter.id);
        let Some(attempt) = history.attempts.iter().rfind(same) else {
            return Err(failed("the replay was not run"));
        };
        self.attempt(&history.event, attempt);
        plain("the delivery kept its id, so a receiver can tell a repetition from something new");
        self.attempts.push(attempt.clone());
        Ok(())
    }

    async fn end(mut self, host: HostProcess, started: Instant) -> Result<(), Error> {
        self.screen.chapter("summary");
        let stopped = host.stop().await.map_err(failed)?;
        let left = self.store.dead_letters(10).await?.len();
        let requests = self.receiver.received();
        let succeeded = self.attempts.iter().filter(|attempt| attempt.status == "succeeded").count();
        let retried = self.attempts.iter().filter(|attempt| attempt.status == "waiting").count();
        self.screen
            .line("events", format_args!("{} committed by another process, none lost", self.told.len()));
        self.screen
            .line("conditions", format_args!("{} not true: nothing was run for them", self.conditions_false));
        self.screen.line("deliveries", format_args!("{succeeded} succeeded, {retried} attempts were retried, 1 went to the dead letter queue and was replayed"));
        self.screen.line("receiver", format_args!("{} requests, every signature valid", requests.len()));
        self.screen.line(
            "took",
            format_args!("{:.1} s; the folder and all processes are gone", started.elapsed().as_secs_f64()),
        );
        let signed = requests.iter().all(|request| request.signature_is_valid);
        if !stopped || left > 0 || !signed || succeeded == 0 {
            return Err(failed(format!(
                "it did not go as it should; the host said:\n{}",
                self.stage.host_log()
            )));
        }
        Ok(())
    }

    async fn wait(&self, deadline: Instant, what: &str) -> Result<(), Error> {
        if Instant::now() > deadline {
            return Err(failed(format!(
                "{what} within {PATIENCE:?}; the host said:\n{}",
                self.stage.host_log()
            )));
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
        Ok(())
    }
}

/// A line of its own.
fn plain(text: impl std::fmt::Display) {
    println!("    {text}");
}

fn failed(error: impl std::fmt::Display) -> Error {
    Error::ActionExecutionFailed { reason: format!("the demonstration failed: {error}") }
}
