//! Deliveries that a living host owns and does not bring to an end.

use std::time::Duration;

use aftercommit_tests::Answer;

use crate::shop::Shop;

const SOON: Duration = Duration::from_secs(20);
/// A third of it passes until a host looks for what it has lost track of.
const CONFIG: &str = "[dispatch]\nlease_timeout_ms = 1000\n";

fn observer(retry: &str, url: &str) -> String {
    format!(
        "[[observers]]\nname = \"watcher\"\nentity_type = \"Order\"\nretry = {{ {retry} }}\n\
         [[observers.actions]]\ntype = \"webhook\"\nurl = \"{url}\"\ngrants = {{ private_network = true }}\n"
    )
}

/// Someone's trigger does not let the end be written: the delivery is not made for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_whose_end_is_refused_ends_with_its_attempts() {
    let shop = Shop::open(CONFIG).await;
    let retry = "max_attempts = 3, initial_delay_ms = 10, max_delay_ms = 20";
    shop.observe(&observer(retry, &shop.receiver.url("/hook")));
    shop.sql(
        "CREATE TRIGGER refuse BEFORE INSERT ON tb_observer_log WHEN NEW.status = 'succeeded'
         BEGIN SELECT RAISE(ABORT, 'no success is logged here'); END",
    )
    .await;
    let host = shop.start_host();
    shop.sql("INSERT INTO orders VALUES (1, 'pending', 5)").await;
    shop.eventually(SOON, "it is dead", async |shop| {
        shop.count("SELECT count(*) FROM observer_dlq_items WHERE code = 'host_lost' AND attempts = 4").await
            == 1
    })
    .await;
    assert_eq!(shop.receiver.count(), 3, "no more effects than attempts");
    assert_eq!(shop.count("SELECT count(*) FROM tb_observer_log WHERE status = 'lost'").await, 3);
    assert!(shop.host_log().contains("no success is logged here"));
    assert!(host.stop());
}

/// As after a claim that was committed and whose answer did not come.
#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_that_its_host_does_not_know_of_is_made_by_it() {
    let shop = Shop::open(CONFIG).await;
    let retry = "max_attempts = 3, initial_delay_ms = 60000, max_delay_ms = 60000";
    shop.observe(&observer(retry, &shop.receiver.url("/hook")));
    shop.receiver.respond(|_| Answer::status(503));
    let host = shop.start_host();
    shop.sql("INSERT INTO orders VALUES (1, 'pending', 5)").await;
    shop.eventually(SOON, "it waits", async |shop| {
        shop.count("SELECT count(*) FROM observer_deliveries WHERE state = 'waiting'").await == 1
    })
    .await;
    shop.receiver.respond(|_| Answer::status(200));
    shop.sql(
        "UPDATE observer_deliveries SET state = 'running', owner = (SELECT id FROM observer_hosts),
             attempts = attempts + 1, next_attempt_at = NULL",
    )
    .await;
    shop.receiver.wait_for(2).await;
    assert!(host.stop());
    assert_eq!(shop.count("SELECT count(*) FROM observer_deliveries").await, 0);
    let lost =
        "SELECT count(*) FROM tb_observer_log WHERE status = 'lost' AND code = 'lost_track' AND attempt = 2";
    assert_eq!(shop.count(lost).await, 1);
}
