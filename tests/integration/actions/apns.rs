//! APNs' contract. Checked against Apple's documentation: "Sending notification requests to APNs" (HTTP/2), "Handling notification
//! responses from APNs" (statuses, reasons, what is never to be repeated); by its "Establishing a token-based connection to APNs" (ES256
//! provider token) and "Generating a remote notification". The server speaks HTTP/2 over TLS and nothing else.

use aftercommit_core::EventKind;
use aftercommit_tests::{Answer, Received, Receiver};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rcgen::KeyPair;
use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    broken,
    certificate::localhost,
    component::{Action, configure, details, told},
    example::{PRIVATE, example, logged, shop},
    fcm::key_file_for,
    json_object, now_secs, require,
};

const DEVICE: &str = "00fc13adff785122b4ad28809a3420982341241421348097878e577c991de8f0";

/// A key such as Apple hands out: P-256, PKCS #8.
pub(super) fn key() -> KeyPair {
    KeyPair::generate().unwrap()
}

/// A server that speaks HTTP/2 and nothing else, and the authority that signed its certificate.
async fn apns() -> (Receiver, String) {
    let (tls, authority) = localhost(&["h2"]);
    (Receiver::start_tls(tls).await, authority)
}

fn url(server: &Receiver) -> String {
    format!("https://localhost:{}", server.port())
}

/// What a provider with this key may send.
#[derive(Clone)]
struct Contract {
    public_key: Vec<u8>,
}

impl Contract {
    fn of(key: &KeyPair) -> Self {
        Self { public_key: key.public_key_raw().to_vec() }
    }

    fn answer(&self, request: &Received, when_right: impl FnOnce() -> Answer) -> Answer {
        match self.check(request) {
            Ok(()) => when_right().header("apns-id", request.header("apns-id")),
            Err(why) => broken(request, &why),
        }
    }

    fn check(&self, request: &Received) -> Result<(), String> {
        require(request.method == "POST", "the method is POST")?;
        let path = request.path.split_once("/3/device/").map(|(_, token)| token);
        require(
            path.is_some_and(|token| token.bytes().all(|byte| byte.is_ascii_hexdigit())),
            "the path names a device",
        )?;
        self.check_token(
            request.header("authorization").strip_prefix("Bearer ").ok_or("there is a provider token")?,
        )?;
        require(request.header("apns-topic") == "com.example.shop", "the topic is the app")?;
        let id = request.header("apns-id");
        require(
            Uuid::try_parse(id).is_ok() && id == id.to_ascii_lowercase(),
            "the id is a UUID in lower case",
        )?;
        let payload = json_object(request)?;
        require(request.body.len() <= 4096, "the payload has at most 4096 bytes")?;
        let aps = payload.get("aps").and_then(Value::as_object).ok_or("there is `aps`")?;
        match request.header("apns-push-type") {
            "alert" => require(aps.get("alert").is_some_and(Value::is_object), "an alert has an alert")?,
            "background" => {
                require(aps.get("content-available") == Some(&json!(1)), "a background push says so")?;
                require(request.header("apns-priority") == "5", "a background push has the priority 5")?;
                require(
                    !aps.contains_key("alert") && !aps.contains_key("sound"),
                    "a background push shows nothing",
                )?;
            }
            other => return Err(format!("{other:?} is a push type")),
        }
        let number =
            |name: &str| request.header(name).is_empty() || request.header(name).parse::<u64>().is_ok();
        require(number("apns-expiration") && number("apns-priority"), "expiration and priority are numbers")?;
        require(request.header("apns-collapse-id").len() <= 64, "the collapse id has at most 64 bytes")
    }

    fn check_token(&self, token: &str) -> Result<(), String> {
        let (content, signature) = token.rsplit_once('.').ok_or("the token is a JWT")?;
        let (header, claims) = content.split_once('.').ok_or("the token is a JWT")?;
        let bytes = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|error| error.to_string());
        let read =
            |part: &str| serde_json::from_slice::<Value>(&bytes(part)?).map_err(|error| error.to_string());
        let (header, claims) = (read(header)?, read(claims)?);
        require(
            header["alg"] == "ES256" && header["kid"] == "ABC123DEFG",
            "the header names algorithm and key",
        )?;
        require(claims["iss"] == "DEF123GHIJ", "the issuer is the team")?;
        let now = now_secs();
        require(
            claims["iat"].as_u64().is_some_and(|at| at <= now && now - at < 3600),
            "the token is no older than an hour",
        )?;
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &self.public_key)
            .verify(content.as_bytes(), &bytes(signature)?)
            .map_err(|_| "the signature is right".to_owned())
    }
}

async fn pushing(server: &Receiver, authority: &str, key: &KeyPair, more: Value) -> Action {
    let mut written = json!({
        "provider": "apns", "device_token": "{{device}}", "key": "${secret:K}", "key_id": "ABC123DEFG", "team_id": "DEF123GHIJ",
        "bundle_id": "com.example.shop", "api_url": url(server), "grants": {"private_network": true},
    });
    written.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
    let authorities = vec![authority.as_bytes().to_vec()];
    configure("push", written, &[("K", &key.serialize_pem())], authorities)
        .await
        .unwrap_or_else(|error| panic!("{error}"))
}

fn row() -> Value {
    json!({"device": DEVICE, "status": "shipped"})
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_notifies_a_device_over_http2() {
    let ((server, authority), key) = (apns().await, key());
    let contract = Contract::of(&key);
    server.respond(move |request| contract.answer(request, || Answer::status(200)));
    let observers = example("push", &[("key_env", format!("api_url = \"{}\"\n{PRIVATE}", url(&server)))]);
    let key_file = key_file_for("https://oauth2.googleapis.com/token");
    let secrets = [("FCM_SERVICE_ACCOUNT", &*key_file), ("APNS_KEY", &key.serialize_pem())];
    let mut shop = shop(&observers, &secrets).await;
    shop.write("authority.pem", &authority);
    let path = shop.path("authority.pem");
    shop.set_env("SSL_CERT_FILE", path.to_str().unwrap());
    shop.sql("CREATE TABLE devices_of_orders (id INTEGER PRIMARY KEY, device_token TEXT, status TEXT)").await;
    shop.capture("devices_of_orders", "DeviceOrder", &[]);
    let host = shop.start_host();
    shop.sql(&format!("INSERT INTO devices_of_orders VALUES (7, '{DEVICE}', 'shipped')")).await;
    let log = logged(&shop, 1).await;
    assert!(host.stop());
    assert_eq!(log, ["device-order-shipped succeeded - - 200"]);
    let request = &server.received()[0];
    let id: String = shop.value("SELECT delivery_id FROM tb_observer_log").await;
    assert_eq!((request.header("apns-id"), request.header("apns-collapse-id")), (id.as_str(), "order-7"));
    let payload: Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!(
        payload,
        json!({"aps": {"alert": {"title": "Order Update", "body": "Order 7 status: shipped"}, "sound": "default"}, "order_id": "7"})
    );
}

#[tokio::test]
async fn reasons_have_their_classes() {
    let ((server, authority), key) = (apns().await, key());
    let action = pushing(
        &server,
        &authority,
        &key,
        json!({"body_template": "{{status}}", "ttl_secs": 60, "priority": "normal"}),
    )
    .await;
    let run = async || action.run(EventKind::Created, row()).await;
    let contract = Contract::of(&key);
    for (status, reason, expected) in [
        (410, "Unregistered", "permanent: unregistered"),
        (410, "ExpiredToken", "permanent: unregistered"),
        (400, "BadDeviceToken", "permanent: unregistered"),
        (400, "DeviceTokenNotForTopic", "permanent: device_token_not_for_topic"),
        (413, "PayloadTooLarge", "permanent: payload_too_large"),
        (400, "BadTopic", "misconfigured: bad_topic"),
        (403, "InvalidProviderToken", "misconfigured: invalid_provider_token"),
        (403, "ExpiredProviderToken", "transient: expired_provider_token"),
        (429, "TooManyProviderTokenUpdates", "throttled after 1200000 ms: too_many_provider_token_updates"),
        (429, "TooManyRequests", "transient: too_many_requests"),
        (500, "InternalServerError", "transient: unavailable"),
        (503, "Shutdown", "transient: unavailable"),
        (403, "SomethingNew", "permanent: http_status"),
    ] {
        let contract = contract.clone();
        server.respond(move |request| {
            contract.answer(request, || {
                Answer::status(status).json(&json!({"reason": reason, "timestamp": 1_454_948_015_990_u64}))
            })
        });
        assert_eq!(told(&run().await), expected, "{status} {reason}");
    }
    // Nobody's token but APNs' own form can stand in the path.
    let attempt = action.run(EventKind::Created, json!({"device": "../../x", "status": ""})).await;
    assert_eq!(told(&attempt), "permanent: invalid_device_token");
    let attempt = action.run(EventKind::Created, json!({"device": DEVICE, "status": "x".repeat(4096)})).await;
    assert_eq!(told(&attempt), "permanent: payload_too_large");
}

#[tokio::test]
async fn a_provider_token_is_kept() {
    let ((server, authority), key) = (apns().await, key());
    let contract = Contract::of(&key);
    server.respond(move |request| contract.answer(request, || Answer::status(200)));
    let action = pushing(&server, &authority, &key, json!({"data": {"status": "{{status}}"}})).await;
    for _ in 0..3 {
        let id = Uuid::now_v7();
        let event = aftercommit_runtime::PreparedEvent::new(aftercommit_core::EntityEvent::new(
            EventKind::Created,
            "Order",
            7,
            row(),
        ));
        let attempt = action.attempt(&event, id).await;
        assert_eq!(details(&attempt), json!({"provider": "apns", "message_id": id.to_string()}));
    }
    let received = server.received();
    let tokens: Vec<_> = received.iter().map(|request| request.header("authorization")).collect();
    assert!(tokens.len() == 3 && tokens.iter().all(|token| *token == tokens[0]), "{tokens:?}");
}

/// Whose certificate nobody known has signed.
#[tokio::test]
async fn a_stranger_gets_no_notification() {
    let ((server, _), key) = (apns().await, key());
    let stranger = apns().await.1;
    let action = pushing(&server, &stranger, &key, json!({"body_template": "b"})).await;
    assert_eq!(told(&action.run(EventKind::Created, row()).await), "transient: certificate");
    assert_eq!(server.count(), 0);
}
