//! What operators write, and what they are told when it is wrong.

use aftercommit_runtime::ComponentSource;
use serde_json::{Value, json};

use crate::fixture::{
    component, configure, delivery, details, event, plugin, plugin_with, run, runtime_with, settings,
    try_configure,
};

async fn told(guest: &str, written: Value) -> String {
    try_configure(&plugin(guest).await, written).await.expect_err("it must not load").to_string()
}

#[tokio::test]
async fn everything_wrong_is_told_at_once() {
    let text = told(
        "webhook",
        json!({"ulr": "https://example.com", "grants": {"htp": []}, "limits": {"memory": 1}, "timeout_ms": 0}),
    )
    .await;
    for expected in [
        "/ulr: there is no key `ulr` here (did you mean `url`?)",
        "/grants/htp: there is no key `htp` here (did you mean `http`?)",
        "/limits/memory: there is no key `memory` here (did you mean `memory_mb`?)",
        "/timeout_ms: expected a whole number from 1 to 3600000, found 0",
    ] {
        assert!(text.contains(expected), "{text}");
    }
}

#[tokio::test]
async fn a_missing_secret_is_named_with_its_place() {
    let text = told("test/echo", json!({"secret": "Bearer ${secret:API_TOKEN}"})).await;
    assert_eq!(text, "/secret: there is no secret `API_TOKEN` (put API_TOKEN into the test)");
    let text = told("test/echo", json!({"secret_env": "API_TOKEN"})).await;
    assert!(text.contains("there is no secret `API_TOKEN`"), "{text}");
    let text = told("test/echo", json!({"secret_env": "not a name"})).await;
    assert!(text.contains("must be the name of a secret"), "{text}");
}

#[tokio::test]
async fn a_wrong_template_has_a_place() {
    let text = told("test/echo", json!({"text": "line one\n{{#if a}} never closed"})).await;
    assert!(text.starts_with("/text: the template is wrong: line "), "{text}");
    let text = told("test/echo", json!({"list": ["fine", "\n {{shout name}}"]})).await;
    assert!(
        text.contains("/list/1") && text.contains("line 2") && text.contains("no helper `shout`"),
        "{text}"
    );
}

#[tokio::test]
async fn the_plugins_own_check_is_asked_within_bounds() {
    assert_eq!(
        told("test/hostile", json!({"do": "nothing", "check": "refuse"})).await,
        "/message: refused as told"
    );
    assert!(
        told("test/hostile", json!({"do": "nothing", "check": "trap"})).await.contains("did not end well")
    );
    // On a busy machine the wall time may be over first.
    assert!(
        told("test/hostile", json!({"do": "nothing", "check": "loop"})).await.contains("did not end well")
    );
    let request = json!({"url": "http://127.0.0.1:1"});
    let text = told("test/hostile", json!({"do": "nothing", "check": "http", "request": request})).await;
    assert!(text.contains("denied") && text.contains("during `run` only"), "{text}");
}

#[tokio::test]
async fn templates_are_rendered_before_the_guest_sees_them() {
    let action = configure(
        &plugin("test/echo").await,
        json!({
            "plain": "{{name}}", "text": "{{entity_type}} {{total}} {{default nickname \"none\"}}",
            "json": "{\"n\":\"{{name}}\",\"t\":{{{total}}},\"all\":{{{data}}}}", "html": "<b>{{name}}</b>",
            "list": ["{{#each items}}{{sku}};{{/each}}"], "map": {"a/b": "{{old.total}}{{#if gone}}x{{/if}}"},
        }),
    )
    .await;
    let data: Value = serde_json::from_str(
        r#"{"name":"A\"<&>","total":100.00000000000000000001,"items":[{"sku":"x"},{"sku":"y"}]}"#,
    )
    .unwrap();
    let event = aftercommit_core::EntityEvent::new(aftercommit_core::EventKind::Updated, "Order", 7, data)
        .with_old(json!({"total": 3}));
    let attempt = action.run(&aftercommit_runtime::PreparedEvent::new(event), delivery()).await;
    let config = &details(&attempt)["config"];
    assert_eq!(config["plain"], "{{name}}");
    assert_eq!(config["text"], "Order 100.00000000000000000001 none");
    let body: Value = serde_json::from_str(config["json"].as_str().unwrap()).unwrap();
    assert_eq!(body["n"], "A\"<&>");
    assert_eq!(body["t"].to_string(), "100.00000000000000000001");
    assert_eq!(body["all"]["items"][1]["sku"], "y");
    assert_eq!(config["html"], "<b>A&quot;&lt;&amp;&gt;</b>");
    assert_eq!(config["list"][0], "x;y;");
    assert_eq!(config["map"]["a/b"], "3");
}

#[tokio::test]
async fn a_missing_field_is_permanent_and_named() {
    let action = configure(&plugin("test/echo").await, json!({"map": {"x": "{{customer.nmae}}"}})).await;
    let failure = run(&action).await.result.unwrap_err();
    assert!(!failure.is_transient());
    assert_eq!(failure.problem.to_string(), "template: /map/x: the field `customer.nmae` is missing");
}

#[tokio::test]
async fn guests_may_render_within_bounds() {
    let plugin = plugin("test/hostile").await;
    let action = configure(&plugin, json!({"do": "render", "message": "{{name}}!"})).await;
    let got = details(&run(&action).await);
    assert_eq!(got["text"], "Anna!", "{got}");
    let missing = configure(&plugin, json!({"do": "render", "message": "{{nmae}}"})).await;
    assert!(details(&run(&missing).await)["message"].as_str().unwrap().contains("`nmae` is missing"));
    let loops = "{{#each n}}{{#each ../n}}{{#each ../../n}}{{/each}}{{/each}}{{/each}}";
    let endless = configure(&plugin, json!({"do": "render", "message": loops})).await;
    let many: Vec<u32> = (0..1000).collect();
    let attempt = endless.run(&event(json!({"n": many})), delivery()).await;
    assert!(details(&attempt)["message"].as_str().unwrap().contains("steps"));
    let nested = format!("{}{}", "{{#if a}}".repeat(700), "{{/if}}".repeat(700));
    let deep = configure(&plugin, json!({"do": "render", "message": nested})).await;
    assert!(details(&run(&deep).await)["message"].as_str().unwrap().contains("nested deeper"));
}

#[tokio::test]
async fn the_destination_is_the_literal_origin() {
    let webhook = plugin("webhook").await;
    let action = configure(&webhook, json!({"url": "https://Example.com/a/{{entity_id}}"})).await;
    assert_eq!(action.destination(), "https://example.com");
    assert!(!action.is_one_endpoint());
    let origins: Vec<String> = action.effective_grants().origins.iter().map(ToString::to_string).collect();
    assert_eq!(origins, ["https://example.com"]);
    let granted = json!({"url": "https://{{host}}/a", "grants": {"http": ["https://a.example"]}});
    let templated = configure(&webhook, granted).await;
    assert_eq!(templated.destination(), "webhook/test-observer/webhook");
    assert!(!templated.is_one_endpoint());
    assert!(configure(&webhook, json!({"url": "https://example.com/a"})).await.is_one_endpoint());
    let origins: Vec<String> = templated.effective_grants().origins.iter().map(ToString::to_string).collect();
    assert_eq!(origins, ["https://a.example"]);
}

/// Each event would be a dead letter.
#[tokio::test]
async fn what_no_request_could_go_to_is_told_at_once() {
    for (url, grants, expected) in [
        (
            "http://127.0.0.1:8080/hook",
            json!({}),
            "/url: its address is in a special range (loopback), which is not granted",
        ),
        ("http://localhost/hook", json!({}), "(write grants = { private_network = true })"),
        ("http://[fd00::1]/hook", json!({"private_network": ["10.0.0.0/8"]}), "special range (unique local"),
        (
            "https://{{host}}/hook",
            json!({}),
            "/url: its host comes from a template or a secret, and no origin is granted",
        ),
        ("https://user:hunter2@example.com/", json!({}), "/url: a URL holds no user and no password"),
    ] {
        let told = told("webhook", json!({"url": url, "grants": grants})).await;
        assert!(told.contains(expected) && !told.contains("hunter2"), "{url}: {told}");
    }
    let webhook = plugin("webhook").await;
    for (url, grants) in [
        ("http://127.0.0.1:8080/hook", json!({"private_network": true})),
        ("http://10.1.2.3/hook", json!({"private_network": ["10.0.0.0/8"]})),
        ("http://shop.internal/hook", json!({})),
    ] {
        configure(&webhook, json!({"url": url, "grants": grants})).await;
    }
}

/// Nobody has granted what a plugin's author wrote into its schema.
#[tokio::test]
async fn only_a_plugin_that_is_built_in_has_default_destinations() {
    let written = json!({
        "phone": "+15558675310", "message_template": "m", "from": "+15557122661",
        "account_sid": "AC00000000000000000000000000000001", "auth_token": "${secret:T}",
    });
    let sms = plugin_with("sms", &[("T", "t")]).await;
    let text = try_configure(&sms, written.clone()).await.expect_err("it must not load").to_string();
    assert_eq!(
        text,
        "/api_url: is not written, and this plugin would send to `https://api.twilio.com`, which nobody granted \
         (write api_url = \"https://api.twilio.com\" to grant it)"
    );
    let runtime = runtime_with(settings(), &[("T", "t")]);
    let bytes = std::fs::read(component("sms")).unwrap();
    let builtin = runtime.load("sms", ComponentSource::Bytes(bytes.into()), None).await.unwrap();
    let action = configure(&builtin, written).await;
    assert_eq!(action.destination(), "https://api.twilio.com");
}
