//! The webhook as its receiver sees it.

use standardwebhooks::Webhook;

use crate::shop::{SECRET, Shop};

fn signed(url: &str) -> String {
    format!(
        r#"
[[observers]]
name = "order-shipped"
entity_type = "Order"
event_kind = "updated"
condition = "CHANGED_TO(status, 'shipped')"
[[observers.actions]]
type = "webhook"
url = "{url}"
signing_secrets = ["${{secret:WEBHOOK_SECRET}}"]
grants = {{ private_network = true }}
"#
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_committed_row_arrives_signed_and_exact() {
    let shop = Shop::open("").await;
    shop.observe(&signed(&shop.receiver.url("/hook")));
    let host = shop.start_host();
    shop.sql("INSERT INTO orders VALUES (7, 'pending', 9007199254740993), (8, 'pending', 10)").await;
    shop.sql("UPDATE orders SET status = 'shipped' WHERE id = 7").await;

    let received = &shop.receiver.wait_for(1).await[0];
    let body = std::str::from_utf8(&received.body).unwrap();
    Webhook::new(SECRET).unwrap().verify(body.as_bytes(), &received.headers).unwrap();
    let message: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(message["type"], "order.updated");
    assert_eq!(message["data"]["entity_id"], "7");
    assert_eq!(message["data"]["changed"], serde_json::json!(["status"]));
    assert_eq!(message["data"]["old"]["status"], "pending");
    assert!(body.contains(r#""total":9007199254740993"#), "a number lost digits: {body}");

    shop.eventually(std::time::Duration::from_secs(10), "the delivery ends", async |shop| {
        shop.count("SELECT count(*) FROM observer_deliveries").await == 0
    })
    .await;
    assert!(host.stop());
    assert_eq!(shop.receiver.count(), 1, "only the order that was shipped is told");
    assert_eq!(shop.count("SELECT count(*) FROM tb_observer_log WHERE status = 'succeeded'").await, 1);
}
