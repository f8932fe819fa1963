//! Vonage's contract. Checked against: "API Errors" and "API Errors: Messages API" (problems as in RFC 7807, codes), and the examples of
//! Vonage's SDKs for the request (`POST /v1/messages`, `client_ref`). No document was found for the longest text.

use aftercommit_core::EventKind;
use aftercommit_tests::{Answer, Received, Receiver};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};

use super::{
    broken,
    component::{action, details, told},
    example::{PRIVATE, example, logged, shop},
    json_object, require,
};

const API_KEY: &str = "abcd1234";
const API_SECRET: &str = "a-secret-made-for-tests";

fn answer(request: &Received, when_right: impl FnOnce() -> Answer) -> Answer {
    match contract(request) {
        Ok(_) => when_right(),
        Err(why) => broken(request, &why),
    }
}

fn contract(request: &Received) -> Result<Map<String, Value>, String> {
    require(request.method == "POST" && request.path == "/v1/messages", "it is POST /v1/messages")?;
    let basic = format!("Basic {}", STANDARD.encode(format!("{API_KEY}:{API_SECRET}")));
    require(request.header("authorization") == basic, "the credentials are right")?;
    require(request.header("content-type") == "application/json", "the body is JSON")?;
    require(request.header("accept") == "application/json", "JSON is accepted")?;
    let message = json_object(request)?;
    let text = |name: &str| message.get(name).and_then(Value::as_str).unwrap_or_default();
    require(text("channel") == "sms" && text("message_type") == "text", "it is a text by SMS")?;
    let to = text("to");
    require(
        (7..=15).contains(&to.len()) && !to.starts_with('0') && to.bytes().all(|byte| byte.is_ascii_digit()),
        "`to` is E.164 without the plus sign",
    )?;
    require(
        !text("from").is_empty() && !text("from").starts_with('+'),
        "there is a sender, without the plus sign",
    )?;
    require(!text("text").is_empty(), "there is a text")?;
    require(text("client_ref").len() <= 40, "`client_ref` has at most 40 letters")?;
    let known = ["channel", "message_type", "to", "from", "text", "client_ref", "webhook_url"];
    match message.keys().find(|name| !known.contains(&name.as_str())) {
        Some(other) => Err(format!("`{other}` is a field")),
        None => Ok(message),
    }
}

fn submitted() -> Answer {
    Answer::status(202).json(&json!({"message_uuid": "aaaaaaaa-bbbb-4ccc-8ddd-0123456789ab"}))
}

fn problem(status: u16, code: &str) -> Answer {
    Answer::status(status).json(&json!({
        "type": format!("https://developer.vonage.com/api-errors/messages#{code}"), "title": "What it is",
        "detail": "Why it is", "instance": "bf0ca0bf927b3b52e3cb03217e1a1ddf",
    }))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_sends_a_text_message() {
    let server = Receiver::start().await;
    server.respond(|request| answer(request, submitted));
    let observers = example(
        "sms",
        // Only its own observer: the other would call on Twilio.
        &[
            ("name = \"tell-the-shop\"", "enabled = false\n".to_owned()),
            ("api_key_env", format!("api_url = \"{}\"\n", server.url(""))),
            ("api_secret_env", PRIVATE.to_owned()),
        ],
    );
    let secrets = [
        ("TWILIO_ACCOUNT_SID", "not used"),
        ("TWILIO_AUTH_TOKEN", "not used"),
        ("VONAGE_API_KEY", API_KEY),
        ("VONAGE_API_SECRET", API_SECRET),
    ];
    let shop = shop(&observers, &secrets).await;
    shop.sql("INSERT INTO orders VALUES (7, 'pending', 150)").await;
    let host = shop.start_host();
    shop.sql("UPDATE orders SET status = 'paid' WHERE id = 7").await;
    assert_eq!(logged(&shop, 1).await, ["tell-the-warehouse succeeded - - 202"]);
    assert!(host.stop());
    let message = contract(&server.received()[0]).unwrap();
    assert_eq!((&message["to"], &message["from"]), (&json!("447700900000"), &json!("AcmeShop")));
    assert_eq!(message["text"], "Order 7 is paid");
    let id: String = shop.value("SELECT delivery_id FROM tb_observer_log").await;
    assert_eq!(message["client_ref"], id.as_str());
}

#[tokio::test]
async fn errors_have_their_classes() {
    let server = Receiver::start().await;
    let written = json!({
        "provider": "vonage", "phone": "+447700900000", "message_template": "{{text}}", "from": "+15557122661",
        "api_key": API_KEY, "api_secret": "${secret:S}", "status_callback": "https://example.com/sms",
        "api_url": server.url(""), "grants": {"private_network": true},
    });
    let action = action("sms", written, &[("S", API_SECRET)]).await;
    let run = async || action.run(EventKind::Created, json!({"text": "x"})).await;
    server.respond(|request| answer(request, submitted));
    let done = details(&run().await);
    assert_eq!((&done["provider"], &done["state"]), (&json!("vonage"), &json!("submitted")));
    assert_eq!(done["message_id"], "aaaaaaaa-bbbb-4ccc-8ddd-0123456789ab");
    for (status, code, expected) in [
        (401, "unauthorized", "misconfigured: unauthorized"),
        (403, "forbidden", "misconfigured: unauthorized"),
        (402, "low-balance", "misconfigured: low_balance"),
        (403, "low-balance", "misconfigured: low_balance"),
        (403, "account-suspended", "misconfigured: account_suspended"),
        (422, "1020", "permanent: invalid_parameters"),
        (422, "1040", "permanent: unroutable"),
        (422, "1050", "permanent: blocked"),
        (422, "1070", "misconfigured: low_balance"),
        (422, "1090", "permanent: message_too_long"),
        (422, "1120", "misconfigured: invalid_sender"),
        (422, "1160", "misconfigured: trial_account"),
        (422, "1150", "permanent: invalid_parameters"),
        (422, "1100", "transient: provider_trouble"),
        (429, "1000", "transient: too_many_requests"),
        (500, "1030", "transient: http_status"),
        (404, "not-found", "permanent: http_status"),
    ] {
        server.respond(move |request| answer(request, || problem(status, code)));
        let attempt = run().await;
        assert_eq!(told(&attempt), expected, "{status}");
        assert!(attempt.result.unwrap_err().to_string().contains("Why it is"), "{status}");
    }
    server.respond(|request| answer(request, || problem(429, "1000").header("retry-after", "1")));
    assert_eq!(told(&run().await), "throttled after 1000 ms: too_many_requests");
}
