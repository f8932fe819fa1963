//! A database in which an earlier system has a table with the name of ours: what `migrate` says, and how its observers are
//! taken over.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::database::PostgresDatabase;
use crate::shop::Shop;

/// The tables of that system, as far as they matter here.
const EARLIER: &str = r#"
CREATE TABLE tb_observer (
    pk_observer          bigserial PRIMARY KEY,
    id                   uuid NOT NULL DEFAULT gen_random_uuid(),
    name                 varchar(255) NOT NULL,
    description          text,
    entity_type          varchar(255),
    event_type           varchar(50),
    condition_expression text,
    actions              jsonb NOT NULL DEFAULT '[]',
    enabled              boolean NOT NULL DEFAULT true,
    priority             integer NOT NULL DEFAULT 100,
    retry_config         jsonb NOT NULL DEFAULT '{"max_attempts": 3, "backoff": "exponential", "initial_delay_ms": 1000}',
    timeout_ms           integer NOT NULL DEFAULT 30000,
    fk_customer_org      bigint,
    created_at           timestamptz NOT NULL DEFAULT now(),
    updated_at           timestamptz NOT NULL DEFAULT now(),
    created_by           varchar(255),
    updated_by           varchar(255),
    deleted_at           timestamptz
);
CREATE TABLE tb_observer_log (pk_observer_log bigserial PRIMARY KEY, fk_observer bigint REFERENCES tb_observer);
"#;

const ROWS: &str = r#"
INSERT INTO tb_observer (name, entity_type, event_type, condition_expression, actions, priority, description) VALUES
    ('Notify on shipping', 'Order', 'UPDATE', 'CHANGED_TO(status, ''shipped'')',
     '[{"type": "webhook", "url": "https://example.com/hook", "headers": {"X-Key": "k-7261"}, "body_template": "{\"id\": \"{{entity_id}}\"}", "url_env": null}]',
     10, E'Tells the warehouse\nand nobody else'),
    ('any-kind', 'Order', NULL, '', '[{"type": "log", "message": "{{entity_id}}", "timeout_ms": 500}]', 100, NULL),
    ('all-types', NULL, 'DELETE', NULL, '[{"type": "log", "message": "gone"}]', 1000, NULL);
INSERT INTO tb_observer (name, entity_type, event_type, condition_expression, actions, fk_customer_org, enabled, retry_config) VALUES
    ('tenant', 'Order', 'INSERT', 'total > 5 OR total IS NULL', '[{"type": "log", "message": "one"}]', 42, false,
     '{"max_attempts": 7, "initial_delay_ms": 250, "max_delay_ms": 9000, "backoff_strategy": "Linear", "shuffle": "k-9113"}'),
    ('tenant', 'Order', 'INSERT', NULL, '[{"type": "log", "message": "two"}]', 43, true, '[]');
INSERT INTO tb_observer (name, event_type, condition_expression, actions) VALUES
    ('bad condition', 'INSERT', 'total >', '[{"type": "log", "message": "k-5522"}]'),
    (E'evil\n[[observers]]\nname = "x"', 'INSERT', NULL, '{"type": "log"}'),
    ('unknown', 'INSERT', NULL, '[{"type": "fax", "number": 12345678901234567890}]');
INSERT INTO tb_observer (name, actions, deleted_at) VALUES ('Notify on shipping', '[]', now());
"#;

async fn shop() -> Shop<PostgresDatabase> {
    let folder = TempDir::new().expect("a temporary folder");
    let shop = Shop::unmigrated(folder, PostgresDatabase::shared().await, "").await;
    shop.sql(EARLIER).await;
    shop
}

/// Gives the host's tables a schema of their own, as `migrate` says.
fn move_out(shop: &Shop<PostgresDatabase>) {
    let config = std::fs::read_to_string(shop.path("aftercommit.toml")).unwrap();
    shop.write(
        "aftercommit.toml",
        &config.replacen("[database]\n", "[database]\nschema = \"aftercommit\"\n", 1),
    );
}

fn by_name<'a>(observers: &'a [Value], name: &str) -> &'a Value {
    observers
        .iter()
        .find(|observer| observer["name"] == name)
        .unwrap_or_else(|| panic!("no {name}: {observers:?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn observers_of_an_earlier_system_are_taken_over() {
    let shop = shop().await;
    shop.sql(ROWS).await;
    let refused = shop.output(&["migrate"]);
    let stderr = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("a table `tb_observer` already"), "{stderr}");
    assert!(stderr.contains("schema = \"aftercommit\""), "{stderr}");
    assert!(stderr.contains("`aftercommit observers import observers.toml --schema public`"), "{stderr}");
    move_out(&shop);
    shop.run(&["migrate"]);

    let import = ["observers", "import", "imported.toml", "--schema", "public", "--output", "json"];
    let done = shop.output(&import);
    let stderr = String::from_utf8_lossy(&done.stderr).into_owned();
    assert_eq!(done.status.code(), Some(1), "three can not be taken over: {stderr}");
    let said: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(
        said["observers"],
        json!(["Notify-on-shipping", "any-kind", "all-types", "tenant", "tenant-2"])
    );
    assert_eq!(said["deleted"], json!(["Notify on shipping"]));
    let comments: Vec<_> = said["left_as_comments"]
        .as_array()
        .unwrap()
        .iter()
        .map(|pair| pair["name"].as_str().unwrap())
        .collect();
    assert_eq!(comments, ["bad-condition", "evil---observers---name----x", "unknown"]);
    for remark in
        ["event_type was null", "organization 42 only", "`shuffle` of its retry_config", "no object"]
    {
        assert!(stderr.contains(remark), "{remark}: {stderr}");
    }
    let text = std::fs::read_to_string(shop.path("imported.toml")).unwrap();
    for secret in ["k-7261", "k-9113", "k-5522"] {
        assert!(text.contains(secret), "nothing is lost: {text}");
        assert!(!stderr.contains(secret) && !said.to_string().contains(secret), "nothing is told: {stderr}");
    }
    assert_eq!(shop.path("imported.toml").metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert!(text.contains("# and nobody else") && text.contains("# type = \"fax\""), "{text}");
    let again = shop.output(&import);
    assert_eq!(again.status.code(), Some(1));
    assert_eq!(std::fs::read_to_string(shop.path("imported.toml")).unwrap(), text, "nothing is written over");

    shop.run(&["observers", "validate", "imported.toml"]);
    shop.run(&["observers", "apply", "imported.toml"]);
    let listed = shop.json(&["observers", "list"]);
    let listed = listed.as_array().unwrap();
    assert_eq!(listed.len(), 5);
    let shipping = by_name(listed, "Notify-on-shipping");
    assert_eq!((&shipping["event_kind"], &shipping["priority"]), (&json!("updated"), &json!(990)));
    assert_eq!(shipping["condition"], "CHANGED_TO(status, 'shipped')");
    assert_eq!(by_name(listed, "any-kind")["event_kind"], "created");
    assert_eq!(
        (&by_name(listed, "all-types")["entity_type"], &by_name(listed, "all-types")["priority"]),
        (&json!("*"), &json!(0))
    );
    assert_eq!(
        by_name(listed, "tenant")["condition"],
        "EVENT.tenant_id = '42' AND (total > 5 OR total IS NULL)"
    );
    assert_eq!(by_name(listed, "tenant")["enabled"], false);
    assert_eq!(by_name(listed, "tenant-2")["condition"], "EVENT.tenant_id = '43'");
    let retry = &shop.json(&["observers", "show", "tenant"])["retry"];
    assert_eq!((&retry["max_attempts"], &retry["initial_delay_ms"]), (&json!(7), &json!(250)));
    assert_eq!((&retry["max_delay_ms"], &retry["backoff_strategy"]), (&json!(9000), &json!("linear")));
    let action = &shop.json(&["observers", "show", "Notify-on-shipping"])["actions"][0];
    assert_eq!((&action["timeout_ms"], &action["headers"]["X-Key"]), (&json!(30000), &json!("k-7261")));
    assert_eq!(shop.json(&["observers", "show", "any-kind"])["actions"][0]["timeout_ms"], 500);
    assert_eq!(shop.count("SELECT count(*) FROM public.tb_observer").await, 9, "the table is as it was");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_such_table_is_refused() {
    let shop = shop().await;
    move_out(&shop);
    shop.run(&["migrate"]);
    let refused = |schema: &str| {
        let done = shop.output(&["observers", "import", "imported.toml", "--schema", schema]);
        assert_eq!(done.status.code(), Some(2));
        assert!(!shop.path("imported.toml").exists());
        String::from_utf8(done.stderr).unwrap()
    };
    assert!(refused("nowhere").contains("has no table `tb_observer`"));
    let own = refused("aftercommit");
    assert!(own.contains("no column `condition_expression`") && own.contains("observers list"), "{own}");
    // A view would run its owner's functions with the rights of whoever reads it.
    shop.sql("CREATE SCHEMA trap; CREATE VIEW trap.tb_observer AS SELECT * FROM public.tb_observer").await;
    assert!(refused("trap").contains("has no table"));
    let empty = shop.run(&["observers", "import", "imported.toml"]);
    assert!(empty.contains("wrote 0 observers into imported.toml"), "{empty}");
    let odd = shop.output(&["observers", "import", "imported.yaml"]);
    assert_eq!(odd.status.code(), Some(2));
}

/// Whoever owns the table gets none of the reader's rights.
#[tokio::test(flavor = "multi_thread")]
async fn nobodys_code_runs_while_the_table_is_read() {
    let shop = shop().await;
    shop.sql(
        "CREATE TABLE ran (by text);
         CREATE TYPE mood AS ENUM ('good');
         CREATE FUNCTION trap(mood) RETURNS text LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.ran VALUES ('cast'); RETURN 'bad'; END $$;
         CREATE CAST (mood AS text) WITH FUNCTION trap(mood) AS IMPLICIT;
         CREATE FUNCTION format(text, mood) RETURNS text LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.ran VALUES ('format'); RETURN 'bad'; END $$;
         CREATE FUNCTION spy() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.ran VALUES ('policy'); RETURN true; END $$;
         ALTER TABLE tb_observer ADD COLUMN mood mood DEFAULT 'good', ADD COLUMN pair point DEFAULT '(1,2)';
         INSERT INTO tb_observer (name, event_type, actions) VALUES ('a', 'INSERT', '[{\"type\": \"log\", \"message\": \"x\"}]');
         CREATE POLICY spying ON tb_observer USING (spy()); ALTER TABLE tb_observer ENABLE ROW LEVEL SECURITY",
    )
    .await;
    shop.run(&["observers", "import", "imported.toml"]);
    assert_eq!(shop.count("SELECT count(*) FROM ran").await, 0);
    let text = std::fs::read_to_string(shop.path("imported.toml")).unwrap();
    assert!(text.contains("its column `mood` has no meaning here: good") && text.contains("(1,2)"), "{text}");
}
