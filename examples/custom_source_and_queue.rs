//! Events from a source of one's own (lines of JSON), dead letters into a queue of one's own (a file of lines).
//!
//! `cargo run --package aftercommit --example custom_source_and_queue`

use std::{
    fs::{self, File, OpenOptions},
    io::Write as _,
    path::PathBuf,
    sync::Arc,
};

use aftercommit::{
    ActionConfig, DeadLetterQueue, DlqItem, EntityEvent, Error, EventMatcher, EventSource,
    ObserverDefinition, ObserverExecutor, Result,
};
use async_trait::async_trait;
use serde_json::json;
use uuid::Uuid;

/// Events, one JSON object a line.
struct Lines(std::vec::IntoIter<&'static str>);

#[async_trait]
impl EventSource for Lines {
    async fn next_event(&mut self) -> Option<EntityEvent> {
        self.0.find_map(|line| match serde_json::from_str(line) {
            Ok(event) => Some(event),
            Err(error) => {
                eprintln!("passed over a line that is no event: {error}");
                None
            }
        })
    }
}

/// Dead letters, one JSON object a line.
struct FileQueue(PathBuf);

impl FileQueue {
    fn items(&self) -> Result<Vec<DlqItem>> {
        let read = |line: &str| {
            let mut value: serde_json::Value = serde_json::from_str(line).ok()?;
            Some(DlqItem {
                id: serde_json::from_value(value["id"].take()).ok()?,
                event: serde_json::from_value(value["event"].take()).ok()?,
                action: serde_json::from_value(value["action"].take()).ok()?,
                error_message: value["error"].as_str()?.to_owned(),
                attempts: serde_json::from_value(value["attempts"].take()).ok()?,
            })
        };
        Ok(fs::read_to_string(&self.0).map_err(failed)?.lines().filter_map(read).collect())
    }

    fn append(file: &mut File, item: &DlqItem) -> Result<()> {
        let line = json!({"id": item.id, "event": item.event, "action": item.action, "error": item.error_message, "attempts": item.attempts});
        writeln!(file, "{line}").map_err(failed)
    }

    fn replace(&self, id: Uuid, with: impl Fn(DlqItem) -> Option<DlqItem>) -> Result<()> {
        let items = self.items()?;
        let mut file = File::create(&self.0).map_err(failed)?;
        for item in items {
            let item = if item.id == id { with(item) } else { Some(item) };
            item.iter().try_for_each(|item| Self::append(&mut file, item))?;
        }
        Ok(())
    }
}

#[async_trait]
impl DeadLetterQueue for FileQueue {
    async fn push(&self, event: EntityEvent, action: ActionConfig, error: String) -> Result<Uuid> {
        let item = DlqItem { id: Uuid::now_v7(), event, action, error_message: error, attempts: 0 };
        let mut file = OpenOptions::new().create(true).append(true).open(&self.0).map_err(failed)?;
        Self::append(&mut file, &item)?;
        Ok(item.id)
    }

    async fn get_pending(&self, limit: usize) -> Result<Vec<DlqItem>> {
        Ok(self.items()?.into_iter().take(limit).collect())
    }

    async fn mark_success(&self, id: Uuid) -> Result<()> {
        self.replace(id, |_| None)
    }

    async fn mark_retry_failed(&self, id: Uuid, error: &str) -> Result<()> {
        self.replace(id, |item| {
            Some(DlqItem { attempts: item.attempts + 1, error_message: error.to_owned(), ..item })
        })
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err takes")]
fn failed(error: std::io::Error) -> Error {
    Error::DlqError { reason: error.to_string() }
}

#[tokio::main]
async fn main() -> Result<()> {
    let observer = ObserverDefinition {
        actions: vec![
            ActionConfig::new("log").with("message", "{{entity_type}} {{entity_id}} of {{customer}}"),
        ],
        ..ObserverDefinition::new("greet")
    };
    let folder = tempfile::tempdir().map_err(failed)?;
    let queue = Arc::new(FileQueue(folder.path().join("dead-letters.jsonl")));
    let executor = ObserverExecutor::new(EventMatcher::build([observer])?, queue.clone()).await?;

    let mut source = Lines(
        vec![
            r#"{"entity_type": "Order", "entity_id": 1, "event_kind": "created", "data": {"customer": "Alice"}}"#,
            "not an event",
            // This one has no customer: the template misses a field, and that can never work.
            r#"{"entity_type": "Order", "entity_id": 2, "event_kind": "INSERT", "data": {}}"#,
        ]
        .into_iter(),
    );
    let count = executor.process_all(&mut source).await?;
    println!("{count} events processed");

    for item in queue.get_pending(10).await? {
        println!("dead letter: {} {}: {}", item.event.entity_type, item.event.entity_id, item.error_message);
        let replayed = executor.replay(&item).await?;
        println!("replayed: {}", if replayed { "it worked" } else { "it failed again" });
    }
    assert_eq!((count, queue.get_pending(10).await?[0].attempts), (2, 1));
    Ok(())
}
