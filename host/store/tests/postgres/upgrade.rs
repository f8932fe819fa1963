//! Databases that programs of earlier schema versions made, used and left.

use aftercommit_store::{Captures as _, PostgresOptions, Schema as _, conformance::TestDatabase as _};

use crate::{
    database::{Database, execute},
    upgraded::{self, Expected},
};

const LEFT: &str = include_str!("../../../../tests/fixtures/upgrade/postgres.sql");
const LEFT_BY_VERSION_4: &str = include_str!("../../../../tests/fixtures/upgrade/postgres-4.sql");

const EXPECTED: Expected = Expected {
    handled: &[
        r#"created Order 1 {"id":1,"customer":"first","status":"new","total":10.50,"note":"one"}"#,
        r#"created Order 2 {"id":2,"customer":"busy","status":"new","total":20,"note":"two"}"#,
        r#"created Order 3 {"id":3,"customer":"refused","status":"new","total":30,"note":"three"}"#,
        r#"created Order 4 {"id":4,"customer":"refused","status":"new","total":40,"note":"four"}"#,
        r#"created Order 5 {"id":5,"customer":"fifth","status":"paid","total":12345678901234567890.10,"note":"Zoë's \"five\""}"#,
        r#"updated Order 1 {"id":1,"customer":"first","status":"paid","total":11,"note":"one"} was {"id":1,"customer":"first","status":"new","total":10.50,"note":"one"}"#,
        r#"updated Order 2 {"id":2,"customer":"busy","status":"paid","total":20,"note":"two"} was {"id":2,"customer":"busy","status":"new","total":20,"note":"two"}"#,
        r#"created OrderLine 1:1 {"order_id":1,"line":1,"product":"tea","quantity":2}"#,
        r#"created OrderLine 1:2 {"order_id":1,"line":2,"product":"coffee","quantity":1}"#,
        r#"created OrderLine 2:1 {"order_id":2,"line":1,"product":"tea","quantity":5}"#,
        r#"updated OrderLine 1:1 {"order_id":1,"line":1,"product":"tea","quantity":3} was {"order_id":1,"line":1,"product":"tea","quantity":2}"#,
        r#"deleted OrderLine 1:2 {"order_id":1,"line":2,"product":"coffee","quantity":1}"#,
        r#"created Reading attic:2026-01-31 {"sensor":"attic","day":"2026-01-31","value":21.5}"#,
        r#"created Reading attic:2026-02-01 {"sensor":"attic","day":"2026-02-01","value":20.25}"#,
        r#"created Reading cellar:2026-02-01 {"sensor":"cellar","day":"2026-02-01","value":9.75}"#,
        r#"created Stock A1 {"code":"A1","quantity":5}"#,
        r#"updated Stock A1 {"code":"A1","quantity":4} was {"code":"A1","quantity":5}"#,
        r#"deleted Order 5 {"id":5,"customer":"fifth","status":"paid","total":12345678901234567890.10,"note":"Zoë's \"five\""}"#,
        r#"created Invoice 1 {"sum":1.50} t1 ann"#,
        r#"updated Invoice 1 {"sum":2} was {"sum":1.50} t1 bob"#,
    ],
    waiting: &[
        r#"custom Order 1 {"by":"hand","n":0.10}"#,
        r#"created Order 6 {"id":6,"customer":"sixth","status":"new","total":0.10,"note":"six"}"#,
        r#"created Order 7 {"id":7,"customer":"seventh","status":"new","total":70,"note":null}"#,
        r#"updated Order 6 {"id":6,"customer":"sixth","status":"sent","total":100000000000000000000,"note":"six"} was {"id":6,"customer":"sixth","status":"new","total":0.10,"note":"six"}"#,
        r#"updated Order 3 {"id":3,"customer":"refused","status":"new","total":30,"note":"three!"} was {"id":3,"customer":"refused","status":"new","total":30,"note":"three"}"#,
        r#"updated Order 4 {"id":4,"customer":"refused","status":"new","total":40,"note":"four!"} was {"id":4,"customer":"refused","status":"new","total":40,"note":"four"}"#,
        r#"updated Order 1 {"id":1,"customer":"first","status":"paid","total":11,"note":"one!"} was {"id":1,"customer":"first","status":"paid","total":11,"note":"one"}"#,
        r#"created OrderLine 6:1 {"order_id":6,"line":1,"product":"bread","quantity":2}"#,
        r#"deleted OrderLine 6:1 {"order_id":6,"line":1,"product":"bread","quantity":2}"#,
        r#"created OrderLine 6:9 {"order_id":6,"line":9,"product":"bread","quantity":2}"#,
        r#"deleted OrderLine 2:1 {"order_id":2,"line":1,"product":"tea","quantity":5}"#,
        r#"created Reading cellar:2026-01-15 {"sensor":"cellar","day":"2026-01-15","value":8.5}"#,
        r#"deleted Reading cellar:2026-01-15 {"sensor":"cellar","day":"2026-01-15","value":8.5}"#,
        r#"created Reading cellar:2026-02-15 {"sensor":"cellar","day":"2026-02-15","value":8.5}"#,
        r#"created Stock B2 {"code":"B2","quantity":7}"#,
        r#"deleted Stock A1 {"code":"A1","quantity":4}"#,
        r#"deleted Order 7 {"id":7,"customer":"seventh","status":"new","total":70,"note":null}"#,
        r#"created Invoice 3 {"sum":3.00} t2 eve"#,
        r#"deleted Invoice 1 {"sum":2} t2"#,
    ],
    put_aside: &[
        "Stock it has no entity_id",
        "Invoice event_kind",
        "Stock it has no entity_id",
        "Invoice event_kind",
    ],
    captures: &[
        "core.tb_entity_change_log *  rings",
        "order_lines OrderLine order_id,line silent",
        "orders Order id rings",
        "readings Reading sensor,day rings",
        "warehouse.stock Stock code rings",
    ],
};

/// Each captured table, through each of its names.
const CHANGES: &str = "
    INSERT INTO orders (customer, total) VALUES ('eighth', 8.80);
    UPDATE order_lines SET quantity = 1 WHERE order_id = 6;
    DELETE FROM order_lines WHERE order_id = 6;
    INSERT INTO readings VALUES ('shed', '2026-01-01', 1.5);
    UPDATE readings_january SET value = 2 WHERE sensor = 'shed';
    DELETE FROM warehouse.stock WHERE code = 'B2';
    INSERT INTO core.tb_entity_change_log (object_type, object_id, modification_type, object_data, tenant_id)
    VALUES ('Invoice', '9', 'INSERT', '{\"sum\": 9.90}', 't9');";

const CHANGED: &[&str] = &[
    r#"created Order 8 {"id":8,"customer":"eighth","status":null,"total":8.80,"note":null}"#,
    r#"updated OrderLine 6:9 {"order_id":6,"line":9,"product":"bread","quantity":1} was {"order_id":6,"line":9,"product":"bread","quantity":2}"#,
    r#"deleted OrderLine 6:9 {"order_id":6,"line":9,"product":"bread","quantity":1}"#,
    r#"created Reading shed:2026-01-01 {"sensor":"shed","day":"2026-01-01","value":1.5}"#,
    r#"updated Reading shed:2026-01-01 {"sensor":"shed","day":"2026-01-01","value":2} was {"sensor":"shed","day":"2026-01-01","value":1.5}"#,
    r#"deleted Stock B2 {"code":"B2","quantity":7}"#,
    r#"created Invoice 9 {"sum":9.90} t9"#,
];

/// Restored by the superuser, who also migrates.
async fn upgraded() -> Database {
    let database = restored(LEFT).await;
    database.store.migrate().await.unwrap();
    database.store.check_schema().await.unwrap();
    database
}

async fn restored(left: &str) -> Database {
    let database = Database::empty(PostgresOptions::default()).await;
    execute(&mut database.connect().await, left).await.unwrap();
    database
}

#[tokio::test]
async fn all_is_listed() {
    upgraded::all_is_listed(&upgraded().await, &EXPECTED).await;
}

#[tokio::test]
async fn what_waited_is_taken_once() {
    upgraded::what_waited_is_taken_once(&upgraded().await, &EXPECTED).await;
}

#[tokio::test]
async fn changes_are_events() {
    upgraded::changes_are_events(&upgraded().await, CHANGES, CHANGED).await;
}

#[tokio::test]
async fn deliveries_go_on() {
    upgraded::deliveries_go_on(&upgraded().await).await;
}

/// All that it captured waits. Its functions go on until they are written again, which `migrate` does.
#[tokio::test]
async fn captures_of_version_4_lose_nothing() {
    let database = restored(LEFT_BY_VERSION_4).await;
    database.store.migrate().await.unwrap();
    let captures = database.store.captures().await.unwrap();
    assert_eq!((captures.len(), captures.iter().find_map(|status| status.drift.as_deref())), (5, None));
    // All but those of `order_lines`, which never rings.
    let reading = "SELECT count(*)::text FROM pg_proc
        WHERE proname LIKE 'observer\\_capture\\_%' AND prosrc LIKE '%observer\\_bell%'";
    assert_eq!(database.ask(reading).await.as_deref(), Some("10"));
    let taken: Vec<_> = upgraded::take_all(&database).await.iter().map(upgraded::line).collect();
    assert_eq!(taken, [EXPECTED.handled, &EXPECTED.waiting[1..]].concat());
    database.sql("INSERT INTO orders (customer, total) VALUES ('last', 1)").await;
    let taken: Vec<_> = upgraded::take_all(&database).await.iter().map(upgraded::line).collect();
    assert_eq!(taken, [r#"created Order 8 {"id":8,"customer":"last","status":null,"total":1,"note":null}"#]);
}
