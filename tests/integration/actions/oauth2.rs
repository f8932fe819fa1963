//! Access tokens by client credentials (RFC 6749, 4.4), with a token endpoint that checks what it is asked.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use aftercommit_core::{Clock, EventKind, SystemClock, Timestamp};
use aftercommit_tests::{Answer, Received, Receiver};
use serde_json::{Value, json};

use super::{
    broken,
    component::{Action, action_of, configure, load, refused, told},
    require,
};

/// A clock that tests move.
struct Hand(Mutex<Timestamp>);

impl Hand {
    fn pass(&self, time: Duration) {
        let mut now = self.0.lock().unwrap();
        *now = now.plus(time);
    }
}

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}

/// RFC 6749, 2.3.1 and 4.4.2.
fn contract(request: &Received) -> Result<(), String> {
    require(request.method == "POST", "it is a POST")?;
    require(request.header("content-type") == "application/x-www-form-urlencoded", "the body is a form")?;
    // `me:s3cret`.
    require(request.header("authorization") == "Basic bWU6czNjcmV0", "the client is authenticated")?;
    let form: HashMap<_, _> = url::form_urlencoded::parse(&request.body).into_owned().collect();
    let says = |name: &str, expected: &str| form.get(name).is_some_and(|value| value == expected);
    require(says("grant_type", "client_credentials"), "the grant type")?;
    require(says("scope", "orders.write a b"), "the scope")?;
    require(says("audience", "https://api.example.com"), "the audience")
}

/// A token endpoint that gives `token-1`, `token-2`, .. for an hour each.
async fn token_endpoint() -> Receiver {
    let server = Receiver::start().await;
    let given = Mutex::new(0);
    server.respond(move |request| match contract(request) {
        Ok(()) => {
            let mut given = given.lock().unwrap();
            *given += 1;
            let token = format!("token-{given}");
            Answer::status(200)
                .json(&json!({"access_token": token, "token_type": "Bearer", "expires_in": 3600}))
        }
        Err(why) => broken(request, &why),
    });
    server
}

/// A receiver that takes one token only.
fn take(receiver: &Receiver, token: &str) {
    let expected = format!("Bearer {token}");
    receiver.respond(move |request| {
        Answer::status(if request.header("authorization") == expected { 200 } else { 401 })
    });
}

async fn acting(receiver: &Receiver, tokens: &Receiver, more: Value) -> (Action, Arc<Hand>) {
    let clock = Arc::new(Hand(Mutex::new(SystemClock.now())));
    let shared: Arc<dyn Clock> = Arc::<Hand>::clone(&clock);
    let plugin = load("webhook", &[("CLIENT_SECRET", "s3cret")], Vec::new(), shared).await;
    let mut written = json!({
        "url": receiver.url("/hook"),
        "oauth2": {
            "token_url": tokens.url("/token"), "client_id": "me", "client_secret": "${secret:CLIENT_SECRET}",
            "scope": "orders.write a b", "audience": "https://api.example.com",
        },
        "grants": {"private_network": true},
    });
    written.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    (action_of(&plugin, written).await.unwrap_or_else(|error| panic!("{error}")), clock)
}

async fn sent(action: &Action) -> String {
    told(&action.run(EventKind::Created, json!({})).await)
}

#[tokio::test]
async fn a_token_is_obtained_once_and_renewed_before_its_end() {
    let (receiver, tokens) = (Receiver::start().await, token_endpoint().await);
    let (action, clock) = acting(&receiver, &tokens, json!({})).await;
    // Bounds on concurrency are counted by the receiver, not by the endpoint.
    assert_eq!(action.destination(), receiver.url(""));
    take(&receiver, "token-1");
    for _ in 0..3 {
        assert_eq!(sent(&action).await, "done");
    }
    assert_eq!(tokens.count(), 1);
    clock.pass(Duration::from_mins(59) + Duration::from_secs(1));
    take(&receiver, "token-2");
    assert_eq!(sent(&action).await, "done");
    assert_eq!(tokens.count(), 2);
}

#[tokio::test]
async fn a_401_renews_the_token_once() {
    let (receiver, tokens) = (Receiver::start().await, token_endpoint().await);
    let (action, clock) = acting(&receiver, &tokens, json!({})).await;
    take(&receiver, "token-1");
    assert_eq!(sent(&action).await, "done");
    // It was revoked meanwhile.
    take(&receiver, "token-2");
    clock.pass(Duration::from_mins(2));
    assert_eq!(sent(&action).await, "done");
    assert_eq!((receiver.count(), tokens.count()), (3, 2), "in the same attempt");
    // No token is taken any more: two requests in an attempt, and another token at most once a minute.
    take(&receiver, "none");
    assert_eq!(sent(&action).await, "transient: http_status");
    assert_eq!(sent(&action).await, "transient: http_status");
    assert_eq!((receiver.count(), tokens.count()), (7, 2));
    clock.pass(Duration::from_mins(2));
    assert_eq!(sent(&action).await, "transient: http_status");
    assert_eq!((receiver.count(), tokens.count()), (9, 3));
}

#[tokio::test]
async fn an_endpoint_that_gives_no_token_is_a_failure_for_now() {
    let (receiver, tokens) = (Receiver::start().await, Receiver::start().await);
    let (action, _) = acting(&receiver, &tokens, json!({"batch": {}})).await;
    // It echoes what it was sent.
    tokens.respond(|_| Answer::status(401).json(&json!({"error": "invalid_client s3cret"})));
    let attempt = action.run(EventKind::Created, json!({})).await;
    assert_eq!(told(&attempt), "transient: access_token");
    assert!(!format!("{attempt:?}").contains("s3cret"), "{attempt:?}");
    assert_eq!(receiver.count(), 0);
}

#[tokio::test]
async fn there_is_no_other_authorization_beside_it() {
    let oauth2 = json!({"token_url": "https://login.example.com/t", "client_id": "me", "client_secret": "${secret:S}"});
    let written = json!({"url": "https://example.com", "headers": {"authorization": "x"}, "oauth2": oauth2});
    let told =
        configure("webhook", written, &[("S", "x")], Vec::new()).await.map(drop).unwrap_err().to_string();
    assert_eq!(told, "/oauth2: write either this or the header `Authorization`, not both");
    let told =
        refused("webhook", json!({"url": "https://example.com", "oauth2": {"token_url": "https://a"}})).await;
    assert!(told.contains("/oauth2: `client_id` is missing"), "{told}");
}
