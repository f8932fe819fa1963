//! The plugin `cache` with real servers.

use std::collections::BTreeMap;

use aftercommit_core::{EntityEvent, EventKind, FailureClass};
use aftercommit_runtime::{
    ComponentSource, ConfiguredAction, MemcachedSettings, PreparedEvent, RedisSettings, RuntimeSettings,
    ServiceSettings,
};
use aftercommit_tests::{MemcachedServer, RedisServer};
use serde_json::{Value, json};

use crate::fixture::{code, component, delivery, details, runtime_with, settings, try_configure};

pub(crate) fn host(redis: Option<&RedisServer>, memcached: Option<&MemcachedServer>) -> RuntimeSettings {
    let redis = redis.map(|it| ("cache".to_owned(), RedisSettings::from_url(&it.url()).unwrap()));
    let memcached = memcached.map(|it| ("pages".to_owned(), MemcachedSettings::from_url(&it.url()).unwrap()));
    let services = ServiceSettings {
        redis: BTreeMap::from_iter(redis),
        memcached: BTreeMap::from_iter(memcached),
        ..ServiceSettings::default()
    };
    RuntimeSettings { services, ..settings() }
}

async fn try_action(host: RuntimeSettings, written: Value) -> Result<ConfiguredAction, String> {
    let runtime = runtime_with(host, &[]);
    let bytes = std::fs::read(component("cache")).unwrap();
    let plugin = runtime.load("cache", ComponentSource::Bytes(bytes.into()), None).await.unwrap();
    try_configure(&plugin, written).await.map_err(|error| error.to_string())
}

pub(crate) async fn action(host: RuntimeSettings, written: Value) -> ConfiguredAction {
    try_action(host, written).await.unwrap_or_else(|error| panic!("{error}"))
}

fn order(kind: EventKind, id: &str, data: Value) -> PreparedEvent {
    PreparedEvent::new(EntityEvent::new(kind, "Order", id, data))
}

pub(crate) fn updated(id: &str) -> PreparedEvent {
    order(
        EventKind::Updated,
        id,
        json!({"id": id, "status": "shipped", "total": 150, "ttl": 90, "empty": null}),
    )
}

#[tokio::test]
async fn the_seed_form_deletes_the_key_on_the_only_connection() {
    let redis = RedisServer::start();
    let written = json!({"key_pattern": "order:{{entity_id}}", "action": "invalidate"});
    let action = action(host(Some(&redis), None), written).await;
    assert_eq!(action.effective_grants().redis, ["cache"]);
    assert!(action.effective_grants().memcached.is_empty() && !action.effective_grants().mail);
    assert_eq!(action.destination(), "redis.cache");
    assert_eq!(redis.ask(&["MSET", "order:7", "x", "order:77", "y"]), "OK");
    let attempt = action.run(&updated("7"), delivery()).await;
    assert_eq!(attempt.result.as_ref().unwrap().summary, "UNLINK order:7");
    assert_eq!(redis.ask(&["KEYS", "*"]), "order:77");
    let again = action.run(&updated("7"), delivery()).await;
    assert_eq!(again.result.unwrap().summary, "UNLINK order:7 (there was none)");
}

#[tokio::test]
async fn the_examples_of_the_schema_load() {
    let redis = RedisServer::start();
    let action = action(host(Some(&redis), None), json!({"key_pattern": "k"})).await;
    let examples = action.plugin().descriptor().config_schema["examples"].as_array().unwrap().clone();
    assert!(examples.len() > 1);
    for example in examples {
        try_configure(action.plugin(), example).await.unwrap();
    }
}

#[tokio::test]
async fn a_pattern_deletes_what_it_matches_in_bounded_steps() {
    let redis = RedisServer::start();
    let keys: Vec<String> = (0..2500).flat_map(|n| [format!("order:7:{n}"), "x".to_owned()]).collect();
    let words: Vec<&str> =
        ["MSET", "order:8:1", "x"].into_iter().chain(keys.iter().map(String::as_str)).collect();
    assert_eq!(redis.ask(&words), "OK");
    let written = json!({"key_pattern": "order:{{entity_id}}:*", "scan_count": 100});
    let action = action(host(Some(&redis), None), written).await;
    let attempt = action.run(&updated("7"), delivery()).await;
    assert_eq!(details(&attempt)["deleted"], 2500);
    assert!(details(&attempt)["steps"].as_u64().unwrap() > 10, "{attempt:?}");
    assert_eq!(redis.ask(&["KEYS", "*"]), "order:8:1");
    let stats = redis.ask(&["INFO", "commandstats"]);
    assert!(stats.contains("cmdstat_unlink") && stats.contains("cmdstat_scan"), "{stats}");
}

#[tokio::test]
async fn glob_characters_of_values_match_only_themselves() {
    let redis = RedisServer::start();
    let host = || host(Some(&redis), None);
    let pattern = action(host(), json!({"key_pattern": "order:{{entity_id}}:*"})).await;
    let key = action(host(), json!({"key_pattern": "order:{{entity_id}}"})).await;
    for id in ["*", "?", "[67]", "a*b", r"back\slash", r"\*", "[^x]", "[a-z]", r"x\", "{7}", "a]b"] {
        assert_eq!(redis.ask(&["FLUSHALL"]), "OK");
        let (own, sub) = (format!("order:{id}"), format!("order:{id}:1"));
        assert_eq!(
            redis.ask(&["MSET", "order:7:1", "x", "order:7", "x", "order:axb:1", "x", &own, "x", &sub, "x"]),
            "OK"
        );
        assert_eq!(details(&pattern.run(&updated(id), delivery()).await)["deleted"], 1, "{id}");
        assert_eq!(redis.ask(&["EXISTS", &sub]), "0", "{id}");
        assert_eq!(details(&key.run(&updated(id), delivery()).await)["deleted"], 1, "{id}");
        assert_eq!(redis.ask(&["DBSIZE"]), "3", "{id}");
    }
}

#[tokio::test]
async fn a_field_without_value_does_not_delete_everything() {
    let redis = RedisServer::start();
    assert_eq!(redis.ask(&["MSET", "a", "x", "b", "x"]), "OK");
    for (pattern, expected) in [
        ("{{empty}}*", "template"),
        ("order:{{empty}}:*", "template"),
        ("{{{empty}}}?*", "template"),
        ("{{#if empty}}x{{/if}}*", "pattern_matches_all"),
        ("{{#if empty}}x{{/if}}", "empty_key"),
        ("order:{{missing}}", "template"),
    ] {
        let action = action(host(Some(&redis), None), json!({"key_pattern": pattern})).await;
        let attempt = action.run(&updated("7"), delivery()).await;
        assert_eq!(code(&attempt), expected);
        assert_eq!(attempt.result.unwrap_err().class, FailureClass::Permanent);
    }
    assert_eq!(redis.ask(&["DBSIZE"]), "2");
}

#[tokio::test]
async fn refresh_sets_the_row_or_a_template_for_a_time() {
    let redis = RedisServer::start();
    let host = || host(Some(&redis), None);
    let data: Value = serde_json::from_str(r#"{"total":100.00000000000000000001,"ttl":90}"#).unwrap();
    let row = action(host(), json!({"key_pattern": "order:{{entity_id}}", "action": "refresh"})).await;
    row.run(&order(EventKind::Created, "7", data.clone()), delivery()).await.result.unwrap();
    assert_eq!(redis.ask(&["GET", "order:7"]), r#"{"total":100.00000000000000000001,"ttl":90}"#);
    assert_eq!(redis.ask(&["TTL", "order:7"]), "-1");
    let timed = json!({
        "key_pattern": "t:{{entity_id}}", "action": "refresh", "value_template": "{\"t\":{{{total}}}}", "ttl_secs": "{{ttl}}",
    });
    let timed = action(host(), timed).await;
    timed.run(&order(EventKind::Updated, "7", data.clone()), delivery()).await.result.unwrap();
    assert_eq!(redis.ask(&["GET", "t:7"]), r#"{"t":100.00000000000000000001}"#);
    assert!((1..=90).contains(&redis.ask(&["TTL", "t:7"]).parse::<i32>().unwrap()));
    row.run(&order(EventKind::Deleted, "7", data), delivery()).await.result.unwrap();
    assert_eq!(redis.ask(&["EXISTS", "order:7"]), "0", "the row is gone, and so is its copy");
    let soon = order(EventKind::Updated, "8", json!({"total": 1, "ttl": "soon"}));
    assert_eq!(code(&timed.run(&soon, delivery()).await), "ttl_secs");
}

#[tokio::test]
async fn publish_tells_subscribers_the_event() {
    let redis = RedisServer::start();
    let written = json!({"key_pattern": "orders:{{status}}", "action": "publish"});
    let action = action(host(Some(&redis), None), written).await;
    let (subscribed, told) = (std::sync::mpsc::channel(), std::sync::mpsc::channel());
    let port = redis.port();
    std::thread::spawn(move || {
        use std::io::{BufRead as _, BufReader, Write as _};
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.write_all(b"SUBSCRIBE orders:shipped\r\n").unwrap();
        let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
        lines.find(|line| line == ":1").unwrap();
        subscribed.0.send(()).unwrap();
        told.0.send(lines.find(|line| line.starts_with('{'))).unwrap();
    });
    subscribed.1.recv().unwrap();
    let attempt = action.run(&updated("7"), delivery()).await;
    assert_eq!(details(&attempt)["receivers"], 1);
    let message: Value = serde_json::from_str(&told.1.recv().unwrap().unwrap()).unwrap();
    assert_eq!((&message["entity_id"], &message["data"]["status"]), (&json!("7"), &json!("shipped")));
}

#[tokio::test]
async fn memcached_deletes_and_sets() {
    let mut memcached = MemcachedServer::start();
    let of = |more: Value| {
        let mut written =
            json!({"key_pattern": "order:{{entity_id}}", "backend": "memcached", "connection": "pages"});
        written.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        action(host(None, Some(&memcached)), written)
    };
    let (invalidate, refresh) =
        (of(json!({})).await, of(json!({"action": "refresh", "ttl_secs": 3_000_000})).await);
    assert_eq!(invalidate.effective_grants().memcached, ["pages"]);
    assert!(invalidate.effective_grants().redis.is_empty());
    memcached.set("order:7", "old");
    refresh.run(&updated("7"), delivery()).await.result.unwrap();
    // More than 30 days count as a date for the server, unless they are made one.
    assert!(memcached.get("order:7").unwrap().contains("shipped"));
    assert_eq!(invalidate.run(&updated("7"), delivery()).await.result.unwrap().summary, "delete order:7");
    assert_eq!(memcached.get("order:7"), None);
    let none = invalidate.run(&updated("7"), delivery()).await;
    assert_eq!(none.result.unwrap().summary, "delete order:7 (there was none)");

    memcached.set("other", "x");
    for id in ["a b", "7\r\nflush_all", &"x".repeat(250)] {
        assert_eq!(code(&invalidate.run(&updated(id), delivery()).await), "invalid_key");
    }
    assert_eq!(memcached.get("other").as_deref(), Some("x"));
    let large = order(EventKind::Updated, "7", json!({"text": "x".repeat(2_000_000)}));
    assert_eq!(code(&refresh.run(&large, delivery()).await), "value_too_large");

    memcached.kill();
    let lost = invalidate.run(&updated("7"), delivery()).await.result.unwrap_err();
    assert!(lost.is_transient() && lost.problem.code.as_str() == "connect", "{lost}");
    memcached.start_again();
    invalidate.run(&updated("7"), delivery()).await.result.unwrap();
}

#[tokio::test]
async fn failures_have_the_class_of_the_readme() {
    let redis = RedisServer::start_with(&["--maxmemory-policy", "noeviction"]);
    let host = || host(Some(&redis), None);
    let refresh = action(host(), json!({"key_pattern": "order:{{entity_id}}", "action": "refresh"})).await;
    assert_eq!(redis.ask(&["CONFIG", "SET", "maxmemory", "1"]), "OK");
    let full = refresh.run(&updated("7"), delivery()).await.result.unwrap_err();
    assert_eq!((full.class, full.problem.code.as_str()), (FailureClass::Transient, "redis_out_of_memory"));
    assert_eq!(redis.ask(&["CONFIG", "SET", "maxmemory", "0"]), "OK");
    assert_eq!(redis.ask(&["REPLICAOF", "127.0.0.1", "1"]), "OK");
    let replica = refresh.run(&updated("7"), delivery()).await.result.unwrap_err();
    assert_eq!(
        (replica.class, replica.problem.code.as_str()),
        (FailureClass::Transient, "redis_unavailable")
    );
    assert_eq!(redis.ask(&["REPLICAOF", "NO", "ONE"]), "OK");
    assert_eq!(redis.ask(&["CONFIG", "SET", "requirepass", "x"]), "OK");
    assert!(redis.ask(&["CLIENT", "KILL", "TYPE", "normal"]).contains("NOAUTH"));
    let fresh = action(host(), json!({"key_pattern": "order:{{entity_id}}"})).await;
    let login = fresh.run(&updated("7"), delivery()).await.result.unwrap_err();
    assert_eq!((login.class, login.problem.code.as_str()), (FailureClass::Misconfigured, "redis_auth"));
}

#[tokio::test]
async fn a_scan_ends_within_its_budget_and_tells_how_far_it_came() {
    let redis = RedisServer::start();
    // Keys of other names, made by the server itself; one a step takes far more than the time there is.
    let made = redis.ask(&["EVAL", "for i = 1, 300000 do redis.call('SET', 'other:' .. i, '') end", "0"]);
    assert_eq!(made, "");
    let written = json!({
        "key_pattern": "order:{{entity_id}}:*", "scan_count": 1, "timeout_ms": 400, "limits": {"host_calls": 1_000_000},
    });
    let action = action(host(Some(&redis), None), written).await;
    let failure = action.run(&updated("7"), delivery()).await.result.unwrap_err();
    assert!(failure.is_transient(), "{failure}");
    // The plugin stops before its time is over, unless the machine is too busy to let it.
    assert!(["scan_unfinished", "timeout"].contains(&failure.problem.code.as_str()), "{failure}");
}

#[tokio::test]
async fn a_connection_that_is_not_there_is_an_error_when_the_action_loads() {
    let redis = RedisServer::start();
    let told = async |host: RuntimeSettings, more: Value| {
        let mut written = json!({"key_pattern": "k"});
        written.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        try_action(host, written).await.map(drop).unwrap_err()
    };
    let with_redis = || host(Some(&redis), None);
    let none = told(host(None, None), json!({})).await;
    assert!(none.contains("this host provides no Redis or Memcached connection"), "{none}");
    let typo = told(with_redis(), json!({"connection": "cahce"})).await;
    assert_eq!(typo, "/connection: this host has no `[redis.cahce]` (did you mean `cache`?)");
    let other = told(with_redis(), json!({"backend": "memcached"})).await;
    assert!(other.starts_with("/connection: this host has no Memcached connection"), "{other}");
    let grant = told(with_redis(), json!({"grants": {"redis": ["pages"], "mail": true}})).await;
    assert!(grant.contains("/grants/redis/0: this host has no `[redis.pages]`"), "{grant}");
    assert!(grant.contains("/grants/mail: this host has no SMTP server"), "{grant}");
    let pattern = told(with_redis(), json!({"key_pattern": "a:*", "action": "refresh"})).await;
    assert!(pattern.starts_with("/key_pattern: this is a pattern"), "{pattern}");
}
