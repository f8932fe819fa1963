//! `examples/actions/log.toml`.

use super::example::{example, logged, shop};

#[tokio::test(flavor = "multi_thread")]
async fn the_example_writes_its_lines() {
    let shop = shop(&example("log", &[]), &[]).await;
    let host = shop.start_host();
    shop.sql("INSERT INTO orders VALUES (7, 'pending', 1.5)").await;
    shop.sql("DELETE FROM orders").await;
    logged(&shop, 3).await;
    assert!(host.stop());
    let log = shop.host_log();
    let line =
        |text: &str| log.lines().find(|line| line.contains(text)).unwrap_or_else(|| panic!("{text}\n{log}"));
    let created = line("order 7 was created");
    assert!(created.contains("INFO") && created.contains("pending") && created.contains("1.5"), "{created}");
    assert!(line("order 7 is gone, it was pending").contains("WARN"));
}
