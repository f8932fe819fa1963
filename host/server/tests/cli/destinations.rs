//! `destinations`: what is held back is listed and resumed.

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::place::Place;

/// Two destinations and three endpoints that are held back, and deliveries that wait for them.
fn held_back() -> Place {
    let place = Place::migrated();
    let rows = "
        INSERT INTO observer_destinations VALUES
            ('destination', 'https://api.example.com', '', 'open', 'http_status', 'the destination answered 503 (not available now)',
             503, '2026-01-01T00:00:00.000000Z', '9999-01-01T00:00:00.000000Z', 3, '[[\"orders\",\"webhook\"],[\"bills\",\"webhook\"]]',
             NULL, NULL),
            ('destination', 'redis.cache', '', 'throttled', 'connect', 'connection refused', NULL, '2026-01-01T00:00:00.000000Z',
             '2026-01-01T00:00:05.000000Z', 1, '[]', NULL, NULL),
            ('endpoint', 'orders', 'webhook', 'paused', 'endpoint_gone', 'the destination answered 410 (gone for good)', 410,
             '2026-01-01T00:00:00.000000Z', NULL, 0, '[[\"orders\",\"webhook\"]]', 'digest', 1),
            ('endpoint', 'https://api.example.com/hook', '', 'open', 'http_status', 'the destination answered 500', 500,
             '2026-01-01T00:00:00.000000Z', '9999-01-01T00:00:00.000000Z', 1, '[[\"bills\",\"webhook\"]]', NULL, NULL),
            ('endpoint', 'https://push.example.com device7', '', 'throttled', 'http_status', 'the destination answered 429', 429,
             '2026-01-01T00:00:00.000000Z', '9999-01-01T00:00:00.000000Z', 0, '[]', NULL, NULL);
        INSERT INTO observer_learned_rates VALUES
            ('destination', 'https://api.example.com', 3000, '2026-01-01T00:00:00.000000Z', '2026-01-01T00:01:00.000000Z',
             '[[\"orders\",\"webhook\"]]'),
            ('endpoint', 'https://sms.example.com/send', 20, '2026-01-01T00:00:00.000000Z', '2026-01-01T00:01:00.000000Z',
             '[[\"bills\",\"webhook\"]]');
        INSERT INTO observer_deliveries (id, event_seq, position, observer, action, action_type, state, priority, attempts, max_attempts, created_at)
        VALUES ('a', 1, 0, 'orders', 'webhook', 'webhook', 'ready', 100, 0, 3, '2026-01-01T00:00:00.000000Z'),
               ('b', 2, 0, 'bills', 'webhook', 'webhook', 'waiting', 100, 1, 3, '2026-01-01T00:00:00.000000Z'),
               ('c', 3, 0, 'bills', 'webhook', 'webhook', 'running', 100, 1, 3, '2026-01-01T00:00:00.000000Z');";
    Connection::open(place.path("aftercommit.db")).unwrap().execute_batch(rows).unwrap();
    place
}

fn json(place: &Place) -> Value {
    serde_json::from_str(&place.run(&["destinations", "list", "--output", "json"]).stdout).unwrap()
}

#[test]
fn what_is_held_back_is_listed_with_its_reason() {
    let place = held_back();
    insta::assert_snapshot!("listed", place.run(&["destinations", "list"]));
    assert_eq!(
        json(&place)[0],
        json!({
            "name": "https://api.example.com", "kind": "destination", "state": "open", "waiting": 2,
            "since": "2026-01-01T00:00:00.000000Z", "until": "9999-01-01T00:00:00.000000Z", "openings": 3,
            "code": "http_status", "http_status": 503, "reason": "the destination answered 503 (not available now)",
            "rate_per_sec": 50.0,
        })
    );
}

#[test]
fn what_is_resumed_is_not_held_back_any_more() {
    let place = held_back();
    let run = place.run(&["destinations", "resume", "https://api.example.com", "orders/webhook"]);
    insta::assert_snapshot!("resumed", run);
    let left = json(&place);
    assert_eq!((left.as_array().unwrap().len(), &left[0]["name"]), (5, &json!("redis.cache")));
    insta::assert_snapshot!("resumed_again", place.run(&["destinations", "resume", "orders/webhook"]));
}

#[test]
fn unknown_ones_are_named_with_the_nearest_and_nothing_is_resumed() {
    let place = held_back();
    insta::assert_snapshot!(
        "unknown",
        place.run(&["destinations", "resume", "redis.cache", "orders/webhok"])
    );
    assert_eq!(json(&place).as_array().unwrap().len(), 6);
    insta::assert_snapshot!("none", Place::migrated().run(&["destinations", "resume", "orders/webhook"]));
}
