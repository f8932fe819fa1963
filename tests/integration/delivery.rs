//! The life of a delivery, on either database: retries, dead letters, replay, order, reload, stop.

use std::time::Duration;

use aftercommit_tests::Answer;
use serde_json::json;

use crate::shop::{Database, Shop, webhook};

const SOON: Duration = Duration::from_mins(1);

const FAST: &str = "retry = { max_attempts = 3, initial_delay_ms = 10, max_delay_ms = 20 }";

/// Each case on either database, with what it adds to the configuration.
macro_rules! cases {
    ($($case:ident: $config:expr),* $(,)?) => {
        mod on_sqlite {
            use crate::shop::Shop;
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                super::$case(Shop::open($config).await).await;
            })*
        }

        mod on_postgres {
            use crate::shop::Shop;
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                super::$case(Shop::on_postgres($config).await).await;
            })*
        }
    };
}

pub(crate) use cases;

cases! {
    what_fails_is_retried_then_dead_then_replayed_with_the_same_id: "",
    one_entity_in_order_though_the_first_attempts_fail: "",
    a_running_host_follows_the_table_and_keeps_the_last_good_version: "",
    a_hanging_destination_does_not_slow_another: "",
    a_removed_observer_ends_its_deliveries_dead_and_a_disabled_one_lets_them_wait: "",
    a_host_that_stops_finishes_what_runs_and_hands_back_the_rest: "[dispatch]\nper_destination = 2\nmax_concurrency = 2\n",
    a_condition_that_can_not_be_evaluated_is_on_record_and_others_go_on: "",
}

async fn what_fails_is_retried_then_dead_then_replayed_with_the_same_id<D: Database>(shop: Shop<D>) {
    shop.observe(&webhook("flaky", FAST, &shop.receiver.url("/flaky")));
    shop.receiver.respond(|_| Answer::status(503));
    let host = shop.start_host();
    shop.sql("INSERT INTO orders VALUES (1, 'pending', 5)").await;
    shop.eventually(SOON, "it is dead", async |shop| {
        shop.count("SELECT count(*) FROM observer_dlq_items").await == 1
    })
    .await;
    assert_eq!(shop.receiver.count(), 3);

    let letters = shop.json(&["dlq", "list"]);
    let letter = &letters[0];
    let shown = shop.json(&["dlq", "show", letter["id"].as_str().unwrap()]);
    shop.write("letter.json", &shown.to_string());
    let eval = ["condition", "eval", "total = 5 AND status = 'pending'", "--event", "letter.json"];
    assert_eq!(shop.run(&eval), "true\n");
    assert_eq!(letter["observer"], "flaky");
    assert_eq!(letter["action"], "webhook");
    assert_eq!(letter["status"], "dead");
    assert_eq!((letter["attempts"].clone(), letter["max_attempts"].clone()), (json!(3), json!(3)));
    assert!(letter["last_error"].as_str().unwrap().contains("503"), "{letter}");

    shop.receiver.respond(|_| Answer::status(200));
    let id = letter["id"].as_str().unwrap();
    shop.run(&["dlq", "retry", id]);
    let received = shop.receiver.wait_for(4).await;
    assert!(received.iter().all(|request| request.header("webhook-id") == id), "the id changed");
    assert!(host.stop());
    assert_eq!(shop.json(&["dlq", "list"]), json!([]));
    assert_eq!(shop.count("SELECT count(*) FROM tb_observer_log").await, 4);
}

async fn one_entity_in_order_though_the_first_attempts_fail<D: Database>(shop: Shop<D>) {
    let more = format!("ordering = \"per_entity\"\n{FAST}");
    shop.observe(&webhook("ordered", &more, &shop.receiver.url("/ordered")));
    // The first attempt of each delivery fails.
    let seen = std::sync::Mutex::new(std::collections::HashSet::new());
    shop.receiver.respond(move |request| {
        let first = seen.lock().unwrap().insert(request.header("webhook-id").to_owned());
        Answer::status(if first { 500 } else { 200 })
    });
    let host = shop.start_host();
    shop.sql("INSERT INTO orders VALUES (1, 'v0', 5), (2, 'v0', 5)").await;
    for version in 1..=5 {
        shop.sql(&format!("UPDATE orders SET status = 'v{version}'")).await;
    }
    let received = shop.receiver.wait_for(24).await;
    assert!(host.stop());
    for entity in ["1", "2"] {
        let versions: Vec<String> = received
            .iter()
            .map(|request| serde_json::from_slice::<serde_json::Value>(&request.body).unwrap())
            .filter(|message| message["data"]["entity_id"] == entity)
            .map(|message| message["data"]["data"]["status"].as_str().unwrap().to_owned())
            .collect();
        let expected: Vec<String> =
            (0..=5).flat_map(|version| [format!("v{version}"), format!("v{version}")]).collect();
        assert_eq!(versions, expected, "entity {entity}");
    }
}

async fn a_running_host_follows_the_table_and_keeps_the_last_good_version<D: Database>(shop: Shop<D>) {
    shop.observe(&webhook("follow", "condition = \"total > 10\"", &shop.receiver.url("/one")));
    let host = shop.start_host();
    shop.observe(&webhook("follow", "condition = \"total > 10\"", &shop.receiver.url("/two")));
    shop.eventually(SOON, "the host has reloaded", async |shop| {
        shop.host_log().matches("observers loaded").count() >= 2
    })
    .await;
    shop.sql("INSERT INTO orders VALUES (1, 'pending', 11), (2, 'pending', 9)").await;
    assert_eq!(shop.receiver.wait_for(1).await[0].path, "/two");

    // Written by hand, past all checks.
    shop.sql("UPDATE tb_observer SET condition = 'total >' WHERE name = 'follow'").await;
    shop.eventually(SOON, "the broken version is shown", async |shop| {
        let listed = shop.json(&["observers", "list"]);
        listed[0].to_string().contains("condition") && listed[0]["error"].is_string()
    })
    .await;
    shop.sql("INSERT INTO orders VALUES (3, 'pending', 12)").await;
    assert_eq!(shop.receiver.wait_for(2).await[1].path, "/two");
    assert!(host.stop());
}

async fn a_hanging_destination_does_not_slow_another<D: Database>(shop: Shop<D>) {
    let hanging = aftercommit_tests::Receiver::start().await;
    hanging.respond(|_| Answer { after: Duration::from_mins(2), ..Answer::status(200) });
    // Not given up before the test ends, so that what was sent at all was sent at once.
    let slow = webhook("slow", "", &hanging.url("/slow")) + "timeout_ms = 120000\n";
    let both = slow + &webhook("quick", "", &shop.receiver.url("/quick"));
    shop.observe(&both);
    let host = shop.start_host();
    let rows: Vec<String> = (1..=2000).map(|id| format!("({id}, 'pending', 1)")).collect();
    shop.sql(&format!("INSERT INTO orders VALUES {}", rows.join(","))).await;
    shop.receiver.wait_for(2000).await;
    assert!(hanging.count() <= 16, "more than per_destination requests at once: {}", hanging.count());
    host.kill();
}

async fn a_removed_observer_ends_its_deliveries_dead_and_a_disabled_one_lets_them_wait<D: Database>(
    shop: Shop<D>,
) {
    let both = webhook(
        "removed",
        "retry = { max_attempts = 5, initial_delay_ms = 1500, max_delay_ms = 1500 }",
        &shop.receiver.url("/removed"),
    ) + &webhook(
        "disabled",
        "retry = { max_attempts = 5, initial_delay_ms = 1500, max_delay_ms = 1500 }",
        &shop.receiver.url("/disabled"),
    );
    shop.observe(&both);
    shop.receiver.respond(|_| Answer::status(500));
    let host = shop.start_host();
    shop.sql("INSERT INTO orders VALUES (1, 'pending', 1)").await;
    shop.receiver.wait_for(2).await;
    shop.sql("DELETE FROM tb_observer WHERE name = 'removed'").await;
    shop.run(&["observers", "disable", "disabled"]);
    shop.eventually(SOON, "the removed one is dead", async |shop| {
        shop.count("SELECT count(*) FROM observer_dlq_items WHERE code = 'observer_removed'").await == 1
    })
    .await;
    let waiting = shop.json(&["deliveries", "list"]);
    assert_eq!(waiting.as_array().unwrap().len(), 1, "{waiting}");
    assert_eq!(waiting[0]["observer"], "disabled");
    shop.receiver.respond(|_| Answer::status(200));
    shop.run(&["observers", "enable", "disabled"]);
    shop.eventually(SOON, "the enabled one is delivered", async |shop| {
        shop.count("SELECT count(*) FROM observer_deliveries").await == 0
    })
    .await;
    assert!(host.stop());
}

async fn a_host_that_stops_finishes_what_runs_and_hands_back_the_rest<D: Database>(shop: Shop<D>) {
    shop.observe(&webhook("slow", "", &shop.receiver.url("/slow")));
    shop.receiver.respond(|_| Answer { after: Duration::from_millis(300), ..Answer::status(200) });
    let host = shop.start_host();
    let rows: Vec<String> = (1..=20).map(|id| format!("({id}, 'pending', 1)")).collect();
    shop.sql(&format!("INSERT INTO orders VALUES {}", rows.join(","))).await;
    shop.receiver.wait_for(2).await;
    assert!(host.stop());
    let received = shop.receiver.count();
    assert!(received < 20, "it did not stop at once");
    let left = shop.json(&["deliveries", "list"]);
    assert_eq!(left.as_array().unwrap().len(), 20 - received, "what ran was finished and the rest is there");
    assert!(
        left.as_array()
            .unwrap()
            .iter()
            .all(|delivery| delivery["status"] == "ready" && delivery["attempts"] == 0)
    );
    shop.receiver.respond(|_| Answer::status(200));
    let host = shop.start_host();
    shop.receiver.wait_for(20).await;
    assert!(host.stop());
    assert_eq!(shop.receiver.count(), 20, "nothing was delivered twice");
}

async fn a_condition_that_can_not_be_evaluated_is_on_record_and_others_go_on<D: Database>(shop: Shop<D>) {
    let broken = webhook("broken", "condition = \"status > 5\"", &shop.receiver.url("/broken"));
    shop.observe(&(broken + &webhook("sound", "", &shop.receiver.url("/sound"))));
    let host = shop.start_host();
    shop.sql("INSERT INTO orders VALUES (1, 'a-payload', 5)").await;
    assert_eq!(shop.receiver.wait_for(1).await[0].path, "/sound");
    assert!(host.stop());
    let errors =
        "SELECT count(*) FROM tb_observer_log WHERE observer = 'broken' AND status = 'condition_error'";
    assert_eq!(shop.count(errors).await, 1);
    assert_eq!(shop.receiver.count(), 1, "the delivery was not made");
    let log = shop.host_log();
    assert!(log.contains("the condition can not be evaluated") && log.contains("entity_type=Order"), "{log}");
    assert!(!log.contains("a-payload"), "a row's value is in the log: {log}");
}
