//! What a real Redis answers when it can not or will not do what the plugin `cache` asks, and what becomes of it.

use aftercommit_core::{Failure, FailureClass};
use aftercommit_runtime::ConfiguredAction;
use aftercommit_tests::RedisServer;
use serde_json::{Value, json};

use crate::{
    cache::{action, host, updated},
    fixture::delivery,
};

struct Case {
    redis: RedisServer,
    refresh: ConfiguredAction,
    pattern: ConfiguredAction,
}

impl Case {
    async fn with(settings: &[&str]) -> Self {
        let redis = RedisServer::start_with(settings);
        let of = |written: Value| action(host(Some(&redis), None), written);
        let refresh = of(json!({"key_pattern": "order:{{entity_id}}", "action": "refresh"})).await;
        let pattern = of(json!({"key_pattern": "order:{{entity_id}}:*"})).await;
        Self { redis, refresh, pattern }
    }

    fn set(&self, setting: &str, value: &str) {
        assert_eq!(self.redis.ask(&["CONFIG", "SET", setting, value]), "OK", "{setting}");
    }
}

async fn failed(action: &ConfiguredAction) -> Failure {
    action.run(&updated("7"), delivery()).await.result.expect_err("the server refuses")
}

/// Class and code, and that the server's own words are told.
fn assert_told(failure: &Failure, class: FailureClass, code: &str, said: &str) {
    assert_eq!((failure.class, failure.problem.code.as_str()), (class, code), "{failure}");
    assert!(failure.problem.message.contains(said), "{failure}");
}

#[tokio::test]
async fn a_server_that_can_not_now_is_tried_again() {
    let case = Case::with(&[]).await;
    case.set("min-replicas-to-write", "1");
    let unavailable = |failure: &Failure, said| {
        assert_told(failure, FailureClass::Transient, "redis_unavailable", said);
    };
    unavailable(&failed(&case.refresh).await, "NOREPLICAS");
    case.set("min-replicas-to-write", "0");

    case.set("replica-serve-stale-data", "no");
    assert_eq!(case.redis.ask(&["REPLICAOF", "127.0.0.1", "1"]), "OK");
    unavailable(&failed(&case.pattern).await, "MASTERDOWN");
    case.set("replica-serve-stale-data", "yes");
    unavailable(&failed(&case.refresh).await, "READONLY");
    assert_eq!(case.redis.ask(&["REPLICAOF", "NO", "ONE"]), "OK");
}

#[tokio::test]
async fn a_busy_server_is_tried_again() {
    let case = Case::with(&["--busy-reply-threshold", "1"]).await;
    let port = case.redis.port().to_string();
    let mut script = std::process::Command::new("redis-cli")
        .args(["-h", "127.0.0.1", "-p", &port, "EVAL", "while true do end", "0"])
        .spawn()
        .expect("redis-cli comes with redis-server");
    while !case.redis.ask(&["PING"]).contains("BUSY") {}
    assert_told(&failed(&case.refresh).await, FailureClass::Transient, "redis_unavailable", "BUSY");
    assert_eq!(case.redis.ask(&["SCRIPT", "KILL"]), "OK");
    script.wait().expect("the script was killed");
    case.refresh.run(&updated("7"), delivery()).await.result.expect("it is free again");
}

#[tokio::test]
async fn what_a_user_may_not_is_not_tried_again() {
    let case = Case::with(&[]).await;
    assert_eq!(case.redis.ask(&["ACL", "SETUSER", "default", "-set"]), "OK");
    assert_told(&failed(&case.refresh).await, FailureClass::Misconfigured, "redis_auth", "NOPERM");
}

#[tokio::test]
async fn a_node_of_a_cluster_is_told_as_one() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().to_str().unwrap();
    let case = Case::with(&["--cluster-enabled", "yes", "--dir", dir]).await;
    let down = failed(&case.refresh).await;
    assert_told(&down, FailureClass::Transient, "redis_unavailable", "CLUSTERDOWN");
    assert_eq!(case.redis.ask(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]), "OK");
    while !case.redis.ask(&["CLUSTER", "INFO"]).contains("cluster_state:ok") {}
    case.refresh.run(&updated("7"), delivery()).await.result.expect("one node has all keys");
    for key in ["order:7:1", "order:7:2", "order:7:3"] {
        assert_eq!(case.redis.ask(&["SET", key, "x"]), "OK");
    }
    let several = failed(&case.pattern).await;
    assert_told(&several, FailureClass::Misconfigured, "redis_cluster", "CROSSSLOT");
}
