//! What would change the order of events is said when a table is captured, in the list, and by a host that runs.

use std::time::Duration;

use crate::shop::Shop;

const SOON: Duration = Duration::from_mins(1);

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_the_order_of_events_is_said_wherever_a_person_looks() {
    let shop = Shop::on_postgres("").await;
    shop.sql(
        "CREATE TABLE moods (id integer PRIMARY KEY DEFERRABLE, n integer);
         CREATE FUNCTION early() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN UPDATE moods SET n = 0 WHERE id = NEW.id - 1; RETURN NEW; END $$;
         CREATE TRIGGER early BEFORE INSERT ON moods FOR EACH ROW EXECUTE FUNCTION early()",
    )
    .await;
    let added = shop.output(&["capture", "add", "moods", "--entity", "Mood"]);
    let stderr = String::from_utf8(added.stderr).unwrap();
    assert!(added.status.success(), "{stderr}");
    for said in ["the trigger early runs before a row is changed", "the key is deferrable"] {
        assert!(stderr.contains(said), "{stderr}");
    }
    let listed = shop.json(&["capture", "list"]);
    let warnings = |table: &str| {
        let row = listed.as_array().unwrap().iter().find(|row| row["table"] == table).unwrap();
        assert!(row["drift"].is_null(), "{row}");
        row["warnings"].as_array().unwrap().len()
    };
    assert_eq!((warnings("moods"), warnings("orders")), (2, 0));
    let host = shop.start_host();
    shop.eventually(SOON, "the host says so", async |shop| {
        let log = shop.host_log();
        log.contains("the trigger early runs before") && log.contains("the key is deferrable")
    })
    .await;
    assert!(host.stop());
}
