//! `examples/actions/cache.toml` with Redis and Memcached.

use std::time::Duration;

use aftercommit_tests::{MemcachedServer, RedisServer};
use serde_json::json;

use crate::shop::Shop;

const EXAMPLE: &str = include_str!("../../../examples/actions/cache.toml");
const SOON: Duration = Duration::from_mins(1);

#[tokio::test(flavor = "multi_thread")]
async fn the_example_keeps_a_cache_in_step_even_when_the_server_goes_away() {
    let (mut redis, memcached) = (RedisServer::start(), MemcachedServer::start());
    let config = format!(
        "[redis.default]\nurl = \"{}\"\n[memcached.default]\nurl = \"{}\"\n",
        redis.url(),
        memcached.url()
    );
    let shop = Shop::open(&config).await;
    shop.observe(EXAMPLE);
    let host = shop.start_host();
    memcached.set("page:order:7", "<html>");
    let kept = [
        "MSET",
        "order:7",
        "x",
        "order:77",
        "x",
        "orders:shipped:1",
        "x",
        "orders:shipped:2",
        "x",
        "orders:new:1",
        "x",
    ];
    assert_eq!(redis.ask(&kept), "OK");
    shop.sql("INSERT INTO orders VALUES (7, 'shipped', 150.50)").await;
    shop.all_done(SOON).await;
    let left = redis.ask(&["--raw", "KEYS", "*"]);
    let mut left: Vec<&str> = left.lines().collect();
    left.sort_unstable();
    assert_eq!(left, ["order-state:7", "order:77", "orders:new:1"]);
    assert_eq!(redis.ask(&["GET", "order-state:7"]), r#"{"status":"shipped","total":150.5}"#);
    assert!((1..=3600).contains(&redis.ask(&["TTL", "order-state:7"]).parse::<i32>().unwrap()));
    assert_eq!(memcached.get("page:order:7"), None);

    redis.kill();
    shop.sql("UPDATE orders SET status = 'paid' WHERE id = 7").await;
    shop.eventually(SOON, "an attempt has failed", async |shop| {
        shop.count("SELECT count(*) FROM tb_observer_log WHERE code = 'connect' AND status = 'waiting'").await
            > 0
    })
    .await;
    // The keys are there before the next attempt is made.
    shop.sql("UPDATE tb_observer SET enabled = 0").await;
    shop.eventually(SOON, "no attempt is under way", async |shop| {
        shop.count("SELECT count(*) FROM observer_deliveries WHERE state = 'running'").await == 0
    })
    .await;
    redis.start_again();
    assert_eq!(redis.ask(&["MSET", "order:7", "x", "orders:paid:1", "x"]), "OK");
    shop.sql("UPDATE tb_observer SET enabled = 1").await;
    shop.all_done(SOON).await;
    assert_eq!(redis.ask(&["DBSIZE"]), "0");
    assert!(host.stop());
    assert_eq!(shop.json(&["dlq", "list"]), json!([]));
}
