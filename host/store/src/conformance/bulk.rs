//! Cases of what is done to many rows: each row costs the same, however many there are. Counted in the work of the database, not
//! in time.

use std::sync::Arc;

use aftercommit_core::{EventKind, ObserverDefinition, Timestamp};

use super::fixture::{Fixture, Target, at, dead};
use crate::{Backend, BackfillRequest, DeadLetterFilter, End, RetentionLimits};

/// So many rows, and ten times as many.
const SIZES: [u32; 2] = [300, 3000];

/// What a row of many may cost, compared with a row of few: trees that are a level higher, pages that are read once more, and entries of deleted
/// rows, which are read until the server has cleaned up: when it does depends on what else runs there. Work that grows with the square of the
/// number of rows would cost ten times as much.
const FACTOR: f64 = 5.0;

/// What is done.
#[derive(Clone, Copy, Debug)]
enum Bulk {
    /// An observer with so many live deliveries.
    Disable,
    Enable,
    Remove,
    Prune,
    /// A hundred claims, beside so many deliveries of a disabled observer.
    ClaimBeside,
    /// So many changes of one entity become ordered deliveries.
    Take,
    /// Events are matched again, whose entity has so many later deliveries.
    MatchAgain,
    /// So many dead letters.
    Replay,
    /// The same, all of one entity.
    ReplayOrdered,
    Discard,
    /// So many rows that are no events.
    RetryQuarantined,
    DiscardQuarantined,
    /// So many old events and attempts.
    Purge,
    /// The same, with fifty events still needed.
    PurgeAround,
    /// So many rows of a captured table.
    Backfill,
}

pub(super) async fn disabling_costs_the_same_for_any_number_of_deliveries(fixture: Fixture) {
    compare(fixture, Bulk::Disable).await;
}

pub(super) async fn enabling_costs_the_same_for_any_number_of_deliveries(fixture: Fixture) {
    compare(fixture, Bulk::Enable).await;
}

pub(super) async fn removing_costs_the_same_for_any_number_of_deliveries(fixture: Fixture) {
    compare(fixture, Bulk::Remove).await;
}

pub(super) async fn applying_costs_the_same_for_any_number_of_deliveries(fixture: Fixture) {
    compare(fixture, Bulk::Prune).await;
}

pub(super) async fn claims_cost_the_same_beside_any_number_of_a_disabled_observer(fixture: Fixture) {
    compare(fixture, Bulk::ClaimBeside).await;
}

pub(super) async fn taking_many_changes_of_one_entity_costs_each_the_same(fixture: Fixture) {
    compare(fixture, Bulk::Take).await;
}

pub(super) async fn matching_again_before_many_of_one_entity_costs_each_the_same(fixture: Fixture) {
    compare(fixture, Bulk::MatchAgain).await;
}

pub(super) async fn replaying_many_costs_each_the_same(fixture: Fixture) {
    compare(fixture, Bulk::Replay).await;
}

pub(super) async fn replaying_many_of_one_entity_costs_each_the_same(fixture: Fixture) {
    compare(fixture, Bulk::ReplayOrdered).await;
}

pub(super) async fn discarding_many_costs_each_the_same(fixture: Fixture) {
    compare(fixture, Bulk::Discard).await;
}

pub(super) async fn retrying_many_quarantined_costs_each_the_same(fixture: Fixture) {
    compare(fixture, Bulk::RetryQuarantined).await;
}

pub(super) async fn discarding_many_quarantined_costs_each_the_same(fixture: Fixture) {
    compare(fixture, Bulk::DiscardQuarantined).await;
}

pub(super) async fn purging_many_costs_each_the_same(fixture: Fixture) {
    compare(fixture, Bulk::Purge).await;
}

pub(super) async fn purging_around_what_is_needed_costs_each_the_same(fixture: Fixture) {
    compare(fixture, Bulk::PurgeAround).await;
}

pub(super) async fn a_backfill_of_many_costs_each_the_same(fixture: Fixture) {
    compare(fixture, Bulk::Backfill).await;
}

/// Does it to few rows and to many, and compares what a row costs.
async fn compare(fixture: Fixture, bulk: Bulk) {
    fixture.capture_things().await;
    fixture.database.sql("CREATE INDEX things_by_code ON things (code)").await;
    let mut costs = Vec::new();
    for size in SIZES {
        // A store of its own for each part: asking for the work ends the sessions of all.
        let filling = other_store(&fixture).await;
        bulk.fill(&filling, size).await;
        fixture.database.work().await;
        let doing = other_store(&fixture).await;
        let rows = bulk.act(&doing, size).await;
        let work = fixture.database.work().await;
        #[expect(clippy::cast_precision_loss, reason = "these are small numbers")]
        costs.push(work as f64 / rows as f64);
    }
    let (few, many) = (costs[0], costs[1]);
    eprintln!("{bulk:?}: {few:.1} of work for each of {}, {many:.1} for each of {}", SIZES[0], SIZES[1]);
    assert!(few > 0.0, "{bulk:?}: the work is counted");
    assert!(many < few * FACTOR, "{bulk:?}: {few:.1} for each of few, {many:.1} for each of many");
}

async fn other_store(fixture: &Fixture) -> Fixture {
    Fixture {
        database: Arc::clone(&fixture.database),
        store: fixture.database.second_store().await,
        host: fixture.host,
        other: fixture.other,
    }
}

impl Bulk {
    /// Makes the rows.
    async fn fill(self, fixture: &Fixture, size: u32) {
        let watcher = [Target::new("watcher")];
        match self {
            Self::Disable | Self::Enable | Self::Remove | Self::Prune => {
                let enabled = !matches!(self, Self::Enable);
                let definition = ObserverDefinition { enabled, ..ObserverDefinition::new("watcher") };
                fixture.store.apply(vec![definition], true, false, at(0)).await.unwrap();
                change(fixture, size).await;
                take_all(fixture, &watcher).await;
            }
            Self::ClaimBeside => {
                let asleep = ObserverDefinition { enabled: false, ..ObserverDefinition::new("asleep") };
                fixture.store.apply(vec![asleep], true, false, at(0)).await.unwrap();
                change(fixture, size).await;
                take_all(fixture, &[Target::new("asleep"), Target::new("awake")]).await;
            }
            Self::Take => change(fixture, size).await,
            Self::MatchAgain => {
                change(fixture, size).await;
                end_all(fixture, &End::Succeeded).await;
                let again = "INSERT INTO observer_inbox (event_seq) SELECT seq FROM observer_events AS e
                    WHERE NOT EXISTS (SELECT 1 FROM observer_deliveries AS d WHERE d.event_seq = e.seq) ORDER BY seq";
                change(fixture, size).await;
                take_all(fixture, &[Target::ordered("watcher")]).await;
                fixture.database.sql(again).await;
            }
            Self::Replay | Self::ReplayOrdered | Self::Discard => {
                change(fixture, size).await;
                end_all(fixture, &dead()).await;
                if matches!(self, Self::ReplayOrdered) {
                    fixture.database.sql("UPDATE observer_dlq_items SET ordering_key = 'watcher:0'").await;
                }
            }
            Self::RetryQuarantined | Self::DiscardQuarantined => {
                fixture.database.sql("DELETE FROM observer_inbox").await;
                fixture.database.sql(&rows(size, "NULL")).await;
                take_all(fixture, &[]).await;
            }
            Self::Purge | Self::PurgeAround => {
                change(fixture, size).await;
                end_all(fixture, &End::Succeeded).await;
                fixture
                    .database
                    .sql(
                        "UPDATE observer_events SET occurred_at = '2020-01-01T00:00:00.000000Z';
                     UPDATE tb_observer_log SET started_at = '2020-01-01T00:00:00.000000Z'",
                    )
                    .await;
                if matches!(self, Self::PurgeAround) {
                    let needed = "INSERT INTO observer_inbox (event_seq) SELECT seq FROM observer_events ORDER BY seq LIMIT 50";
                    fixture.database.sql(needed).await;
                }
            }
            Self::Backfill => {
                change(fixture, size).await;
                take_all(fixture, &[]).await;
            }
        }
    }

    /// Does it; to how many rows.
    async fn act(self, fixture: &Fixture, size: u32) -> usize {
        let store = &*fixture.store;
        let expected = usize::try_from(size).unwrap();
        match self {
            Self::Disable => store.set_enabled("watcher", false, at(1)).await.unwrap(),
            Self::Enable => store.set_enabled("watcher", true, at(1)).await.unwrap(),
            Self::Remove => store.remove_observer("watcher").await.unwrap(),
            Self::Prune => {
                let applied = store.apply(vec![], true, false, at(1)).await.unwrap();
                assert_eq!(applied.removed, ["watcher"]);
            }
            Self::ClaimBeside => {
                let claimed = fixture.claim(100, at(1)).await;
                assert!(claimed.iter().all(|delivery| &*delivery.observer == "awake"));
                assert!(store.next_due(&[]).await.unwrap().is_some());
                return claimed.len();
            }
            Self::Take | Self::MatchAgain => {
                assert_eq!(take_all(fixture, &[Target::ordered("watcher")]).await, expected);
                return expected;
            }
            Self::Replay | Self::ReplayOrdered => {
                assert_eq!(fixture.replay_all(at(2)).await.len(), expected);
                return expected;
            }
            Self::Discard => {
                let all = DeadLetterFilter::default();
                assert_eq!(store.discard_all(&all, at(2)).await.unwrap(), expected);
                return expected;
            }
            Self::RetryQuarantined => {
                let mut put_back = 0;
                store.retry_all_quarantined(&mut |ids| put_back += ids.len()).await.unwrap();
                assert_eq!(put_back, expected);
                return expected;
            }
            Self::DiscardQuarantined => {
                let ids = store.quarantined(expected).await.unwrap().iter().map(|row| row.id).collect();
                assert_eq!(store.discard_quarantined(ids).await.unwrap(), expected);
                return expected;
            }
            Self::Purge => {
                assert_eq!(purge_all(store).await, (expected, expected));
                return expected;
            }
            Self::PurgeAround => {
                assert!(purge_all(store).await.0 >= expected - 50);
                return expected;
            }
            Self::Backfill => return backfill(store).await,
        }
        1
    }
}

/// Changes of so many rows, of which each is of the same group of entities.
async fn change(fixture: &Fixture, size: u32) {
    fixture.database.sql(&rows(size, "CAST(10 * (n + count) AS TEXT)")).await;
}

/// Inserts rows into the captured table, behind those that it has.
fn rows(size: u32, code: &str) -> String {
    format!(
        "INSERT INTO things (id, code)
         WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {size})
         SELECT n + count, {code} FROM n CROSS JOIN (SELECT count(*) AS count FROM things) AS c"
    )
}

/// Takes all that is in the inbox and owns nothing; how many deliveries that made.
async fn take_all(fixture: &Fixture, targets: &[Target]) -> usize {
    let mut made = 0;
    loop {
        let taken = fixture.take_up_to(100, 0, targets).await;
        made += taken.ready;
        if taken.events == 0 && taken.quarantined.is_empty() {
            return made;
        }
    }
}

/// Takes all that is in the inbox and ends it.
async fn end_all(fixture: &Fixture, end: &End) {
    loop {
        let taken = fixture.take_up_to(1000, 1000, &[Target::new("watcher")]).await;
        if taken.events == 0 {
            return;
        }
        fixture.complete(&taken.owned, end).await;
    }
}

/// Drops all that is old: how many events, and how many attempts.
async fn purge_all(store: &dyn Backend) -> (usize, usize) {
    let old: Timestamp = at(0);
    let limits = RetentionLimits { events_before: old, log_before: old, batch: 100 };
    let (mut events, mut log_rows) = (0, 0);
    loop {
        let purged = store.purge(limits).await.unwrap();
        (events, log_rows) = (events + purged.events, log_rows + purged.log_rows);
        if !purged.more {
            return (events, log_rows);
        }
    }
}

/// How many rows became events.
async fn backfill(store: &dyn Backend) -> usize {
    let request =
        BackfillRequest { table: "things".into(), condition: None, kind: EventKind::Created, restart: true };
    store.start_backfill(request, at(1)).await.unwrap();
    loop {
        let page = store.backfill_page("things", 100, at(2)).await.unwrap();
        if page.finished_at.is_some() {
            return usize::try_from(page.rows).unwrap();
        }
    }
}
