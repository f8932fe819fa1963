//! Large rows, many more than the host has memory for, and the small rows of others with them. The host has 512 MiB.

use std::{fs::File, process::Stdio, time::Duration};

use aftercommit_tests::Answer;
use serde_json::Value;

use crate::{
    memory_group::MemoryGroup,
    shop::{Database, Shop, webhook},
};

const LIMIT_MIB: u64 = 512;

const SOON: Duration = Duration::from_mins(4);

const DOCUMENTS: &str = "CREATE TABLE documents (id INTEGER PRIMARY KEY, body TEXT NOT NULL)";

/// Tells each document by its key alone.
fn short_webhook(url: &str) -> String {
    format!(
        "[[observers]]\nname = \"documents\"\nentity_type = \"Document\"\n[[observers.actions]]\ntype = \"webhook\"\n\
         url = \"{url}\"\nbody_template = '{{\"id\":{{{{entity_id}}}}}}'\ngrants = {{ private_network = true }}\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_8_mb_pass_through_512_mib_after_the_small_one_in_front() {
    /// More than fit into the memory even if each were there once, which none is.
    const ROWS: i64 = 66;
    const ROW_MIB: usize = 8;
    let shop = Shop::open("").await;
    shop.sql(DOCUMENTS).await;
    shop.capture("documents", "Document", &[]);
    shop.observe(&short_webhook(&shop.receiver.url("/hook")));
    shop.sql("INSERT INTO documents VALUES (0, 'small')").await;
    shop.sql(&format!(
        "WITH RECURSIVE n (id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n WHERE id < {ROWS})
         INSERT INTO documents SELECT id, hex(zeroblob({} / 2)) FROM n",
        ROW_MIB << 20
    ))
    .await;
    let group = MemoryGroup::create(LIMIT_MIB << 20);
    let mut host = shop.start_host_in(&group);
    let all = usize::try_from(ROWS).unwrap() + 1;
    let received = shop.receiver.wait_until(SOON, |received| received.len() >= all).await;
    shop.all_done(SOON).await;
    assert!(host.runs(), "it was killed:\n{}", shop.host_log());
    println!("{ROWS} rows of {ROW_MIB} MiB: peak {} MiB", host.peak_memory_mib());
    assert!(host.stop(), "{}", shop.host_log());
    let mut told: Vec<i64> = received
        .iter()
        .map(|request| serde_json::from_slice::<Value>(&request.body).unwrap()["id"].as_i64().unwrap())
        .collect();
    assert_eq!(told[0], 0, "the small one in front was not the first: {told:?}");
    told.sort_unstable();
    assert_eq!(told, (0..=ROWS).collect::<Vec<_>>(), "each once");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_20_mb_pass_through_512_mib_and_small_rows_of_others_with_them() {
    const ROWS: i64 = 12;
    const ROW_MIB: usize = 20;
    const SMALL_ROWS: i64 = 300;
    const LOGGED: &str = "[[observers]]\nname = \"documents\"\nentity_type = \"Document\"\n\
                          [[observers.actions]]\ntype = \"log\"\nmessage = \"document {{entity_id}}\"\n";
    let shop = Shop::on_postgres("").await;
    shop.sql(DOCUMENTS).await;
    shop.capture("documents", "Document", &[]);
    shop.observe(&format!("{LOGGED}{}", webhook("orders", "", &shop.receiver.url("/hook"))));
    let group = MemoryGroup::create(LIMIT_MIB << 20);
    // The large ones are all there first.
    let body = format!("repeat(md5(n::text), {})", ROW_MIB * (1 << 20) / 32);
    shop.sql(&format!("INSERT INTO documents SELECT n, {body} FROM generate_series(1, {ROWS}) n")).await;
    let mut host = shop.start_host_in(&group);
    for key in 1..=SMALL_ROWS {
        shop.sql(&format!("INSERT INTO orders VALUES ({key}, 'new', 1)")).await;
    }
    // Taken in order, so after all large ones.
    let small = usize::try_from(SMALL_ROWS).unwrap();
    shop.receiver.wait_until(SOON, |received| received.len() >= small).await;
    shop.all_done(SOON).await;

    assert!(host.runs(), "it was killed:\n{}", shop.host_log());
    println!("{ROWS} rows of {ROW_MIB} MiB: peak {} MiB", host.peak_memory_mib());
    assert!(host.stop(), "{}", shop.host_log());
    for (action, all) in [("log", ROWS), ("webhook", SMALL_ROWS)] {
        let succeeded = format!(
            "SELECT count(*) FROM tb_observer_log WHERE status = 'succeeded' AND attempt = 1 AND action = '{action}'"
        );
        assert_eq!(shop.count(&succeeded).await, all, "{action}\n{}", shop.host_log());
    }
    let meanwhile = "SELECT count(*) FROM tb_observer_log WHERE action = 'webhook' AND started_at <
                     (SELECT max(started_at) FROM tb_observer_log WHERE action = 'log')";
    assert!(shop.count(meanwhile).await > 0, "small rows wait until all large ones are through");
}

/// A receiver that refuses everything is not paused.
const REFUSED: &str = "[dispatch]\npause_after_refusals = 0\n";

/// Lists of 20 rows of 8 MiB, by commands that have 256 MiB.
async fn lists_are_longer_than_memory<D: Database>(shop: Shop<D>, insert: &str) {
    const ROWS: usize = 20;
    shop.sql(DOCUMENTS).await;
    shop.capture("documents", "Document", &[]);
    shop.observe(&short_webhook(&shop.receiver.url("/hook")));
    shop.receiver.respond(|_| Answer::status(410));
    let list = |arguments: &[&str]| {
        let group = MemoryGroup::create(256 << 20);
        let printed = File::create(shop.path("printed.json")).unwrap();
        let mut command = shop.command_in(&group, arguments);
        let ended = command.args(["--output", "json"]).stdin(Stdio::null()).stdout(printed).output().unwrap();
        assert!(ended.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&ended.stderr));
        let printed = File::open(shop.path("printed.json")).unwrap();
        let rows: Vec<Value> = serde_json::from_reader(std::io::BufReader::new(printed)).unwrap();
        assert_eq!(rows.len(), ROWS, "{arguments:?}");
        rows
    };
    shop.sql(insert).await;
    let bytes = |event: &Value| event["data"]["body"].as_str().map(str::len);
    assert!(list(&["events", "list"]).iter().all(|event| bytes(event) == Some(8 << 20)), "they wait");
    let host = shop.start_host();
    shop.all_done(SOON).await;
    assert!(host.stop());
    assert!(list(&["events", "list"]).iter().all(|event| bytes(event) == Some(8 << 20)), "they were taken");
    assert!(list(&["dlq", "list"]).iter().all(|letter| bytes(&letter["event"]) == Some(8 << 20)));
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_of_sqlite_are_longer_than_memory() {
    let insert = "WITH RECURSIVE n (id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n WHERE id < 20)
                  INSERT INTO documents SELECT id, hex(zeroblob(4 << 20)) FROM n";
    lists_are_longer_than_memory(Shop::open(REFUSED).await, insert).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_of_postgres_are_longer_than_memory() {
    let insert =
        "INSERT INTO documents SELECT n, repeat(md5(n::text), 8 << 15) FROM generate_series(1, 20) AS n";
    lists_are_longer_than_memory(Shop::on_postgres(REFUSED).await, insert).await;
}
