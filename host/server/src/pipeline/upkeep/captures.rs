//! Looks whether captures still fit their tables. A column that came or went, or a table that was rebuilt, is nothing that
//! the application's statements may fail for, so the host says it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use aftercommit_store::CaptureStatus;
use tokio_util::sync::CancellationToken;

use crate::pipeline::{dispatch::Dispatch, patience::Patience};

/// Tables are changed by people, and a look costs some queries of the catalogue.
const INTERVAL: Duration = Duration::from_mins(1);

/// Looks at once and then every [`INTERVAL`], until `stop`.
pub(in crate::pipeline) async fn captures(dispatch: Arc<Dispatch>, stop: CancellationToken) {
    let mut patience = Patience::new("captures", &dispatch.fatal);
    let mut drifts = Drifts::default();
    loop {
        let pause = match dispatch.store.captures().await {
            Ok(statuses) => {
                patience.reset();
                drifts.follow(&statuses).iter().for_each(News::log);
                INTERVAL
            }
            Err(error) => patience.failed(&error),
        };
        if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
            return;
        }
    }
}

/// What does not fit, by table, and what was warned of, as it was last reported.
#[derive(Default)]
struct Drifts {
    drifted: BTreeMap<String, String>,
    warned: BTreeMap<String, Vec<String>>,
}

/// What has changed between two looks.
#[derive(PartialEq, Eq, Debug)]
enum News<'s> {
    Drifted { table: &'s str, entity_type: &'s str, drift: &'s str },
    Well { table: &'s str, entity_type: &'s str },
    Warned { table: &'s str, entity_type: &'s str, warning: &'s str },
}

impl Drifts {
    /// What is new, in the order of the captures. A capture that was removed is no news.
    fn follow<'s>(&mut self, statuses: &'s [CaptureStatus]) -> Vec<News<'s>> {
        let before = std::mem::take(&mut self.drifted);
        let warned = std::mem::take(&mut self.warned);
        let mut news = Vec::new();
        for CaptureStatus { capture, drift, warnings } in statuses {
            let (table, entity_type) = (capture.table.as_str(), capture.entity_type.as_str());
            match (drift, before.get(table)) {
                (None, None) => {}
                (None, Some(_)) => news.push(News::Well { table, entity_type }),
                (Some(drift), reported) => {
                    if reported != Some(drift) {
                        news.push(News::Drifted { table, entity_type, drift });
                    }
                    self.drifted.insert(table.to_owned(), drift.clone());
                }
            }
            let is_new =
                |warning: &&String| !warned.get(table).is_some_and(|before| before.contains(warning));
            news.extend(warnings.iter().filter(is_new).map(|warning| News::Warned {
                table,
                entity_type,
                warning,
            }));
            self.warned.insert(table.to_owned(), warnings.clone());
        }
        news
    }
}

impl News<'_> {
    fn log(&self) {
        match self {
            Self::Drifted { table, entity_type, drift } => {
                tracing::warn!(table, entity_type, drift, "the capture does not fit its table any more");
            }
            Self::Well { table, entity_type } => {
                tracing::info!(table, entity_type, "the capture fits its table again");
            }
            Self::Warned { table, entity_type, warning } => {
                tracing::warn!(
                    table,
                    entity_type,
                    "events may come in another order than changes: {warning}"
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use aftercommit_core::Timestamp;
    use aftercommit_store::{Capture, Selection};

    use super::*;

    fn status(table: &str, drift: Option<&str>) -> CaptureStatus {
        let capture = Capture {
            table: table.to_owned(),
            entity_type: "Order".to_owned(),
            key: vec!["id".to_owned()],
            columns: vec!["id".to_owned()],
            selection: Selection::All,
            condition: None,
            change_log: None,
            notify: true,
            created_at: Timestamp::from_micros(0),
        };
        CaptureStatus { capture, drift: drift.map(str::to_owned), warnings: Vec::new() }
    }

    #[test]
    fn each_drift_is_reported_once_and_again_when_it_changes() {
        let mut drifts = Drifts::default();
        let fine = [status("orders", None), status("carts", None)];
        assert_eq!(drifts.follow(&fine), []);
        let one = [status("orders", Some("lacks `a`")), status("carts", None)];
        let (table, entity_type) = ("orders", "Order");
        assert_eq!(drifts.follow(&one), [News::Drifted { table, entity_type, drift: "lacks `a`" }]);
        assert_eq!(drifts.follow(&one), []);
        let more = [status("orders", Some("lacks `a`, `b`")), status("carts", None)];
        assert_eq!(drifts.follow(&more), [News::Drifted { table, entity_type, drift: "lacks `a`, `b`" }]);
        assert_eq!(drifts.follow(&fine), [News::Well { table, entity_type }]);
        assert_eq!(drifts.follow(&fine), []);
    }

    #[test]
    fn each_warning_is_given_once_while_it_holds() {
        let mut drifts = Drifts::default();
        let warned = |warnings: &[&str]| {
            let warnings = warnings.iter().map(ToString::to_string).collect();
            [CaptureStatus { warnings, ..status("orders", None) }]
        };
        let (table, entity_type) = ("orders", "Order");
        let news = |warning| News::Warned { table, entity_type, warning };
        assert_eq!(drifts.follow(&warned(&["a"])), [news("a")]);
        assert_eq!(drifts.follow(&warned(&["a", "b"])), [news("b")]);
        assert_eq!(drifts.follow(&warned(&["b"])), []);
        assert_eq!(drifts.follow(&warned(&["a", "b"])), [news("a")]);
    }

    #[test]
    fn a_capture_that_was_removed_is_forgotten() {
        let mut drifts = Drifts::default();
        let drifted = [status("orders", Some("the table is gone"))];
        assert_eq!(drifts.follow(&drifted).len(), 1);
        assert_eq!(drifts.follow(&[]), []);
        assert_eq!(drifts.follow(&drifted).len(), 1, "it was captured anew");
    }
}
