//! A plugin that fails at every delivery, in several ways, beside an action that does its work.

use std::time::Duration;

use crate::{
    actions::built,
    shop::{Shop, webhook},
};

const ORDERS: i64 = 600;
const TOKEN: &str = "s3cr3t-value";

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_that_fail_do_not_stop_those_that_do_not() {
    let plugin = format!("[plugins.hostile]\nsource = \"file:{}\"\n", built("test/hostile").display());
    let mut shop = Shop::open(&plugin).await;
    shop.set_env("TOKEN", TOKEN);
    let ways = [
        ("panics", "do = \"panic\"\nmessage = \"${secret:TOKEN}\"", "plugin_trap"),
        ("grows", "do = \"grow_memory\"\nlimits = { memory_mb = 4 }", "memory_limit"),
        ("loops", "do = \"loop\"\nlimits = { cpu_ms = 1 }", "cpu_limit"),
        ("floods", "do = \"host_calls\"", "host_call_limit"),
    ];
    let mut observers = vec![webhook("hook", "event_kind = \"created\"", &shop.receiver.url("/"))];
    for (name, action, _) in ways {
        observers.push(format!(
            "[[observers]]\nname = \"{name}\"\nentity_type = \"Order\"\nevent_kind = \"created\"\n[observers.retry]\nmax_attempts = 2\n\
             initial_delay_ms = 1\n[[observers.actions]]\ntype = \"hostile\"\n{action}\n"
        ));
    }
    shop.observe(&observers.concat());
    let host = shop.start_host();
    shop.sql(&format!(
        "WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n WHERE id < {ORDERS})
         INSERT INTO orders SELECT id, 'new', 1 FROM n"
    ))
    .await;
    let dead = ORDERS * i64::try_from(ways.len()).unwrap();
    shop.eventually(Duration::from_mins(4), "all has ended", async |shop| {
        shop.count("SELECT count(*) FROM observer_dlq_items").await == dead
            && shop.count("SELECT count(*) FROM tb_observer_log WHERE status = 'succeeded'").await == ORDERS
    })
    .await;
    assert_eq!(i64::try_from(shop.receiver.count()).unwrap(), ORDERS, "each webhook came once");
    for (name, _, code) in ways {
        let ended =
            format!("SELECT count(*) FROM observer_dlq_items WHERE observer = '{name}' AND code = '{code}'");
        assert_eq!(shop.count(&ended).await, ORDERS, "{name}");
    }
    let told: String =
        shop.value("SELECT last_error FROM observer_dlq_items WHERE observer = 'panics' LIMIT 1").await;
    assert!(told.contains("acsecret") && !told.contains(TOKEN), "a guest knows the handle only: {told}");
    assert!(host.stop(), "{}", shop.host_log());
}
