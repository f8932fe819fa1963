//! The plugin `email` with a real SMTP server.

use aftercommit_core::{Failure, FailureClass};
use aftercommit_runtime::{
    ComponentSource, ConfiguredAction, Runtime, RuntimeSettings, ServiceSettings, SmtpEncryption,
    SmtpSettings,
};
use aftercommit_tests::{Accepted, Certificate, Mail, SmtpServer, SmtpTls};
use serde_json::{Value, json};

use crate::fixture::{component, delivery, event, run, runtime_with, settings, try_configure};

pub(crate) const SECRETS: [(&str, &str); 2] =
    [("SMTP_PASSWORD", SmtpServer::PASSWORD), ("WRONG", "hunter2-is-wrong")];

pub(crate) fn host(smtp: SmtpSettings) -> RuntimeSettings {
    let smtp = Some(smtp.with_from("Shop <shop@example.org>").unwrap());
    RuntimeSettings { services: ServiceSettings { smtp, ..ServiceSettings::default() }, ..settings() }
}

pub(crate) fn plain(server: &SmtpServer) -> SmtpSettings {
    SmtpSettings::new("localhost", server.port(), SmtpEncryption::None)
}

async fn try_action(smtp: SmtpSettings, more: Value) -> Result<ConfiguredAction, String> {
    try_action_of(&runtime_with(host(smtp), &SECRETS), more).await
}

pub(crate) async fn try_action_of(runtime: &Runtime, more: Value) -> Result<ConfiguredAction, String> {
    let mut written =
        json!({"to": "admin@example.com", "subject": "Order", "body_template": "Order {{total}}"});
    written.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let plugin = runtime.load("email", ComponentSource::File(component("email")), None).await.unwrap();
    try_configure(&plugin, written).await.map_err(|error| error.to_string())
}

pub(crate) async fn action(smtp: SmtpSettings, more: Value) -> ConfiguredAction {
    try_action(smtp, more).await.unwrap_or_else(|error| panic!("{error}"))
}

pub(crate) async fn failure(action: &ConfiguredAction) -> Failure {
    run(action).await.result.expect_err("it can not be sent")
}

fn parsed(accepted: &Accepted) -> Mail {
    Mail::parse(&accepted.message)
}

#[tokio::test]
async fn the_seed_form_is_sent_after_starttls_and_login() {
    let certificate = Certificate::new();
    for tls in [SmtpTls::Starttls, SmtpTls::Implicit] {
        let server = SmtpServer::start_tls(tls, &certificate, true);
        let encryption =
            if tls == SmtpTls::Implicit { SmtpEncryption::Implicit } else { SmtpEncryption::Starttls };
        let mut smtp =
            SmtpSettings::new("localhost", server.port(), encryption).with_login("shop", "SMTP_PASSWORD");
        smtp.ca_file = Some(certificate.ca());
        let action = action(smtp, json!({})).await;
        assert!(action.effective_grants().mail);
        assert_eq!(action.destination(), "smtp");
        let delivery = delivery();
        let attempt = action.run(&event(json!({"total": 150})), delivery).await;
        let id = format!("{}@example.org", delivery.id);
        assert_eq!(attempt.result.unwrap().summary, format!("mail {id} to 1 recipient"));
        let accepted = server.accepted();
        assert_eq!(accepted.len(), 1);
        let about = &accepted[0].about;
        assert_eq!((&about["tls"], &about["login"]), (&json!(true), &json!("shop")), "{tls:?}");
        assert_eq!((&about["sender"], &about["hello"]), (&json!("shop@example.org"), &json!("example.org")));
        let message = parsed(&accepted[0]);
        assert_eq!(message.header("subject"), Some("Order"));
        assert_eq!(message.header("message-id"), Some(format!("<{id}>").as_str()));
        assert_eq!(message.body("text/plain"), Some("Order 150"));
        assert_eq!(message.addresses("from"), ["Shop <shop@example.org>"]);
    }
}

#[tokio::test]
async fn the_examples_of_the_schema_load() {
    let smtp = SmtpSettings::new("localhost", 1, SmtpEncryption::None);
    let action = action(smtp, json!({})).await;
    let examples = action.plugin().descriptor().config_schema["examples"].as_array().unwrap().clone();
    assert!(!examples.is_empty());
    for example in examples {
        try_configure(action.plugin(), example).await.unwrap();
    }
}

#[tokio::test]
async fn all_fields_arrive() {
    let server = SmtpServer::start();
    let written = json!({
        "to": ["{{name}} <anna@example.com>", "{{#if gone}}x@example.com{{/if}}"], "cc": "{{cc}}", "bcc": ["hidden@example.com"],
        "from": "Sales <sales@example.org>", "reply_to": "answers@example.org", "subject": "Für {{name}}",
        "body_template": "{{name}}: {{total}}", "html_template": "<b>{{name}}</b>", "headers": {"X-Order": "{{total}}"},
        "attachments": [
            {"filename": "order-{{total}}.csv", "media_type": "text/csv; charset=utf-8", "text_template": "name;total\n{{name}};{{total}}\n"},
            {"filename": "order.json", "json_template": "{\"name\":\"{{name}}\"}"},
        ],
    });
    let action = action(plain(&server), written).await;
    let data = json!({"name": "Änne \u{1f980} Day", "cc": "c@example.com", "total": 7});
    action.run(&event(data), delivery()).await.result.unwrap();
    let accepted = server.accepted();
    assert_eq!(
        accepted[0].about["recipients"],
        json!(["anna@example.com", "c@example.com", "hidden@example.com"])
    );
    assert_eq!(accepted[0].about["sender"], "sales@example.org");
    let message = parsed(&accepted[0]);
    assert_eq!(message.header("subject"), Some("Für Änne \u{1f980} Day"));
    assert_eq!(message.addresses("to"), ["Änne \u{1f980} Day <anna@example.com>"]);
    assert_eq!(message.addresses("reply-to"), ["answers@example.org"]);
    assert_eq!(message.header("x-order"), Some("7"));
    assert_eq!(message.body("text/plain"), Some("Änne \u{1f980} Day: 7"));
    assert_eq!(message.body("text/html"), Some("<b>Änne \u{1f980} Day</b>"));
    assert!(!String::from_utf8_lossy(&accepted[0].message).contains("hidden@"));
    let attachments: Vec<_> =
        message.attachments().map(|part| (part.filename.as_deref().unwrap(), part.text.as_str())).collect();
    assert_eq!(
        attachments,
        [
            ("order-7.csv", "name;total\nÄnne \u{1f980} Day;7\n"),
            ("order.json", "{\"name\":\"Änne \u{1f980} Day\"}"),
        ]
    );
}

#[tokio::test]
async fn values_are_escaped_in_html_and_can_not_add_headers() {
    let server = SmtpServer::start();
    let written = json!({"html_template": "<p>{{name}}</p>", "subject": "For {{subject}}", "headers": {"X-Name": "{{header}}"}});
    let action = action(plain(&server), written).await;
    let data = |subject: &str, header: &str| {
        event(json!({"name": "<script>&\"'", "total": 1, "subject": subject, "header": header}))
    };
    let evil = "x\r\nBcc: evil@example.net";
    for (subject, header) in [(evil, "y"), ("x", evil), ("x\ny", "y"), ("x", "a\u{0}b")] {
        let failed = action.run(&data(subject, header), delivery()).await.result.unwrap_err();
        assert_eq!(
            (failed.class, failed.problem.code.as_str()),
            (FailureClass::Permanent, "invalid_message")
        );
        assert!(failed.problem.message.contains("line break"), "{failed}");
    }
    assert!(server.accepted().is_empty());
    action.run(&data("=?utf-8?q?x?= <b>", "plain"), delivery()).await.result.unwrap();
    let accepted = server.accepted();
    let message = parsed(&accepted[0]);
    assert_eq!(message.body("text/html"), Some("<p>&lt;script&gt;&amp;&quot;&#39;</p>"));
}

#[tokio::test]
async fn a_text_can_not_smuggle_a_second_message() {
    let server = SmtpServer::start();
    let smuggled =
        "\r\nMAIL FROM:<evil@example.net>\r\nRCPT TO:<evil@example.net>\r\nDATA\r\nSubject: x\r\n\r\nx";
    let written = json!({
        "body_template": "{{text}}", "html_template": "{{text}}", "attachments": [{"filename": "a", "text_template": "{{text}}"}],
    });
    let action = action(plain(&server), written).await;
    let ends = ["\r\n.", "\n.", "\r.", "\r\n.\r", "\n.\n", "\r\n..", "\0\n."];
    for end in ends {
        let text = format!("before{end}{smuggled}");
        action.run(&event(json!({"text": text, "total": 1})), delivery()).await.result.unwrap();
    }
    let accepted = server.accepted();
    assert_eq!(accepted.len(), ends.len());
    for (mail, end) in accepted.iter().zip(ends) {
        assert_eq!(mail.about["recipients"], json!(["admin@example.com"]));
        let text = format!("before{end}{smuggled}").replace("\r\n", "\n").replace('\r', "\n");
        assert_eq!(parsed(mail).body("text/plain"), Some(text.as_str()), "{end:?}");
    }
}

#[tokio::test]
async fn addresses_beyond_ascii_need_a_server_that_takes_them() {
    let (modern, old) =
        (SmtpServer::start(), SmtpServer::start_as(&json!({"tls": "none", "hide": ["SMTPUTF8"]})));
    let to = json!({"to": "Jürgen <jürgen@example.com>"});
    run(&action(plain(&modern), to.clone()).await).await.result.unwrap();
    let accepted = modern.accepted();
    assert_eq!(accepted[0].about["recipients"], json!(["jürgen@example.com"]));
    assert_eq!(parsed(&accepted[0]).addresses("to"), ["Jürgen <jürgen@example.com>"]);
    let refused = failure(&action(plain(&old), to).await).await;
    assert_eq!((refused.class, refused.problem.code.as_str()), (FailureClass::Permanent, "invalid_message"));
    assert!(refused.problem.message.contains("SMTPUTF8") && old.accepted().is_empty(), "{refused}");
}

#[tokio::test]
async fn one_connection_serves_many_mails() {
    let server = SmtpServer::start();
    let action = action(plain(&server), json!({})).await;
    for _ in 0..40 {
        run(&action).await.result.unwrap();
    }
    let accepted = server.accepted();
    assert!(accepted.iter().all(|mail| mail.about["peer"] == accepted[0].about["peer"]));
}

#[tokio::test]
async fn the_id_is_the_same_in_every_attempt_and_a_refused_message_reaches_nobody() {
    let server = SmtpServer::start();
    let to = |to: Value| json!({"to": to});
    for (recipients, class, status, named) in [
        (json!("refused@example.com"), FailureClass::Permanent, 550, "r***@example.com (550 5.1.1"),
        (
            json!(["later@example.com", "a@example.com"]),
            FailureClass::Transient,
            450,
            "l***@example.com (450 4.2.1",
        ),
        (
            json!(["later@example.com", "a@example.com", "refused@example.com"]),
            FailureClass::Transient,
            450,
            "2 of 3 recipients",
        ),
        (json!("full@example.com"), FailureClass::Permanent, 552, "mailbox full"),
    ] {
        let failed = failure(&action(plain(&server), to(recipients)).await).await;
        assert_eq!((failed.class, failed.problem.status), (class, Some(status)), "{failed}");
        assert_eq!(failed.problem.code.as_str(), "smtp_reply");
        assert!(failed.problem.message.contains(named), "{failed}");
    }
    assert!(server.accepted().is_empty(), "a message that was refused was sent to some");
    let action = action(plain(&server), json!({})).await;
    let delivery = delivery();
    for _ in 0..2 {
        action.run(&event(json!({"total": 1})), delivery).await.result.unwrap();
    }
    let accepted = server.accepted();
    assert_eq!(parsed(&accepted[0]).header("message-id"), parsed(&accepted[1]).header("message-id"));
    assert_eq!(accepted[0].about["peer"], accepted[1].about["peer"], "the connection was not used again");
}

#[tokio::test]
async fn who_is_refused_for_good_takes_the_mail_from_nobody_else() {
    let server = SmtpServer::start();
    let written =
        json!({"to": ["a@example.com", "Refused, Jane <refused@example.com>"], "bcc": "b@example.com"});
    let attempt = run(&action(plain(&server), written).await).await;
    let told = attempt.result.as_ref().unwrap().summary.clone();
    assert!(told.contains(" to 3 recipients; refused: r***@example.com (550 5.1.1"), "{told}");
    let details = crate::fixture::details(&attempt);
    assert_eq!((&details["recipients"], details["refused"].as_array().map(Vec::len)), (&json!(3), Some(1)));
    assert!(!details.to_string().contains("refused@"), "{details}");
    let accepted = server.accepted();
    assert_eq!(accepted.len(), 1);
    assert_eq!(accepted[0].about["recipients"], json!(["a@example.com", "b@example.com"]));
    let shown = ["a@example.com", "Refused, Jane <refused@example.com>"];
    assert_eq!(parsed(&accepted[0]).addresses("to"), shown);
}

#[tokio::test]
async fn names_of_rows_hold_any_character() {
    let server = SmtpServer::start();
    let action = action(plain(&server), json!({"to": "{{name}} <{{email}}>"})).await;
    let names = ["Doe, Jane", "Jane \"JD\" Doe", "I <3 (this) shop; really", "Müller & Söhne, Köln", "\\"];
    for name in names {
        let data = json!({"name": name, "email": "jane@example.com", "total": 1});
        action.run(&event(data), delivery()).await.result.unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    let accepted = server.accepted();
    for (mail, name) in accepted.iter().zip(names) {
        assert_eq!(mail.about["recipients"], json!(["jane@example.com"]), "{name}");
        assert_eq!(parsed(mail).addresses("to"), [format!("{name} <jane@example.com>")]);
    }
    let several = json!({"name": "A <a@example.com>, B", "email": "b@example.com", "total": 1});
    let refused = action.run(&event(several), delivery()).await.result.unwrap_err();
    assert_eq!(refused.problem.code.as_str(), "invalid_message");
    assert_eq!(server.accepted().len(), names.len());
}

#[tokio::test]
async fn nothing_of_a_refused_message_is_left_on_its_connection() {
    let server = SmtpServer::start();
    let written = json!({"to": "{{to}}", "cc": "{{cc}}"});
    let action = action(plain(&server), written).await;
    let mail = |to: &str, cc: &str| event(json!({"to": to, "cc": cc, "total": 1}));
    for (to, cc) in [("first@example.com", "later@example.com"), ("full@example.com", "second@example.com")] {
        action.run(&mail("a@example.com", ""), delivery()).await.result.unwrap();
        action.run(&mail(to, cc), delivery()).await.result.unwrap_err();
        action.run(&mail("b@example.com", ""), delivery()).await.result.unwrap();
    }
    let accepted = server.accepted();
    let recipients: Vec<&Value> = accepted.iter().map(|mail| &mail.about["recipients"]).collect();
    let (a, b) = (json!(["a@example.com"]), json!(["b@example.com"]));
    assert_eq!(recipients, [&a, &b, &a, &b]);
    assert!(
        accepted.iter().all(|mail| mail.about["peer"] == accepted[0].about["peer"]),
        "the connection was not kept"
    );
}

#[tokio::test]
async fn mail_is_granted_by_recipients_or_by_name_and_a_missing_password_is_told_at_once() {
    let server = SmtpServer::start();
    let absent = plain(&server).with_login("shop", "ABSENT");
    let told = try_action(absent, json!({})).await.map(drop).unwrap_err();
    assert_eq!(
        told,
        "there is no secret `ABSENT` for the login at the mail server (put ABSENT into the test)"
    );

    // A plugin whose schema marks no recipients has to be granted it by name.
    let services =
        crate::redis::host(&[("r", aftercommit_runtime::RedisSettings::from_url("redis://h").unwrap())]);
    let smtp = host(plain(&server)).services.smtp;
    let services = RuntimeSettings { services: ServiceSettings { smtp, ..services.services }, ..services };
    let runtime = runtime_with(services, &[]);
    let guest = runtime.load("s", ComponentSource::File(component("test/services")), None).await.unwrap();
    let mail =
        |grants: Value| json!({"to": ["a@example.com"], "subject": "s", "text": "t", "grants": grants});
    let denied = try_configure(&guest, mail(json!({}))).await.unwrap();
    let got = crate::fixture::details(&run(&denied).await);
    assert_eq!(got["error"], "denied", "{got}");
    assert!(got["message"].as_str().unwrap().contains("mail = true"), "{got}");
    let granted = try_configure(&guest, mail(json!({"mail": true}))).await.unwrap();
    assert!(crate::fixture::details(&run(&granted).await)["message_id"].is_string());
    assert_eq!(server.accepted().len(), 1);
}
