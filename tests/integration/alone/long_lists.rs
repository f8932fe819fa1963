//! Lists that are many times longer than the memory that their commands have.

use std::{
    fs::File,
    io::{BufRead as _, BufReader},
    process::Stdio,
};

use crate::{
    memory_group::MemoryGroup,
    shop::{Database, Shop},
};

/// Small rows, and rows that have more.
const EVENTS: usize = 200_000;
const OTHERS: usize = 25_000;

/// A command that held the rows would need several times as much.
const LIMIT_MIB: u64 = 96;

/// Spellings of one database.
struct Dialect {
    id: &'static str,
    at: &'static str,
    columns_of_delivery: &'static str,
    values_of_delivery: &'static str,
}

const SQLITE: Dialect = Dialect {
    id: "'00000000-0000-4000-8000-' || printf('%012d', n)",
    at: "'2026-01-01T00:00:00.' || printf('%06d', n) || 'Z'",
    columns_of_delivery: "",
    values_of_delivery: "",
};

const POSTGRES: Dialect = Dialect {
    id: "('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid",
    at: "timestamptz '2026-01-01 00:00:00Z' + n * interval '1 us'",
    columns_of_delivery: ", event_at, event_id",
    values_of_delivery: ", now(), gen_random_uuid()",
};

/// Fills all that is listed.
async fn fill<D: Database>(shop: &Shop<D>, dialect: &Dialect) {
    let Dialect { id, at, columns_of_delivery, values_of_delivery } = dialect;
    let up_to = |last: usize| {
        format!("WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {last})")
    };
    let (all, numbers) = (up_to(EVENTS), up_to(OTHERS));
    let data = format!("'{{\"note\": \"{}\"}}'", "x".repeat(200));
    shop.sql(&format!(
        "INSERT INTO observer_events (seq, id, entity_type, entity_id, event_kind, occurred_at, data)
         {all} SELECT n, {id}, 'Order', CAST(n AS TEXT), 'created', {at}, '{{\"n\": 1}}' FROM n"
    ))
    .await;
    shop.sql(&format!(
        "INSERT INTO observer_deliveries (id, event_seq, position, observer, action, action_type, state, priority, attempts,
             max_attempts, last_error, created_at{columns_of_delivery})
         {numbers} SELECT {id}, n, 0, 'orders', 'hook', 'webhook', 'ready', 100, 1, 3, 'the receiver answered 503', {at}
         {values_of_delivery} FROM n"
    ))
    .await;
    shop.sql(&format!(
        "INSERT INTO observer_dlq_items (id, event_seq, event_id, entity_type, entity_id, event_kind, occurred_at, data, position,
             observer, action, action_type, action_config, priority, attempts, attempts_before, max_attempts, class, code,
             last_error, died_at)
         {numbers} SELECT {id}, n, {id}, 'Order', CAST(n AS TEXT), 'created', {at}, {data}, 0, 'orders', 'hook', 'webhook', '{{}}',
             100, 3, 0, 3, 'permanent', 'http_410', 'the receiver answered 410', {at} FROM n"
    ))
    .await;
}

/// What a command prints that has little memory.
fn printed<D: Database>(shop: &Shop<D>, arguments: &[&str]) -> BufReader<File> {
    let group = MemoryGroup::create(LIMIT_MIB << 20);
    let path = shop.path("printed");
    let mut command = shop.command_in(&group, &[arguments, &["--limit", "1000000"]].concat());
    let ended = command.stdin(Stdio::null()).stdout(File::create(&path).unwrap()).output().unwrap();
    let errors = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{arguments:?}: {}\n{errors}", ended.status);
    BufReader::new(File::open(&path).unwrap())
}

async fn lists_have_the_memory_of_a_page<D: Database>(shop: &Shop<D>, dialect: &Dialect) {
    fill(shop, dialect).await;
    let events = printed(shop, &["events", "list", "--output", "json"]);
    // Each closes the array, or is behind a comma.
    let elements =
        events.split(b'}').filter(|part| part.as_ref().is_ok_and(|part| part.starts_with(b",{\"id\"")));
    assert_eq!(elements.count(), EVENTS - 1, "events");
    for list in ["deliveries", "dlq"] {
        let lines = printed(shop, &[list, "list"]).lines();
        assert_eq!(
            lines.filter(|line| line.as_ref().is_ok_and(|line| line.contains("orders"))).count(),
            OTHERS,
            "{list}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn long_lists_of_sqlite_have_the_memory_of_a_page() {
    lists_have_the_memory_of_a_page(&Shop::open("").await, &SQLITE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn long_lists_of_postgres_have_the_memory_of_a_page() {
    lists_have_the_memory_of_a_page(&Shop::on_postgres("").await, &POSTGRES).await;
}
