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

/// As after a claim that was committed and whose answer did not come.
#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_that_its_host_does_not_know_of_is_made_by_it() {
    let shop = Shop::open(CONFIG).await;
    let retry = "max_attempts = 3, initial_delay_ms = 60000, max_delay_ms = 60000";
    shop.observe(&observer(retry, &shop.receiver.url("/hook")));
    shop.receiver.respond(|_| Answer::status(503));
    let host = shop.start_host();
    shop.sql("INSERT INTO orders VALUES (1, 'pending', 5)");
    shop.eventually(SOON, "it waits", async |shop| {
        shop.count("SELECT count(*) FROM observer_deliveries WHERE state = 'waiting'") == 1
    })
    .await;
    shop.receiver.respond(|_| Answer::status(200));
    shop.sql(
        "UPDATE observer_deliveries SET state = 'running', owner = (SELECT id FROM observer_hosts),
             attempts = attempts + 1, next_attempt_at = NULL",
    );
    shop.receiver.wait_for(2).await;
    assert!(host.stop());
    assert_eq!(shop.count("SELECT count(*) FROM observer_deliveries"), 0);
    let lost =
        "SELECT count(*) FROM tb_observer_log WHERE status = 'lost' AND code = 'lost_track' AND attempt = 2";
    assert_eq!(shop.count(lost), 1);
}
