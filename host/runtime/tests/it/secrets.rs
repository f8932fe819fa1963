//! Secrets: never in the guest, never to a destination that they were not granted towards.

use std::collections::BTreeMap;

use aftercommit_runtime::{
    ComponentSource, RedisSettings, RuntimeSettings, ServiceSettings, SmtpEncryption, SmtpSettings,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::hmac;
use serde_json::{Value, json};

use crate::{
    fixture::{
        component, configure, delivery, details, event, plugin_with, run, runtime_with, settings,
        try_configure,
    },
    receiver::{Receiver, answer, ok},
};

const TOKEN: (&str, &str) = ("TOKEN", "s3cr3t-value");

/// The handle that an echoing guest sees.
async fn echoed(written: Value, secrets: &[(&'static str, &'static str)]) -> Value {
    let action = configure(&plugin_with("test/echo", secrets).await, written).await;
    details(&run(&action).await)
}

/// A helper is given the handle, and what it makes of that is sent as it is.
#[tokio::test]
async fn a_secret_within_a_tag_is_refused_when_the_action_is_loaded() {
    let plugin = plugin_with("test/echo", &[TOKEN]).await;
    for (field, template) in [
        ("body", r#"{"a":"{{upper '${secret:TOKEN}'}}"}"#),
        ("body", r#"{"a":{{{json "${secret:TOKEN}"}}}}"#),
        ("body", r#"{"a":"{{#if (eq name '${secret:TOKEN}')}}x{{/if}}"}"#),
        ("body", r#"{"a":"{{truncate name (len '${secret:TOKEN}')}}"}"#),
        ("body", r#"{"a":"{{default name "x ${secret:TOKEN}"}}"}"#),
        ("body", r#"{"a":"{{number total 1 point='${secret:TOKEN}'}}"}"#),
        ("url", "https://a.example/{{lower '${secret:TOKEN}'}}"),
    ] {
        let refused = try_configure(&plugin, json!({field: template})).await.map(drop).unwrap_err();
        assert!(refused.to_string().contains("within a tag"), "{template}: {refused}");
        assert!(!refused.to_string().contains("acsecret"), "{refused}");
    }
    let beside = json!({"body": r#"{"a":"${secret:TOKEN}","b":"{{upper name}}${secret:TOKEN}"}"#});
    configure(&plugin, beside).await;
}

#[tokio::test]
async fn a_guest_sees_handles() {
    let seen = echoed(
        json!({"secret": "Bearer ${secret:TOKEN}", "secret_env": "TOKEN", "map": {"a": "${secret:TOKEN} {{name}}"}}),
        &[TOKEN],
    )
    .await;
    let text = seen.to_string();
    assert!(!text.contains(TOKEN.1) && !text.contains("${secret"), "{text}");
    let config = &seen["config"];
    assert!(config["secret"].as_str().unwrap().starts_with("Bearer acsecret"));
    assert_eq!(config["secrets"].as_array().unwrap().len(), 1);
    assert!(config["map"]["a"].as_str().unwrap().ends_with(" Anna"));
}

#[tokio::test]
async fn event_data_never_becomes_a_secret() {
    let plugin = plugin_with("test/echo", &[TOKEN]).await;
    let action =
        configure(&plugin, json!({"secret": "${secret:TOKEN}", "text": "{{x}}", "list": ["{{y}}"]})).await;
    let honest = action.run(&event(json!({"x": 1, "y": 2})), delivery()).await;
    let handle = details(&honest)["config"]["secret"].as_str().unwrap().to_owned();
    let attempt =
        action.run(&event(json!({"x": "${secret:TOKEN}", "y": format!("a{handle}b")})), delivery()).await;
    let seen = details(&attempt);
    assert_eq!(seen["config"]["text"], "${secret:TOKEN}");
    assert!(!seen["config"]["list"][0].as_str().unwrap().contains(&handle));
    assert!(!seen["event"].to_string().contains(&handle));
    assert!(!seen.to_string().contains(TOKEN.1));
}

#[tokio::test]
async fn a_secret_in_a_body_is_put_in_and_signed() {
    let receiver = Receiver::start(|_| ok("")).await;
    let key = ("KEY", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    let plugin = plugin_with("webhook", &[("TOKEN", "s3\"cr3t"), key]).await;
    let grants = json!({"private_network": true});
    let body = r#"{"token":"${secret:TOKEN}","name":"{{name}}"}"#;
    let written = json!({
        "url": receiver.origin(), "body_template": body, "signing_secrets": ["${secret:KEY}"], "grants": grants,
    });
    run(&configure(&plugin, written).await).await.result.unwrap();
    let raw = json!({"url": receiver.origin(), "raw_body_template": "t=${secret:TOKEN}", "grants": grants});
    run(&configure(&plugin, raw).await).await.result.unwrap();
    let seen = receiver.seen();
    assert_eq!(seen[0].body, r#"{"token":"s3\"cr3t","name":"Anna"}"#);
    assert_eq!(seen[1].body, "t=s3\"cr3t");
    let header = |name: &str| seen[0].header(name).unwrap().to_owned();
    let signed = format!("{}.{}.{}", header("webhook-id"), header("webhook-timestamp"), seen[0].body);
    let key = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
    let expected = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), signed.as_bytes());
    assert_eq!(header("webhook-signature"), format!("v1,{}", STANDARD.encode(expected)));
}

/// The receiver would take the handle for the secret.
#[tokio::test]
async fn a_secret_is_refused_where_nobody_puts_it_in() {
    for (name, written, pointer) in [
        ("log", json!({"message": "x ${secret:TOKEN}"}), "/message"),
        (
            "slack",
            json!({"webhook_url": "https://h.example", "message_template": "${secret:TOKEN}"}),
            "/message_template",
        ),
        ("cache", json!({"key_pattern": "a:${secret:TOKEN}", "action": "refresh"}), "/key_pattern"),
        (
            "email",
            json!({"to": "a@b.example", "subject": "s", "html_template": "${secret:TOKEN}"}),
            "/html_template",
        ),
        (
            "sms",
            json!({"api_url": "https://s.example", "phone": "+15558675310", "message_template": "${secret:TOKEN}"}),
            "/message_template",
        ),
        (
            "push",
            json!({"api_url": "https://s.example", "token_url": "https://s.example", "device_token": "t", "data": {"a/b": "${secret:TOKEN}"}}),
            "/data/a~1b",
        ),
        ("search", json!({"index": "${secret:TOKEN}", "url": "https://s.example"}), "/index"),
    ] {
        // The host has servers of its own; nothing is asked of them.
        let redis = RedisSettings::from_url("redis://127.0.0.1:1").unwrap();
        let services = ServiceSettings {
            redis: BTreeMap::from([("default".to_owned(), redis)]),
            smtp: Some(SmtpSettings::new("localhost", 1, SmtpEncryption::None)),
            ..ServiceSettings::default()
        };
        let runtime = runtime_with(RuntimeSettings { services, ..settings() }, &[TOKEN]);
        let plugin = runtime.load(name, ComponentSource::File(component(name)), None).await.unwrap();
        let Err(error) = try_configure(&plugin, written).await else { panic!("{name} takes it") };
        let refused = error
            .problems
            .iter()
            .any(|it| it.pointer == pointer && it.message.contains("secret is not put in"));
        assert!(refused, "{name}: {error}");
    }
}

/// A field without a mark: only its plugin knows where it goes.
#[tokio::test]
async fn no_request_leaves_with_a_handle_in_its_body() {
    let mine = Receiver::start(|_| ok("")).await;
    let plugin = plugin_with("test/hostile", &[TOKEN]).await;
    let grants = json!({"http": [mine.origin()], "private_network": true, "secrets": ["TOKEN"]});
    let request = json!({"method": "POST", "url": mine.origin(), "body": "x ${secret:TOKEN}"});
    let written = json!({"do": "http", "grants": grants, "request": request});
    let got = details(&run(&configure(&plugin, written).await).await);
    assert_eq!(got["error"], "denied", "{got}");
    assert!(got["message"].as_str().unwrap().contains("`TOKEN`") && mine.seen().is_empty(), "{got}");
}

fn sending(url: &str, header: &str, grants: &Value, redirects: u32) -> Value {
    json!({
        "do": "http", "grants": grants,
        "request": {"url": url, "headers": [["x-token", header]], "bearer": header, "max_redirects": redirects},
    })
}

#[tokio::test]
async fn a_secret_goes_where_it_was_granted_and_nowhere_else() {
    let (mine, other) = (Receiver::start(|_| ok("")).await, Receiver::start(|_| ok("")).await);
    let plugin = plugin_with("test/hostile", &[TOKEN]).await;
    let both = json!({"http": [mine.origin(), other.origin()], "private_network": true});
    // The URL of the hostile guest is no egress field, so the secret is granted towards nothing yet.
    let action = configure(&plugin, sending(&mine.origin(), "${secret:TOKEN}", &both, 0)).await;
    let got = details(&run(&action).await);
    assert_eq!(got["error"], "denied", "{got}");
    assert!(
        got["message"].as_str().unwrap().contains("`TOKEN`") && !got.to_string().contains(TOKEN.1),
        "{got}"
    );
    let mut with_secret = both;
    with_secret["secrets"] = json!(["TOKEN"]);
    let action = configure(&plugin, sending(&mine.origin(), "${secret:TOKEN}", &with_secret, 0)).await;
    assert_eq!(details(&run(&action).await)["status"], 200);
    assert_eq!(mine.seen()[0].header("x-token"), Some(TOKEN.1));
    assert_eq!(mine.seen()[0].header("authorization"), Some("Bearer s3cr3t-value"));
    assert!(other.seen().is_empty());
}

#[tokio::test]
async fn a_destination_that_repeats_a_secret_tells_nobody() {
    let echo = |seen: &crate::receiver::Received| {
        let token = seen.header("x-token").unwrap_or_default().to_owned();
        answer("500 Broken", &format!("x-echo: {token}\r\nx-echo: again\r\n"), &format!("you sent {token}!"))
    };
    let mine = Receiver::start(echo).await;
    let plugin = plugin_with("test/hostile", &[TOKEN]).await;
    let grants = json!({"http": [mine.origin()], "private_network": true, "secrets": ["TOKEN"]});
    let action = configure(&plugin, sending(&mine.origin(), "${secret:TOKEN}", &grants, 0)).await;
    let got = details(&run(&action).await).to_string();
    assert_eq!(mine.seen()[0].header("x-token"), Some(TOKEN.1));
    assert!(!got.contains(TOKEN.1), "{got}");
    assert!(got.contains("you sent [secret]!") && got.contains("again"), "{got}");
}

/// A guest that could ask for an answer packed or in pieces would get a secret that is not found in it.
#[tokio::test]
async fn a_guest_does_not_decide_in_what_form_an_answer_comes() {
    const FORMS: [(&str, &str); 6] = [
        ("Accept-Encoding", "gzip"),
        ("Range", "bytes=0-3"),
        ("If-Range", "\"a\""),
        ("Request-Range", "bytes=0-3"),
        ("A-IM", "range"),
        ("Accept-Charset", "utf-16"),
    ];
    let receiver = Receiver::start(|_| ok("")).await;
    let plugin = plugin_with("test/hostile", &[TOKEN]).await;
    let sent = async |token: &str, redirects: u32| {
        let grants = json!({"http": [receiver.origin()], "private_network": true, "secrets": ["TOKEN"]});
        let mut written = sending(&receiver.origin(), token, &grants, redirects);
        let headers = written["request"]["headers"].as_array_mut().unwrap();
        headers.extend(FORMS.map(|(name, value)| json!([name, value])));
        assert_eq!(details(&run(&configure(&plugin, written).await).await)["status"], 200);
        receiver.seen().pop().unwrap()
    };
    let with_secret = sent("${secret:TOKEN}", 0).await;
    for (name, _) in FORMS {
        let name = name.to_ascii_lowercase();
        let expected = (name == "accept-encoding").then_some("identity");
        assert_eq!(with_secret.header(&name), expected, "{name}");
    }
    // The destination may know it from another request.
    let grants = json!({"http": [receiver.origin()], "private_network": true, "secrets": ["TOKEN"]});
    let mut written = sending(&receiver.origin(), "none", &grants, 0);
    written["secret"] = json!("${secret:TOKEN}");
    written["request"]["headers"] = json!(FORMS);
    details(&run(&configure(&plugin, written).await).await);
    assert_eq!(receiver.seen().pop().unwrap().header("range"), None);
    // Without a secret they are the guest's.
    let without = sent("none", 0).await;
    for (name, value) in FORMS {
        assert_eq!(without.header(&name.to_ascii_lowercase()), Some(value), "{name}");
    }
}

#[tokio::test]
async fn a_packed_answer_that_nobody_asked_for_is_withheld_where_it_may_hold_a_secret() {
    let plugin = plugin_with("test/hostile", &[TOKEN]).await;
    for (header, packed) in [
        ("content-encoding: gzip\r\n", true),
        ("content-encoding: identity\r\ncontent-encoding: BR\r\n", true),
        ("content-encoding: gzip, identity\r\n", true),
        ("content-encoding: identity\r\n", false),
        ("content-encoding:\r\n", false),
    ] {
        let receiver = Receiver::start(move |_| answer("200 OK", header, "as if it were packed")).await;
        let grants = json!({"http": [receiver.origin()], "private_network": true, "secrets": ["TOKEN"]});
        for (token, withheld) in [("${secret:TOKEN}", packed), ("none", false)] {
            let action = configure(&plugin, sending(&receiver.origin(), token, &grants, 0)).await;
            let got = details(&run(&action).await);
            let expected = if withheld { "" } else { "as if it were packed" };
            assert_eq!(
                (&got["body"], &got["truncated"]),
                (&json!(expected), &json!(withheld)),
                "{header} {token}"
            );
        }
    }
}

#[tokio::test]
async fn a_secret_is_found_in_headers_however_it_is_written() {
    let hex: String = TOKEN.1.bytes().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
    let percent: String = TOKEN.1.bytes().map(|byte| format!("%{byte:02x}")).collect::<Vec<_>>().concat();
    let told = [
        format!("location: /next?t={percent}"),
        format!("set-cookie: t={hex}; Path=/"),
        format!("x-upper: {}", TOKEN.1.to_ascii_uppercase()),
        format!("x-{}: as a name", TOKEN.1),
        "x-honest: yes".to_owned(),
    ]
    .join("\r\n");
    let mine = Receiver::start(move |_| answer("200 OK", &format!("{told}\r\n"), "")).await;
    let plugin = plugin_with("test/hostile", &[TOKEN]).await;
    let grants = json!({"http": [mine.origin()], "private_network": true, "secrets": ["TOKEN"]});
    let got = details(
        &run(&configure(&plugin, sending(&mine.origin(), "${secret:TOKEN}", &grants, 0)).await).await,
    );
    let header = |name: &str| {
        let all = got["headers"].as_array().unwrap();
        all.iter().find(|header| header[0] == name).map(|header| header[1].as_str().unwrap().to_owned())
    };
    assert_eq!(header("location").unwrap(), "/next?t=[secret]");
    assert_eq!(header("set-cookie").unwrap(), "t=[secret]; Path=/");
    assert_eq!(header("x-upper").unwrap(), "[secret]");
    assert_eq!(header("x-honest").unwrap(), "yes");
    assert!(!got.to_string().contains("s3cr3t"), "{got}");
}

#[tokio::test]
async fn a_redirect_to_another_origin_leaves_the_secret_behind() {
    let target = Receiver::start(|_| ok("")).await;
    let location = format!("location: {}/\r\n", target.origin());
    let first = Receiver::start(move |seen| match seen.path.as_str() {
        "/same" => answer("302 Found", "location: /end\r\n", ""),
        "/end" => ok(""),
        _ => answer("302 Found", &location, ""),
    })
    .await;
    let plugin = plugin_with("test/hostile", &[TOKEN]).await;
    let grants =
        json!({"http": [first.origin(), target.origin()], "private_network": true, "secrets": ["TOKEN"]});
    let away = configure(&plugin, sending(&first.origin(), "${secret:TOKEN}", &grants, 2)).await;
    assert_eq!(details(&run(&away).await)["status"], 200);
    let seen = &target.seen()[0];
    assert_eq!((seen.header("x-token"), seen.header("authorization")), (None, None));
    let stays =
        configure(&plugin, sending(&format!("{}/same", first.origin()), "${secret:TOKEN}", &grants, 2)).await;
    assert_eq!(details(&run(&stays).await)["status"], 200);
    assert_eq!(first.seen().last().unwrap().header("x-token"), Some(TOKEN.1));
}

#[tokio::test]
async fn a_secret_in_a_url_is_not_told_by_errors() {
    let plugin = plugin_with("test/hostile", &[("HOST", "internal-name"), ("KEY", "k&y")]).await;
    let grants = json!({"http": ["http://127.0.0.1:1"], "private_network": true, "secrets": ["HOST", "KEY"]});
    for url in ["http://${secret:HOST}/", "http://127.0.0.1:1/?k=${secret:KEY}", "${secret:HOST}"] {
        let action = configure(&plugin, sending(url, "x", &grants, 0)).await;
        let got = details(&run(&action).await);
        assert!(got["error"].is_string(), "{got}");
        assert!(!got.to_string().contains("internal-name") && !got.to_string().contains("k&y"), "{got}");
        assert!(!got.to_string().contains("k%26y"), "{got}");
    }
}

#[tokio::test]
async fn a_whole_url_may_be_a_secret() {
    let receiver = Receiver::start(|_| ok("")).await;
    let url: &'static str = format!("{}/services/T0/B0?x=1", receiver.origin()).leak();
    let plugin = plugin_with("webhook", &[("HOOK_URL", url)]).await;
    let action =
        configure(&plugin, json!({"url": "${secret:HOOK_URL}", "grants": {"private_network": true}})).await;
    assert_eq!(action.destination(), receiver.origin());
    let attempt = run(&action).await;
    assert!(attempt.result.is_ok(), "{attempt:?}");
    assert_eq!(receiver.seen()[0].path, "/services/T0/B0?x=1");
    assert!(!format!("{attempt:?}").contains("services"), "{attempt:?}");
}

#[tokio::test]
async fn keys_are_used_and_not_seen() {
    let key = ("KEY", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    let plugin = plugin_with("test/hostile", &[key]).await;
    let message = "msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330.{\"test\": 2432232314}";
    let action =
        configure(&plugin, json!({"do": "hmac", "secret": "${secret:KEY}", "message": message})).await;
    let got = details(&run(&action).await);
    let bytes: Vec<u64> =
        got["bytes"].as_array().unwrap().iter().map(|byte| byte.as_u64().unwrap()).collect();
    // `g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=`
    assert_eq!((bytes.len(), &bytes[..4]), (32, &[0x83, 0x48, 0x4c, 0xf5][..]));
    for secret in ["plain text", "acsecret0000"] {
        let action = configure(&plugin, json!({"do": "hmac", "secret": secret, "message": ""})).await;
        assert_eq!(details(&run(&action).await)["error"], "denied");
    }
}

#[tokio::test]
async fn a_secret_is_revealed_by_its_own_grant_only() {
    let plugin = plugin_with("test/hostile", &[TOKEN]).await;
    let revealing = |grants: Value| json!({"do": "reveal", "secret": "${secret:TOKEN}", "grants": grants});
    let action = configure(&plugin, revealing(json!({"secrets": ["TOKEN"]}))).await;
    assert_eq!(details(&run(&action).await)["error"], "denied");
    let action = configure(&plugin, revealing(json!({"reveal": ["TOKEN"]}))).await;
    assert_eq!(details(&run(&action).await)["value"], TOKEN.1);
}

/// What the host alone uses, in TLS: a handle could be sent, or signed with.
#[tokio::test]
async fn a_client_certificate_and_its_key_have_no_handles() {
    let key = rcgen::KeyPair::generate().unwrap();
    let parameters = rcgen::CertificateParams::new(["client".to_owned()]).unwrap();
    let certificate = parameters.self_signed(&key).unwrap().pem();
    let all = [("CERTIFICATE", &*certificate.leak()), ("KEY", &*key.serialize_pem().leak())];
    let plugin = plugin_with("test/echo", &all).await;
    let written = json!({
        "url": "https://example.com/", "client_certificate": "${secret:CERTIFICATE}", "client_key": "${secret:KEY}",
    });
    let config = details(&run(&configure(&plugin, written.clone()).await).await)["config"].clone();
    assert_eq!(config, written, "the references stand as they were written");
}
