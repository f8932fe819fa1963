//! What is done to many rows costs the same for each, however many there are: counted in rows that the database read, not in time.

use aftercommit_core::Timestamp;
use aftercommit_store::{DeadLetters as _, conformance::TestDatabase as _};

use crate::database::{Database, at};

/// So many dead letters of one ordering key, which lie in the order against which they were made.
async fn dead_letters(count: u32) -> Database {
    let database = Database::fresh().await;
    database
        .sql(&format!(
            "INSERT INTO observer_dlq_items
                 (id, event_seq, event_id, entity_type, entity_id, event_kind, occurred_at, data, position, observer,
                  action, action_type, action_config, priority, ordering_key, attempts, attempts_before, max_attempts,
                  class, code, last_error, died_at)
             SELECT gen_random_uuid(), {count} - n, gen_random_uuid(), 'T', 'x', 'created', now(), '{{}}', 0, 'o',
                    'a', 't', '{{}}', 100, 'k', 3, 0, 3, 'transient', 'c', 'm', now()
             FROM generate_series(1, {count}) AS n"
        ))
        .await;
    database
}

/// Entries of the indexes on deliveries that were read for each dead letter that was replayed.
async fn read_for_each(count: u32) -> f64 {
    let database = dead_letters(count).await;
    let now: Timestamp = at(0);
    assert_eq!(database.store.replay(None, now).await.unwrap().len(), count as usize);
    // The sessions' figures are there when they have ended.
    database.store.close().await;
    let turn = "SELECT event_seq FROM observer_deliveries WHERE ordering_key = 'k' AND NOT blocked";
    assert_eq!(database.ask(turn).await.as_deref(), Some("0"));
    let read = "SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE relname = 'observer_deliveries'";
    let read: f64 = database.ask(read).await.unwrap().parse().unwrap();
    read / f64::from(count)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_reads_as_much_for_each_of_many_as_of_few() {
    let (few, many) = (read_for_each(400).await, read_for_each(4000).await);
    assert!(many < few * 2.0, "{few} entries each of 400, {many} each of 4000");
}
