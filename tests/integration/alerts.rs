//! A person is told when deliveries fail for good: once in a span of time, by any plugin, and never of that itself.

use std::time::Duration;

use aftercommit_tests::{Answer, Received};
use serde_json::Value;

use crate::shop::{Database, Shop, webhook};

const SOON: Duration = Duration::from_mins(1);

/// What came to one path.
fn at<D>(shop: &Shop<D>, path: &str) -> Vec<Received> {
    shop.receiver.received().into_iter().filter(|request| request.path == path).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_is_told_on_sqlite() {
    one_is_told(Shop::open("").await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_is_told_on_postgres() {
    one_is_told(Shop::on_postgres("").await).await;
}

/// What the hook is told to fail with says whose failure it is.
async fn one_is_told<D: Database>(shop: Shop<D>) {
    let alert = format!(
        r#"on_failure = "alert"
alert_interval_secs = 86400
alert = {{ type = "webhook", url = "{}", body_template = '{{"text": "{{{{observer}}}}/{{{{action}}}} gave up {{{{event.entity_type}}}} {{{{event.entity_id}}}} of {{{{event.data.total}}}}: {{{{code}}}}"}}', grants = {{ private_network = true }} }}"#,
        shop.receiver.url("/person")
    );
    // It wants everything, alerts too if it could see them.
    let all = webhook("all", "", &shop.receiver.url("/all")).replace("entity_type = \"Order\"\n", "");
    shop.observe(&format!("{}{all}", webhook("refused", &alert, &shop.receiver.url("/hook"))));
    shop.receiver.respond(|request| Answer::status(if request.path == "/hook" { 422 } else { 200 }));
    let host = shop.start_host();
    shop.sql(
        "WITH RECURSIVE n (id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n WHERE id < 40)
         INSERT INTO orders SELECT id, 'pending', 7.25 FROM n",
    )
    .await;
    shop.eventually(SOON, "all were refused, and one was told", async |shop| {
        at(shop, "/hook").len() == 40 && !at(shop, "/person").is_empty()
    })
    .await;
    shop.all_done(SOON).await;
    assert!(host.stop());
    assert_eq!(at(&shop, "/all").len(), 40, "alerts are for the alert action alone");
    let told = at(&shop, "/person");
    assert_eq!(told.len(), 1);
    let told: Value = serde_json::from_slice(&told[0].body).unwrap();
    let text = told["text"].as_str().unwrap();
    assert!(
        text.starts_with("refused/webhook gave up Order ") && text.ends_with(" of 7.25: http_status"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_that_fails_is_logged_and_told_to_nobody() {
    let shop = Shop::open("").await;
    let alert = format!(
        r#"on_failure = "alert"
alert_interval_secs = 1
alert = {{ type = "webhook", url = "{}", retry = {{ max_attempts = 2, initial_delay_ms = 1 }}, grants = {{ private_network = true }} }}"#,
        shop.receiver.url("/person")
    );
    shop.observe(&webhook("refused", &alert, &shop.receiver.url("/hook")));
    shop.receiver.respond(|request| Answer::status(if request.path == "/hook" { 422 } else { 503 }));
    let host = shop.start_host();
    shop.sql("INSERT INTO orders VALUES (1, 'pending', 5)").await;
    shop.eventually(SOON, "the alert was given up", async |shop| {
        shop.count("SELECT count(*) FROM tb_observer_log WHERE action = 'alert' AND status = 'failed'").await
            == 1
    })
    .await;
    // A second failure, in another span of time, alerts again; the failed alert did not.
    shop.sql("INSERT INTO orders VALUES (2, 'pending', 5)").await;
    shop.eventually(SOON, "both were refused", async |shop| at(shop, "/hook").len() == 2).await;
    assert!(host.stop());
    let alerts =
        shop.count("SELECT count(*) FROM observer_events WHERE entity_type = 'observer_alert'").await;
    assert!((1..=2).contains(&alerts), "{alerts}");
    assert_eq!(shop.count("SELECT count(*) FROM observer_dlq_items").await, 0);
    let told = at(&shop, "/person");
    assert!(told.len() >= 2, "it was tried twice");
}
