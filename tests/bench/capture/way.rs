//! The ways in which changes of the table of orders are recorded.

use crate::{peers::Peers, postgres, shop::Shop};

/// What people write by hand: one row in a table of changes, with its key and two indexes: by the row that was changed, since
/// that is what a log is asked for, and by time, to clean it.
const BY_HAND: &str = "
    CREATE TABLE change_log (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, operation text NOT NULL, table_name text NOT NULL,
        row_id text NOT NULL, old_row text, new_row text, created_at timestamptz NOT NULL DEFAULT now());
    CREATE INDEX change_log_by_row ON change_log (table_name, row_id);
    CREATE INDEX change_log_by_time ON change_log (created_at);
    CREATE FUNCTION log_change() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO change_log (operation, table_name, row_id, old_row, new_row) VALUES (
            TG_OP, TG_TABLE_NAME, coalesce(NEW.id, OLD.id),
            CASE WHEN TG_OP <> 'INSERT' THEN row_to_json(OLD)::text END,
            CASE WHEN TG_OP <> 'DELETE' THEN row_to_json(NEW)::text END);
        RETURN NULL;
    END $$;
    CREATE TRIGGER log_change AFTER INSERT OR UPDATE OR DELETE ON orders
        FOR EACH ROW EXECUTE FUNCTION log_change()";

/// A job of Graphile Worker for each row.
const GRAPHILE: &str = "
    CREATE FUNCTION add_job() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM graphile_worker.add_job('job', json_build_object('operation', TG_OP, 'row', row_to_json(NEW)));
        RETURN NULL;
    END $$;
    CREATE TRIGGER add_job AFTER INSERT OR UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION add_job()";

/// A host sleeps for an hour.
const ASLEEP: &str =
    "SELECT setval('observer_bell', extract(epoch FROM clock_timestamp() + interval '1 hour')::bigint)";

/// How changes are recorded.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Not at all.
    Plain,
    /// By a trigger for each row that was written by hand.
    ByHand,
    /// Captured without the doorbell.
    Silent,
    /// Captured with it, while no host sleeps.
    Listening,
    /// The same while one sleeps: each commit rings.
    Ringing,
    /// Captured without the doorbell, under a condition that no change fulfils.
    Unwanted,
    /// By a trigger for each row that adds a job of Graphile Worker.
    Graphile,
}

impl Way {
    pub(crate) const ALL: [Self; 7] = [
        Self::Plain,
        Self::ByHand,
        Self::Silent,
        Self::Listening,
        Self::Ringing,
        Self::Unwanted,
        Self::Graphile,
    ];

    /// Begins to record; `false` if this way is not installed.
    pub(crate) async fn begin(self, shop: &Shop, peers: &Peers) -> bool {
        let url = shop.url();
        match self {
            Self::Plain => {}
            Self::ByHand => postgres::run(&url, BY_HAND),
            Self::Silent => shop.capture(false).await,
            Self::Listening => shop.capture(true).await,
            Self::Ringing => {
                shop.capture(true).await;
                postgres::run(&url, ASLEEP);
            }
            Self::Unwanted => shop.capture_when("status = 'cancelled' AND total > 100").await,
            Self::Graphile if peers.graphile_schema(&url) => postgres::run(&url, GRAPHILE),
            Self::Graphile => return false,
        }
        true
    }

    /// Panics unless what was done was recorded.
    pub(crate) async fn check(self, shop: &Shop) {
        let recorded = match self {
            Self::Plain => return,
            Self::Unwanted => {
                assert_eq!(shop.waiting().await, 0);
                return;
            }
            Self::Silent | Self::Listening | Self::Ringing => shop.waiting().await,
            Self::ByHand => count(shop, "SELECT count(*) FROM change_log").await,
            Self::Graphile => count(shop, "SELECT count(*) FROM graphile_worker.jobs").await,
        };
        assert!(recorded > 0);
    }
}

async fn count(shop: &Shop, statement: &'static str) -> u64 {
    let mut app = shop.connect();
    tokio::task::spawn_blocking(move || app.count(statement) as u64).await.unwrap()
}
