//! Twilio's contract. Checked against: "Error and Warning Dictionary" (codes), "Alphanumeric Sender ID", Twilio's API definition for the
//! "Messages resource" (path, form, answer) and "Requests to Twilio" (basic authentication).

use std::collections::BTreeMap;

use aftercommit_core::EventKind;
use aftercommit_tests::{Answer, Received, Receiver};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{
    broken,
    component::{Action, action, details, refused, told},
    example::{PRIVATE, example, logged, shop},
    require,
};

const ACCOUNT: &str = "AC00000000000000000000000000000001";
const SERVICE: &str = "MG00000000000000000000000000000001";
const AUTH_TOKEN: &str = "a-token-made-for-tests";
const API_KEY: &str = "SK00000000000000000000000000000001";
const API_SECRET: &str = "a-secret-made-for-tests";

fn answer(request: &Received, when_right: impl FnOnce(&BTreeMap<String, String>) -> Answer) -> Answer {
    match contract(request) {
        Ok(form) => when_right(&form),
        Err(why) => broken(request, &why),
    }
}

/// The message's form, if the request is right.
fn contract(request: &Received) -> Result<BTreeMap<String, String>, String> {
    require(request.method == "POST", "the method is POST")?;
    require(
        request.path == format!("/2010-04-01/Accounts/{ACCOUNT}/Messages.json"),
        "the path names the account",
    )?;
    let basic =
        |user: &str, password: &str| format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
    let credentials = [basic(ACCOUNT, AUTH_TOKEN), basic(API_KEY, API_SECRET)];
    require(
        credentials.iter().any(|known| known == request.header("authorization")),
        "the credentials are right",
    )?;
    require(request.header("content-type") == "application/x-www-form-urlencoded", "the body is a form")?;
    let form: BTreeMap<String, String> = url::form_urlencoded::parse(&request.body).into_owned().collect();
    let known = ["To", "From", "MessagingServiceSid", "Body", "StatusCallback"];
    if let Some(other) = form.keys().find(|name| !known.contains(&name.as_str())) {
        return Err(format!("`{other}` is a parameter"));
    }
    require(form.get("To").is_some_and(|to| to.starts_with('+')), "To is a number in E.164")?;
    require(
        form.get("Body").is_some_and(|body| (1..=1600).contains(&body.chars().count())),
        "Body has 1 to 1600 letters",
    )?;
    require(form.contains_key("From") != form.contains_key("MessagingServiceSid"), "there is one sender")?;
    Ok(form)
}

/// A message that was queued.
fn queued(form: &BTreeMap<String, String>) -> Answer {
    Answer::status(201).json(&json!({
        "sid": "SM00000000000000000000000000000001", "account_sid": ACCOUNT, "api_version": "2010-04-01", "to": form["To"],
        "from": form.get("From"), "messaging_service_sid": form.get("MessagingServiceSid"), "body": form["Body"],
        "status": "queued", "num_segments": "1", "error_code": null, "error_message": null,
    }))
}

fn refusal(status: u16, code: u32) -> Answer {
    let more = format!("https://www.twilio.com/docs/errors/{code}");
    Answer::status(status)
        .json(&json!({"code": code, "message": "What Twilio says", "more_info": more, "status": status}))
}

fn written(server: &Receiver) -> Value {
    json!({
        "phone": "{{phone}}", "message_template": "{{text}}", "from": "+15557122661", "account_sid": ACCOUNT,
        "auth_token": "${secret:TOKEN}", "api_url": server.url(""), "grants": {"private_network": true},
    })
}

async fn run(action: &Action, text: &str) -> aftercommit_runtime::Attempt {
    action.run(EventKind::Created, json!({"phone": "+15558675310", "text": text})).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_sends_a_text_message() {
    let server = Receiver::start().await;
    server.respond(|request| answer(request, queued));
    let observers = example(
        "sms",
        &[
            ("account_sid_env", format!("api_url = \"{}\"\n", server.url(""))),
            ("auth_token_env", PRIVATE.to_owned()),
        ],
    );
    let secrets = [
        ("TWILIO_ACCOUNT_SID", ACCOUNT),
        ("TWILIO_AUTH_TOKEN", AUTH_TOKEN),
        ("VONAGE_API_KEY", "not used"),
        ("VONAGE_API_SECRET", "not used"),
    ];
    let shop = shop(&observers, &secrets).await;
    let host = shop.start_host();
    shop.sql("INSERT INTO orders VALUES (7, 'a & b = ü', 150)").await;
    assert_eq!(logged(&shop, 1).await, ["tell-the-shop succeeded - - 201"]);
    server.respond(|request| answer(request, |_| refusal(400, 21610)));
    shop.sql("INSERT INTO orders VALUES (8, 'pending', 150)").await;
    assert_eq!(logged(&shop, 2).await[1], "tell-the-shop dead permanent opted_out 400");
    assert!(host.stop());
    let form = contract(&server.received()[0]).unwrap();
    assert_eq!(
        (form["Body"].as_str(), form["From"].as_str()),
        ("Order 7: a & b = ü, total 150", "+15557122661")
    );
    assert_eq!(shop.count("SELECT count(*) FROM observer_dlq_items WHERE code = 'opted_out'").await, 1);
    assert!(!shop.host_log().contains(AUTH_TOKEN), "{}", shop.host_log());
}

#[tokio::test]
async fn a_success_tells_what_will_be_billed() {
    let server = Receiver::start().await;
    server.respond(|request| answer(request, queued));
    let mut written = written(&server);
    let action = action("sms", written.clone(), &[("TOKEN", AUTH_TOKEN)]).await;
    for (text, encoding, segments) in
        [("short", "gsm7", 1), (&"a€".repeat(60), "gsm7", 2), ("заказ", "ucs2", 1)]
    {
        assert_eq!(
            details(&run(&action, text).await),
            json!({
                "provider": "twilio", "message_id": "SM00000000000000000000000000000001", "state": "queued",
                "encoding": encoding, "segments": segments,
            })
        );
    }
    // An API key, a messaging service and a callback.
    let own = written.as_object_mut().unwrap();
    own.remove("auth_token");
    own.remove("from");
    own.extend(
        json!({
            "api_key": API_KEY, "api_secret_env": "S", "messaging_service_sid": SERVICE,
            "status_callback": "https://example.com/sms?order={{text}}",
        })
        .as_object()
        .cloned()
        .unwrap(),
    );
    let action = super::component::action("sms", written, &[("S", API_SECRET)]).await;
    assert_eq!(told(&run(&action, "a&b").await), "done");
    let form = contract(server.received().last().unwrap()).unwrap();
    assert_eq!(form["MessagingServiceSid"], SERVICE);
    assert_eq!(form["StatusCallback"], "https://example.com/sms?order=a%26b");
}

#[tokio::test]
async fn errors_have_their_classes() {
    let server = Receiver::start().await;
    let action = action("sms", written(&server), &[("TOKEN", AUTH_TOKEN)]).await;
    for (status, code, expected) in [
        (400, 21211, "permanent: invalid_phone_number"),
        (400, 21614, "permanent: not_a_mobile_number"),
        (400, 21610, "permanent: opted_out"),
        (400, 21612, "permanent: unroutable"),
        (400, 21617, "permanent: message_too_long"),
        (403, 21408, "misconfigured: region_not_permitted"),
        (400, 21268, "permanent: unroutable"),
        (400, 21619, "permanent: empty_message"),
        (400, 21606, "misconfigured: invalid_sender"),
        (400, 21657, "misconfigured: invalid_sender"),
        (400, 21607, "misconfigured: trial_account"),
        (400, 21608, "misconfigured: trial_account"),
        (401, 20003, "misconfigured: unauthorized"),
        (404, 20404, "misconfigured: account_not_found"),
        (429, 20429, "transient: too_many_requests"),
        (429, 21611, "transient: queue_full"),
        (400, 30007, "permanent: filtered"),
        (503, 20503, "transient: provider_trouble"),
        // Not in the table: the status decides.
        (400, 29999, "permanent: http_status"),
        (500, 29999, "transient: http_status"),
    ] {
        server.respond(move |request| answer(request, |_| refusal(status, code)));
        assert_eq!(told(&run(&action, "x").await), expected, "{code}");
    }
    server.respond(|request| answer(request, |_| refusal(429, 20429).header("retry-after", "3")));
    assert_eq!(told(&run(&action, "x").await), "throttled after 3000 ms: too_many_requests");
    server.respond(|request| {
        answer(request, |_| {
            Answer::status(201).json(&json!({"sid": "SM1", "status": "failed", "error_code": 30004}))
        })
    });
    assert_eq!(told(&run(&action, "x").await), "permanent: blocked");
}

#[tokio::test]
async fn what_can_not_be_sent_is_not_sent() {
    let server = Receiver::start().await;
    let action = action("sms", written(&server), &[("TOKEN", AUTH_TOKEN)]).await;
    let attempt = action.run(EventKind::Created, json!({"phone": "0171 123", "text": "x"})).await;
    assert_eq!(told(&attempt), "permanent: invalid_phone_number");
    let message = attempt.result.unwrap_err().to_string();
    assert!(message.contains("starts with '0'") && !message.contains("0171"), "{message}");
    assert_eq!(told(&run(&action, " ").await), "permanent: empty_message");
    assert_eq!(server.count(), 0);
}

#[tokio::test]
async fn the_documented_configuration_loads_and_what_is_missing_is_told() {
    let mut seed = json!({"phone": "+1234567890", "message_template": "Order {{entity_id}} shipped"});
    let told = refused("sms", seed.clone()).await;
    for expected in [
        "account_sid_env = \"TWILIO_ACCOUNT_SID\"",
        "auth_token_env = \"TWILIO_AUTH_TOKEN\"",
        "from = \"+1..\"",
    ] {
        assert!(told.contains(expected), "{told}");
    }
    seed["account_sid_env"] = json!("A");
    seed["auth_token_env"] = json!("T");
    seed["from"] = json!("+15557122661");
    let action = action("sms", seed, &[("A", ACCOUNT), ("T", AUTH_TOKEN)]).await;
    assert_eq!(action.origins(), ["https://api.twilio.com"]);
}
