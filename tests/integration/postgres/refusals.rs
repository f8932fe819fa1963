//! A database that refuses: no room on its disk, no rights. The log says what to do, and hosts go on by themselves when
//! it was done.
//!
//! The disk is full for the server and for nobody else: the kernel lets its processes write files only up to a size, in
//! the middle of a page. The write that crosses it is cut short, which the server takes for a full disk (SQLSTATE
//! 53100). This needs no file system of its own, and so no privileges.

use std::{sync::Arc, time::Duration};

use aftercommit_tests::Cluster;
use sqlx::{AssertSqlSafe, Executor as _};
use tokio::time::sleep;

use super::{database::PostgresDatabase, oracle::Oracle, writers::Writers};
use crate::shop::{Shop, webhook};

const SOON: Duration = Duration::from_mins(1);

/// How long it goes on after the log told of it.
const LASTS: Duration = Duration::from_secs(5);

const CONFIG: &str = "[intake]\nbatch_size = 16\n[dispatch]\nchannel_capacity = 16\nmax_concurrency = 8\nper_destination = 8\n";

/// Larger than the server's other files, of which those of its log (the WAL) have 16 MiB.
const SIZE_BYTES: u64 = 17 << 20;

/// Fills a table up to a size with a row that is smaller than those of the hosts, so that it leaves no room for one in
/// any page. First many rows at once; then one at a time, which adds one page at a time.
fn fill(table: &str, row: &str) -> String {
    format!(
        "DO $$ DECLARE size bigint; BEGIN
             LOOP
                 SELECT max(pg_relation_size(file)) INTO size FROM (
                     SELECT relid FROM pg_partition_tree('{table}') UNION SELECT '{table}'::regclass) AS files (file);
                 EXIT WHEN size >= {SIZE_BYTES};
                 INSERT INTO {table} {row} FROM generate_series(1, CASE WHEN size < {SIZE_BYTES} - 1000000 THEN 1000 ELSE 1 END);
             END LOOP;
         END $$"
    )
}

/// Leaves no room in what intake writes to, and in what is written when attempts end.
async fn fill_the_disk(shop: &Shop<PostgresDatabase>) {
    let deliveries = fill(
        "observer_deliveries",
        "(id, event_seq, event_at, event_id, position, observer, action, action_type, state, priority, attempts,
          max_attempts, last_error, created_at)
         SELECT gen_random_uuid(), 0, now(), gen_random_uuid(), 0, 'asleep', 'webhook', 'webhook', 'ready', 1, 0, 1,
                '', now()",
    );
    let log = fill(
        "tb_observer_log",
        "(observer, attempt, max_attempts, status, message, started_at, duration_us)
         SELECT 'asleep', 0, 0, 'filler', repeat('x', 100), now(), 0",
    );
    // Nobody else adds a page before the limit is set: both have exactly this size then.
    let mut locked = shop.database.connect().await.unwrap();
    for statement in ["BEGIN; LOCK TABLE observer_deliveries, tb_observer_log", &deliveries, &log] {
        locked.execute(AssertSqlSafe(statement)).await.unwrap();
    }
    shop.database.cluster.limit_files(Some(SIZE_BYTES + 512));
    locked.execute("COMMIT").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_named_and_waited_for() {
    let cluster = Arc::new(Cluster::start());
    let shop = Shop::on(PostgresDatabase::create(&cluster).await, CONFIG).await;
    let url = shop.receiver.url("/");
    shop.observe(&(webhook("everything", "", &url) + &webhook("asleep", "enabled = false", &url)));
    let oracle = Arc::new(Oracle::default());
    let mut host = shop.start_host();
    let writers = Writers::start(&shop, &oracle, 2, 0..200).await;
    shop.receiver.wait_for(20).await;

    fill_the_disk(&shop).await;
    shop.eventually(SOON, "the log names the full disk", async |shop| {
        shop.host_log().contains("the server's disk is full")
    })
    .await;
    sleep(LASTS).await;
    cluster.limit_files(None);
    writers.stop().await;
    shop.sql("DELETE FROM observer_deliveries WHERE observer = 'asleep'").await;
    shop.all_done(SOON).await;
    assert!(host.runs() && host.stop(), "{}", shop.host_log());
    let account = oracle.check(&shop).await;
    println!("a full disk: {account:?}");
    assert_eq!((account.duplicates, account.dead), (0, 0), "{account:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_that_were_taken_away_are_named_and_waited_for() {
    let database = PostgresDatabase::shared().await;
    let role = format!("keeper_of_{}", database.name);
    let url = database.cluster.url_as(&role, &database.name);
    let name = database.name.clone();
    let folder = tempfile::tempdir().unwrap();
    let shop = Shop::unmigrated(folder, database.reached_by(url), CONFIG).await;
    shop.sql(&format!(
        "CREATE ROLE {role} LOGIN; ALTER DATABASE {name} OWNER TO {role}; GRANT ALL ON SCHEMA public TO {role};
         GRANT SELECT, TRIGGER ON orders TO {role}"
    ))
    .await;
    shop.run(&["migrate"]);
    shop.capture("orders", "Order", &[]);
    shop.observe(&webhook("everything", "", &shop.receiver.url("/")));
    let oracle = Arc::new(Oracle::default());
    let mut host = shop.start_host();
    let writers = Writers::start(&shop, &oracle, 2, 0..200).await;
    shop.receiver.wait_for(20).await;

    // The application can still commit: its triggers write to the inbox.
    let lost = format!(
        "ALL ON observer_deliveries, tb_observer_log FROM {role}; REVOKE SELECT ON observer_inbox FROM {role}"
    );
    shop.sql(&format!("REVOKE {lost}")).await;
    shop.eventually(SOON, "the log names the rights", async |shop| {
        let log = shop.host_log();
        log.contains("permission denied") && log.contains("Roles and rights")
    })
    .await;
    sleep(LASTS).await;
    shop.sql(&format!("GRANT ALL ON observer_deliveries, tb_observer_log, observer_inbox TO {role}")).await;
    writers.stop().await;
    shop.all_done(SOON).await;
    assert!(host.runs() && host.stop(), "{}", shop.host_log());
    let account = oracle.check(&shop).await;
    println!("no rights: {account:?}");
    assert_eq!((account.duplicates, account.dead), (0, 0), "{account:?}\n{}", shop.host_log());
}
