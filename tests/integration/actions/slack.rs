//! Slack's contract. Checked against its developer documentation: "chat.postMessage" (arguments, answer, errors); the changelog of
//! 2016-05-17, "Improving error conditions for Incoming Webhooks" (words and statuses). What the plugin's README calls undocumented is
//! answered as programs report it.

use aftercommit_core::EventKind;
use aftercommit_tests::{Answer, Received, Receiver};
use serde_json::{Value, json};

use super::{
    broken,
    component::{action, details, refused, told},
    example::{PRIVATE, example, logged, shop},
    json_object, require,
};

const TOKEN: &str = "xoxb-1-made-for-tests";
const WEBHOOK_PATH: &str = "/services/T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX";

/// Answers as Slack does when all is well.
fn slack(request: &Received) -> Answer {
    answer(request, || match request.path.as_str() {
        WEBHOOK_PATH => Answer::status(200).text("ok"),
        _ => Answer::status(200).json(&json!({
            "ok": true, "channel": "C1H9RESGL", "ts": "1503435956.000247", "message": {"type": "message"},
        })),
    })
}

fn answer(request: &Received, when_right: impl FnOnce() -> Answer) -> Answer {
    match contract(request) {
        Ok(()) => when_right(),
        Err(why) => broken(request, &why),
    }
}

fn contract(request: &Received) -> Result<(), String> {
    require(request.method == "POST", "the method is POST")?;
    let web_api = request.path == "/api/chat.postMessage";
    require(web_api || request.path == WEBHOOK_PATH, "the path is one of a webhook or of the method")?;
    if web_api {
        require(
            request.header("authorization") == format!("Bearer {TOKEN}"),
            "a JSON request has its token as bearer",
        )?;
        require(
            request.header("content-type") == "application/json; charset=utf-8",
            "the charset is declared",
        )?;
    } else {
        require(request.header("content-type") == "application/json", "the payload is JSON")?;
        require(request.header("authorization").is_empty(), "a webhook has no token")?;
    }
    let payload = json_object(request)?;
    for (name, value) in &payload {
        let right = match name.as_str() {
            "channel" | "text" => value.as_str().is_some_and(|text| !text.is_empty()),
            "thread_ts" => value.as_str().is_some_and(is_ts),
            "blocks" => value
                .as_array()
                .is_some_and(|all| all.len() <= 50 && all.iter().all(|block| block["type"].is_string())),
            "reply_broadcast" | "unfurl_links" | "unfurl_media" => value.is_boolean(),
            _ => return Err(format!("`{name}` is an argument")),
        };
        require(right, &format!("`{name}` has the form of its argument"))?;
    }
    require(!web_api || payload.contains_key("channel"), "chat.postMessage has a channel")?;
    require(payload.contains_key("text") || payload.contains_key("blocks"), "there is a text or blocks")
}

/// `1503435956.000247`
fn is_ts(text: &str) -> bool {
    text.split_once('.').is_some_and(|(secs, more)| {
        secs.len() == 10 && more.len() == 6 && (secs.to_owned() + more).parse::<u64>().is_ok()
    })
}

fn payload(request: &Received) -> Value {
    serde_json::from_slice(&request.body).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_posts_through_webhook_and_web_api() {
    let server = Receiver::start().await;
    server.respond(slack);
    let observers = example(
        "slack",
        &[
            ("webhook_url_env", PRIVATE.to_owned()),
            ("token_env", format!("api_url = \"{}\"\n{PRIVATE}", server.url("/api"))),
        ],
    );
    let webhook = server.url(WEBHOOK_PATH);
    let shop = shop(&observers, &[("SLACK_WEBHOOK_URL", &webhook), ("SLACK_BOT_TOKEN", TOKEN)]).await;
    let host = shop.start_host();
    shop.sql("INSERT INTO orders VALUES (7, '<!channel> & co', 150)").await;
    // Deliveries of one entity may end in any order: the first is waited for.
    logged(&shop, 1).await;
    shop.sql("UPDATE orders SET status = 'shipped' WHERE id = 7").await;
    let log = logged(&shop, 2).await;
    assert!(host.stop());

    let received = server.received();
    assert_eq!(
        payload(&received[0]),
        json!({"text": "Order 7 created: &lt;!channel&gt; &amp; co, total 150"})
    );
    let posted = payload(&received[1]);
    assert_eq!((&posted["channel"], &posted["unfurl_links"]), (&json!("#orders"), &json!(false)));
    assert_eq!(posted["blocks"][1]["text"]["text"], "was *&lt;!channel&gt; &amp; co*, is *shipped*");
    assert_eq!(log, ["order-created succeeded - - 200", "order-shipped succeeded - - 200"]);
    assert!(
        !shop.host_log().contains(TOKEN) && !shop.host_log().contains("/services/"),
        "{}",
        shop.host_log()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_slack_refuses_for_good_is_a_dead_letter_at_once() {
    let server = Receiver::start().await;
    server.respond(|request| answer(request, || Answer::status(410).text("channel_is_archived")));
    let observers =
        example("slack", &[("webhook_url_env", PRIVATE.to_owned()), ("token_env", PRIVATE.to_owned())]);
    let webhook = server.url(WEBHOOK_PATH);
    let shop = shop(&observers, &[("SLACK_WEBHOOK_URL", &webhook), ("SLACK_BOT_TOKEN", TOKEN)]).await;
    let host = shop.start_host();
    shop.sql("INSERT INTO orders VALUES (7, 'pending', 150)").await;
    assert_eq!(logged(&shop, 1).await, ["order-created dead permanent channel_is_archived 410"]);
    assert!(host.stop());
    assert_eq!(server.count(), 1);
    assert_eq!(
        shop.count("SELECT count(*) FROM observer_dlq_items WHERE code = 'channel_is_archived'").await,
        1
    );
}

#[tokio::test]
async fn errors_of_the_web_api_have_their_classes() {
    let server = Receiver::start().await;
    let written = json!({
        "token": "${secret:T}", "channel": "C1", "message_template": "m", "thread_ts": "{{ts}}", "reply_broadcast": true,
        "api_url": server.url("/api/"), "grants": {"private_network": true},
    });
    let action = action("slack", written, &[("T", TOKEN)]).await;
    let run = async || action.run(EventKind::Created, json!({"ts": "1503435956.000247"})).await;
    server.respond(slack);
    assert_eq!(details(&run().await), json!({"channel": "C1H9RESGL", "ts": "1503435956.000247"}));
    for (status, code, expected) in [
        (200, "channel_not_found", "permanent: channel_not_found"),
        (200, "is_archived", "permanent: is_archived"),
        (200, "not_in_channel", "permanent: not_in_channel"),
        (200, "restricted_action_thread_locked", "permanent: restricted_action_thread_locked"),
        (200, "msg_blocks_too_long", "permanent: msg_blocks_too_long"),
        (200, "team_not_found", "misconfigured: team_not_found"),
        (200, "request_timeout", "transient: request_timeout"),
        (200, "msg_too_long", "permanent: msg_too_long"),
        (200, "invalid_auth", "misconfigured: invalid_auth"),
        (200, "token_revoked", "misconfigured: token_revoked"),
        (200, "missing_scope", "misconfigured: missing_scope"),
        (200, "ratelimited", "transient: ratelimited"),
        (200, "internal_error", "transient: internal_error"),
        (200, "fatal_error", "transient: fatal_error"),
        (503, "service_unavailable", "transient: service_unavailable"),
        (200, "a_new_code", "permanent: slack_error"),
        (500, "a_new_code", "transient: http_status"),
    ] {
        server.respond(move |request| {
            answer(request, || Answer::status(status).json(&json!({"ok": false, "error": code})))
        });
        assert_eq!(told(&run().await), expected, "{status} {code}");
    }
    server.respond(|request| {
        answer(request, || {
            Answer::status(429)
                .header("retry-after", "30")
                .json(&json!({"ok": false, "error": "ratelimited"}))
        })
    });
    assert_eq!(told(&run().await), "throttled after 30000 ms: ratelimited");
    server.respond(|request| answer(request, || Answer::status(200).text("<html>a proxy's page</html>")));
    assert_eq!(told(&run().await), "transient: unexpected_response");
}

#[tokio::test]
async fn errors_of_webhooks_have_their_classes() {
    let server = Receiver::start().await;
    let written = json!({
        "webhook_url": server.url(WEBHOOK_PATH), "message_template": "m", "grants": {"private_network": true},
    });
    let action = action("slack", written, &[]).await;
    for (status, text, expected) in [
        (200, "ok", "done"),
        (400, "invalid_payload", "permanent: invalid_payload"),
        (400, "user_not_found", "permanent: user_not_found"),
        (403, "action_prohibited", "misconfigured: action_prohibited"),
        (403, "invalid_token", "misconfigured: invalid_token"),
        (404, "channel_not_found", "permanent: channel_not_found"),
        (404, "no_service", "misconfigured: no_service"),
        (410, "channel_is_archived", "permanent: channel_is_archived"),
        (500, "rollup_error", "transient: rollup_error"),
        (502, "<html>", "transient: http_status"),
    ] {
        server.respond(move |request| answer(request, || Answer::status(status).text(text)));
        let attempt = action.run(EventKind::Created, json!({})).await;
        assert_eq!(told(&attempt), expected, "{status} {text}");
    }
    server.respond(|request| {
        answer(request, || Answer::status(429).header("retry-after", "2").text("rate_limited"))
    });
    assert_eq!(
        told(&action.run(EventKind::Created, json!({})).await),
        "throttled after 2000 ms: rate_limited"
    );
}

#[tokio::test]
async fn the_documented_configuration_loads_and_a_wrong_one_is_told() {
    let seed = json!({
        "webhook_url": "https://hooks.slack.com/services/T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX",
        "channel": "#notifications", "message_template": "Order {{entity_id}} created",
    });
    assert_eq!(action("slack", seed, &[]).await.origins(), ["https://hooks.slack.com"]);
    let token = json!({"token_env": "T", "channel": "C1", "message_template": "m"});
    assert_eq!(action("slack", token, &[("T", TOKEN)]).await.origins(), ["https://slack.com"]);
    let told = refused("slack", json!({"channel": "C1", "message_template": "m"})).await;
    assert!(told.contains("write `webhook_url`, or `webhook_url_env`"), "{told}");
}

/// Data can not leave the JSON string that it stands in, nor mention people.
#[tokio::test]
async fn values_in_blocks_are_text() {
    let server = Receiver::start().await;
    server.respond(slack);
    let blocks = r#"{"blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": "{{name}}"}}]}"#;
    let written = json!({
        "webhook_url": server.url(WEBHOOK_PATH), "blocks_template": blocks, "grants": {"private_network": true},
    });
    let action = action("slack", written, &[]).await;
    let attempt = action.run(EventKind::Created, json!({"name": "\"}},<!here>\\"})).await;
    assert_eq!(told(&attempt), "done");
    assert_eq!(payload(&server.received()[0])["blocks"][0]["text"]["text"], "\"}},&lt;!here&gt;\\");
    let broken = json!({
        "webhook_url": server.url(WEBHOOK_PATH), "blocks_template": "[{{{name}}}", "grants": {"private_network": true},
    });
    let action = super::component::action("slack", broken, &[]).await;
    assert_eq!(told(&action.run(EventKind::Created, json!({"name": "x"})).await), "permanent: template");
    assert_eq!(server.count(), 1);
}
