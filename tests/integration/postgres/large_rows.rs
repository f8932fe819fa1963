//! Rows of 20 MB, many more than the host has memory for, and the small rows of others with them.

use std::time::Duration;

use crate::{
    memory_group::MemoryGroup,
    shop::{Shop, webhook},
};

const LIMIT_MIB: u64 = 512;

const ROW_MIB: usize = 20;

/// More than fit in the host's memory even if each were there once, which none is.
const ROWS: i64 = 30;
const SMALL_ROWS: i64 = 300;

const LOGGED: &str = "[[observers]]\nname = \"documents\"\nentity_type = \"Document\"\n\
                      [[observers.actions]]\ntype = \"log\"\nmessage = \"document {{entity_id}}\"\n";

const SOON: Duration = Duration::from_mins(4);

/// The host has no more than 512 MiB, where the tests may make a control group of Linux; its peak is measured everywhere.
#[tokio::test(flavor = "multi_thread")]
async fn many_rows_of_20_mb_pass_through_512_mib_and_small_rows_of_others_with_them() {
    let shop = Shop::on_postgres("").await;
    shop.sql("CREATE TABLE documents (id INTEGER PRIMARY KEY, body TEXT NOT NULL)").await;
    shop.capture("documents", "Document", &[]);
    shop.observe(&format!("{LOGGED}{}", webhook("orders", "", &shop.receiver.url("/hook"))));
    let group = MemoryGroup::create(LIMIT_MIB << 20);
    // The large ones are all there first.
    let body = format!("repeat(md5(n::text), {})", ROW_MIB * (1 << 20) / 32);
    shop.sql(&format!("INSERT INTO documents SELECT n, {body} FROM generate_series(1, {ROWS}) n")).await;
    let mut host = shop.start_host_in(group.as_ref());
    for key in 1..=SMALL_ROWS {
        shop.sql(&format!("INSERT INTO orders VALUES ({key}, 'new', 1)")).await;
    }
    shop.receiver.wait_for(usize::try_from(SMALL_ROWS).unwrap()).await;
    shop.all_done(SOON).await;

    assert!(host.runs(), "it was killed:\n{}", shop.host_log());
    let peak = host.peak_memory_mib();
    println!("{ROWS} rows of {ROW_MIB} MiB, bounded: {}, peak {peak} MiB", group.is_some());
    assert!(peak < LIMIT_MIB, "{peak} MiB at its peak");
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
