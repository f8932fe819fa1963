//! FCM's contract. Checked against: `ErrorCode` (FCM HTTP v1), "Best practices when sending FCM messages at scale"; by "REST Resource:
//! projects.messages" and Google's "Using OAuth 2.0 for Server to Server Applications" (JWT bearer grant, RFC 7523).

use aftercommit_core::EventKind;
use aftercommit_tests::{Answer, Received, Receiver};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RsaKeyPair, UnparsedPublicKey};
use serde_json::{Map, Value, json};

use super::{
    apns, broken,
    component::{action, configure, details, refused, told},
    example::{PRIVATE, example, logged, shop},
    json_object, now_secs, require,
};

/// A private key that is used for nothing but these tests.
const PRIVATE_KEY: &str = include_str!("service_account.pem");
const EMAIL: &str = "sender@shop-1a2b3.iam.gserviceaccount.com";
const ACCESS_TOKEN: &str = "ya29.made-for-tests";

/// A service account's key file, whose tokens are had at this server.
fn key_file(server: &Receiver) -> String {
    key_file_for(&server.url("/token"))
}

/// One whose tokens are had there.
pub(super) fn key_file_for(token_uri: &str) -> String {
    json!({
        "type": "service_account", "project_id": "shop-1a2b3", "private_key_id": "0123456789abcdef",
        "private_key": PRIVATE_KEY, "client_email": EMAIL, "client_id": "1", "token_uri": token_uri,
    })
    .to_string()
}

/// Answers the token endpoint, and messages as said.
fn answer(request: &Received, when_right: impl FnOnce() -> Answer) -> Answer {
    if request.path == "/token" {
        return match token_contract(request) {
            Ok(()) => Answer::status(200).json(&json!({
                "access_token": ACCESS_TOKEN, "expires_in": 3599, "token_type": "Bearer",
            })),
            Err(why) => broken(request, &why),
        };
    }
    match contract(request) {
        Ok(_) => when_right(),
        Err(why) => broken(request, &why),
    }
}

fn token_contract(request: &Received) -> Result<(), String> {
    require(request.method == "POST", "the method is POST")?;
    require(request.header("content-type") == "application/x-www-form-urlencoded", "the body is a form")?;
    let form: Vec<(String, String)> = url::form_urlencoded::parse(&request.body).into_owned().collect();
    let [(grant, kind), (name, assertion)] = &form[..] else {
        return Err("the form has two fields".to_owned());
    };
    require(
        grant == "grant_type" && kind == "urn:ietf:params:oauth:grant-type:jwt-bearer",
        "the grant is that of RFC 7523",
    )?;
    require(name == "assertion", "there is an assertion")?;
    let (content, signature) = assertion.rsplit_once('.').ok_or("the assertion is a JWT")?;
    let (header, claims) = content.split_once('.').ok_or("the assertion is a JWT")?;
    let bytes = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|error| error.to_string());
    let read = |part: &str| serde_json::from_slice::<Value>(&bytes(part)?).map_err(|error| error.to_string());
    let (header, claims) = (read(header)?, read(claims)?);
    require(
        header["alg"] == "RS256" && header["kid"] == "0123456789abcdef",
        "the header names algorithm and key",
    )?;
    let now = now_secs();
    let (from, to) = (claims["iat"].as_u64().unwrap_or(0), claims["exp"].as_u64().unwrap_or(0));
    require(
        from.abs_diff(now) < 300 && to > from && to - from <= 3600,
        "it is valid now, and for an hour at most",
    )?;
    require(claims["iss"] == EMAIL, "the issuer is the account")?;
    require(
        claims["scope"] == "https://www.googleapis.com/auth/firebase.messaging",
        "the scope is messaging",
    )?;
    let audience = claims["aud"].as_str().unwrap_or_default();
    require(audience.ends_with("/token"), "the audience is the token endpoint")?;
    let der: String = PRIVATE_KEY.lines().filter(|line| !line.starts_with("-----")).collect();
    let pair = RsaKeyPair::from_pkcs8(&STANDARD.decode(der).unwrap()).unwrap();
    UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, pair.public().as_ref())
        .verify(content.as_bytes(), &bytes(signature)?)
        .map_err(|_| "the signature is right".to_owned())
}

/// The message, if the request is right.
fn contract(request: &Received) -> Result<Map<String, Value>, String> {
    require(request.method == "POST", "the method is POST")?;
    require(request.path == "/v1/projects/shop-1a2b3/messages:send", "the path names the project")?;
    require(
        request.header("authorization") == format!("Bearer {ACCESS_TOKEN}"),
        "the token is the endpoint's",
    )?;
    require(request.header("content-type") == "application/json", "the body is JSON")?;
    let mut body = json_object(request)?;
    let message = body.remove("message").and_then(|message| message.as_object().cloned());
    let message = message.filter(|_| body.is_empty()).ok_or("the body has `message` and nothing else")?;
    let targets = ["token", "topic", "condition"].iter().filter(|name| message.contains_key(**name)).count();
    require(targets == 1, "there is one target")?;
    let strings = |object: Option<&Value>| {
        object.is_none_or(|object| object.as_object().is_some_and(|all| all.values().all(Value::is_string)))
    };
    require(strings(message.get("notification")), "`notification` has texts")?;
    require(strings(message.get("data")), "`data` has texts")?;
    let known = ["token", "topic", "notification", "data", "android", "apns"];
    match message.keys().find(|name| !known.contains(&name.as_str())) {
        Some(other) => Err(format!("`{other}` is a field of a message")),
        None => Ok(message),
    }
}

fn sent() -> Answer {
    Answer::status(200)
        .json(&json!({"name": "projects/shop-1a2b3/messages/0:1500415314455276%31bd1c9631bd1c96"}))
}

fn refusal(status: u16, canonical: &str, own: Option<&str>) -> Answer {
    let mut error = json!({"code": status, "message": "Why it is", "status": canonical});
    if let Some(own) = own {
        let kind = "type.googleapis.com/google.firebase.fcm.v1.FcmError";
        error["details"] = json!([{"@type": kind, "errorCode": own}]);
    }
    Answer::status(status).json(&json!({"error": error}))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_notifies_a_topic() {
    let server = Receiver::start().await;
    server.respond(|request| answer(request, sent));
    let observers = example(
        "push",
        &[(
            "service_account_env",
            format!("api_url = \"{}\"\ntoken_url = \"{}\"\n{PRIVATE}", server.url(""), server.url("/token")),
        )],
    );
    let (key_file, apns_key) = (key_file(&server), apns::key());
    let secrets = [("FCM_SERVICE_ACCOUNT", key_file.as_str()), ("APNS_KEY", &apns_key.serialize_pem())];
    let shop = shop(&observers, &secrets).await;
    let host = shop.start_host();
    shop.sql("INSERT INTO orders VALUES (7, 'a \"new\" one', 150)").await;
    let log = logged(&shop, 1).await;
    assert!(host.stop());
    assert_eq!(log, ["order-created succeeded - - 200"]);
    let message = contract(&server.received()[1]).unwrap();
    assert_eq!(message["topic"], "orders");
    assert_eq!(message["notification"], json!({"title": "New order", "body": "Order 7: a \"new\" one"}));
    assert_eq!(message["data"], json!({"order_id": "7"}));
    for secret in [ACCESS_TOKEN, "PRIVATE KEY"] {
        assert!(!shop.host_log().contains(secret), "{}", shop.host_log());
    }
}

#[tokio::test]
async fn errors_have_their_classes_and_the_token_is_asked_for_once() {
    let server = Receiver::start().await;
    let written = json!({
        "device_token": "{{token}}", "title_template": "t", "project_id": "shop-1a2b3", "service_account": "${secret:S}",
        "collapse_key": "k", "priority": "high", "ttl_secs": 60, "sound": "default",
        "api_url": server.url("/"), "token_url": server.url("/token"), "grants": {"private_network": true},
    });
    let action = action("push", written, &[("S", &key_file(&server))]).await;
    let run = async || action.run(EventKind::Created, json!({"token": "device123"})).await;
    server.respond(|request| answer(request, sent));
    let expected = "projects/shop-1a2b3/messages/0:1500415314455276%31bd1c9631bd1c96";
    assert_eq!(details(&run().await), json!({"provider": "fcm", "message_id": expected}));
    for (status, canonical, own, expected) in [
        (404, "NOT_FOUND", Some("UNREGISTERED"), "permanent: unregistered"),
        (400, "INVALID_ARGUMENT", Some("INVALID_ARGUMENT"), "permanent: invalid_argument"),
        (403, "PERMISSION_DENIED", Some("SENDER_ID_MISMATCH"), "permanent: sender_id_mismatch"),
        (401, "UNAUTHENTICATED", Some("THIRD_PARTY_AUTH_ERROR"), "misconfigured: third_party_auth_error"),
        (403, "PERMISSION_DENIED", None, "misconfigured: permission_denied"),
        (401, "UNAUTHENTICATED", None, "transient: unauthenticated"),
        (429, "RESOURCE_EXHAUSTED", Some("QUOTA_EXCEEDED"), "throttled after 60000 ms: quota_exceeded"),
        (503, "UNAVAILABLE", Some("UNAVAILABLE"), "transient: unavailable"),
        (500, "INTERNAL", Some("INTERNAL"), "transient: internal"),
        (404, "NOT_FOUND", None, "permanent: http_status"),
    ] {
        server.respond(move |request| answer(request, || refusal(status, canonical, own)));
        assert_eq!(told(&run().await), expected, "{status} {canonical} {own:?}");
    }
    server.respond(|request| {
        answer(request, || refusal(503, "UNAVAILABLE", Some("UNAVAILABLE")).header("retry-after", "9"))
    });
    assert_eq!(told(&run().await), "throttled after 9000 ms: unavailable");
    let tokens = server.received().iter().filter(|request| request.path == "/token").count();
    // Though it was not taken twice: it is asked for again after a minute at the soonest.
    assert_eq!((tokens, server.count()), (1, 1 + 12));
}

#[tokio::test]
async fn a_token_that_is_not_given_is_told() {
    let server = Receiver::start().await;
    server
        .respond(|_| Answer::status(400).json(&json!({"error": "invalid_grant", "error_description": "x"})));
    let written = json!({
        "topic": "t", "body_template": "b", "project_id": "shop-1a2b3", "service_account_env": "S",
        "api_url": server.url(""), "token_url": server.url("/token"), "grants": {"private_network": true},
    });
    let attempt = action("push", written, &[("S", &key_file(&server))]).await;
    let attempt = attempt.run(EventKind::Created, json!({})).await;
    assert_eq!(told(&attempt), "transient: access_token");
    assert!(attempt.result.unwrap_err().to_string().contains("invalid_grant"));
}

/// Found when the action is loaded, not by the first of its deliveries.
#[tokio::test]
async fn a_key_file_that_is_none_is_told_at_once() {
    let written =
        json!({"topic": "t", "body_template": "b", "project_id": "shop-1a2b3", "service_account_env": "S"});
    let elsewhere = key_file_for("https://token.example/hunter2");
    for (secret, expected) in [
        ("/etc/hunter2.json", "not the JSON of a service account's key file"),
        (&elsewhere, "its `token_uri` is at an origin that is not granted; write it as `token_url`"),
    ] {
        let told = configure("push", written.clone(), &[("S", secret)], Vec::new()).await.map(drop);
        let told = told.unwrap_err().to_string();
        assert_eq!(told, format!("/service_account_env: the secret `S`: {expected}"));
    }
    let mut plain = written;
    plain["service_account"] = plain["service_account_env"].take();
    plain.as_object_mut().unwrap().remove("service_account_env");
    let told = refused("push", plain).await;
    assert!(told.starts_with("/service_account: must be a secret's name, not the secret itself"), "{told}");
}

#[tokio::test]
async fn the_documented_configuration_loads_and_what_is_missing_is_told() {
    let mut seed = json!({
        "device_token": "device123", "title_template": "Order Update", "body_template": "Order {{entity_id}} status: {{status}}",
    });
    let told = refused("push", seed.clone()).await;
    for expected in ["write project_id", "service_account_env = \"FCM_SERVICE_ACCOUNT\""] {
        assert!(told.contains(expected), "{told}");
    }
    seed["project_id"] = json!("shop-1a2b3");
    seed["service_account_env"] = json!("S");
    let key_file = key_file_for("https://oauth2.googleapis.com/token");
    let action = configure("push", seed, &[("S", &key_file)], Vec::new()).await.unwrap();
    assert_eq!(action.origins(), ["https://fcm.googleapis.com", "https://oauth2.googleapis.com"]);
}
