//! Cases of `Retention`.

use super::fixture::{Fixture, Target, at, event_id};
use crate::{End, EventFilter, Purged, RetentionLimits};

pub(super) async fn drops_what_is_old_in_batches(fixture: Fixture) {
    fixture.emit(1..=5).await;
    let owned = fixture.take(5, &[Target::new("watcher")]).await.owned;
    fixture.complete(&owned, &End::Succeeded).await;
    // Events occurred at 1 to 5, all attempts started at 5.
    let purge = async |events_before, log_before| {
        let limits =
            RetentionLimits { events_before: at(events_before), log_before: at(log_before), batch: 2 };
        fixture.store.purge(limits).await.unwrap()
    };
    assert_eq!(purge(1, 5).await, Purged::default(), "nothing is older than that");
    assert_eq!(purge(4, 5).await, Purged { events: 2, log_rows: 0, more: true });
    assert_eq!(purge(4, 5).await, Purged { events: 1, log_rows: 0, more: false });
    let left = fixture.store.events(EventFilter { limit: 10, ..EventFilter::default() }).await.unwrap();
    assert_eq!(left.iter().map(|event| event.id).collect::<Vec<_>>(), [5, 4].map(event_id));
    assert_eq!(purge(4, 6).await, Purged { events: 0, log_rows: 2, more: true });
    assert_eq!(purge(4, 6).await, Purged { events: 0, log_rows: 2, more: true });
    assert_eq!(purge(4, 6).await, Purged { events: 0, log_rows: 1, more: false });
}

pub(super) async fn keeps_events_that_are_still_needed(fixture: Fixture) {
    fixture.emit(1..=3).await;
    let owned = fixture.take_up_to(2, 1, &[Target::new("watcher")]).await.owned;
    fixture.complete(&owned, &End::Retry { at: at(9) }).await;
    let limits = RetentionLimits { events_before: at(1000), log_before: at(0), batch: 100 };
    // The first waits, the second is ready, the third is in the inbox.
    assert_eq!(fixture.store.purge(limits).await.unwrap().events, 0);
    let claimed = fixture.claim(1, at(9)).await;
    fixture.complete(&claimed, &End::Succeeded).await;
    assert_eq!(fixture.store.purge(limits).await.unwrap().events, 1);
    assert!(fixture.store.event(event_id(1)).await.is_err());
}

pub(super) async fn drops_history_and_keeps_quarantine(fixture: Fixture) {
    let ids = fixture.bury(1..=2).await;
    fixture.store.discard(ids[..1].to_vec(), at(20)).await.unwrap();
    fixture.capture_things().await;
    fixture.database.sql("INSERT INTO things VALUES (1, NULL)").await;
    fixture.take(0, &[]).await;
    // Two attempts at 5, one discarded at 20; one row was put aside at 0.
    let limits = RetentionLimits { events_before: at(0), log_before: at(21), batch: 100 };
    assert_eq!(fixture.store.purge(limits).await.unwrap(), Purged { events: 0, log_rows: 3, more: false });
    assert!(fixture.store.history(ids[0]).await.unwrap().is_empty());
    assert_eq!(fixture.store.quarantined(10).await.unwrap().len(), 1, "only a person discards these");
    assert_eq!(fixture.store.dead_letters(10).await.unwrap().len(), 1, "dead letters are never dropped here");
}
