//! Cases of `Schema`, and of the views for people.

use super::fixture::{Fixture, Target, at, completion, dead};
use crate::End;

pub(super) async fn migrating_again_does_nothing(fixture: Fixture) {
    assert_eq!(fixture.store.migrate().await.unwrap(), []);
    fixture.store.check_schema().await.unwrap();
}

pub(super) async fn the_views_can_be_read(fixture: Fixture) {
    fixture.emit(1..=2).await;
    let taken = fixture.take(2, &[Target::new("watcher")]).await;
    let ends = [End::Retry { at: at(60) }, dead()];
    let completions = taken.owned.iter().zip(ends).map(|(delivery, end)| completion(delivery, end)).collect();
    fixture.store.complete(fixture.host, completions).await.unwrap();
    for (view, rows) in [("observer_pending_retries", "1"), ("observer_retry_exhausted", "1")] {
        let count = fixture.database.ask(&format!("SELECT CAST(count(*) AS TEXT) FROM {view}")).await;
        assert_eq!(count.as_deref(), Some(rows), "{view}");
    }
    // The attempts of this test lie far from the machine's own time: this view need not show them.
    fixture.database.ask("SELECT CAST(count(*) AS TEXT) FROM observer_recent_failures").await.unwrap();
}
