//! Mail servers that are protected, that refuse, hang, die or do not keep to the protocol, met by the plugin `email`.

use std::{
    fs,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use aftercommit_core::FailureClass;
use aftercommit_runtime::{SmtpEncryption, SmtpSettings};
use aftercommit_tests::{Certificate, SmtpServer, SmtpTls};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use crate::{
    email::{SECRETS, action, failure, host, plain, try_action_of},
    fixture::{delivery, event, runtime_with},
};

fn starttls(port: u16) -> SmtpSettings {
    SmtpSettings::new("localhost", port, SmtpEncryption::Starttls)
}

#[tokio::test]
async fn the_file_of_authorities_is_followed_when_it_rotates() {
    let (own, other) = (Certificate::new(), Certificate::new());
    let server = SmtpServer::start_tls(SmtpTls::Starttls, &own, true);
    let folder = tempfile::tempdir().unwrap();
    let ca_file = folder.path().join("ca.pem");
    fs::copy(other.ca(), &ca_file).unwrap();
    let mut smtp = starttls(server.port()).with_login("shop", "SMTP_PASSWORD");
    smtp.ca_file = Some(ca_file.clone());
    let runtime = runtime_with(host(smtp), &SECRETS);
    let action = try_action_of(&runtime, json!({})).await.unwrap();
    assert_eq!(failure(&action).await.problem.code.as_str(), "certificate");
    fs::copy(own.ca(), &ca_file).unwrap();
    runtime.changed_secrets();
    let sent = action.run(&event(json!({"total": 150})), delivery()).await;
    assert!(sent.result.is_ok(), "{sent:?}");
    // A file that is gone changes nothing; another authority ends also what is connected.
    fs::remove_file(&ca_file).unwrap();
    runtime.changed_secrets();
    let sent = action.run(&event(json!({"total": 150})), delivery()).await;
    assert!(sent.result.is_ok(), "{sent:?}");
    fs::copy(other.ca(), &ca_file).unwrap();
    runtime.changed_secrets();
    assert_eq!(failure(&action).await.problem.code.as_str(), "certificate");
    assert_eq!(server.accepted().len(), 2);
}

#[tokio::test]
async fn nothing_is_sent_without_the_protection_that_is_asked_for() {
    let certificate = Certificate::new();
    let ca = || Some(certificate.ca());
    let (open, encrypted) =
        (SmtpServer::start(), SmtpServer::start_tls(SmtpTls::Starttls, &certificate, true));
    let with = |server: &SmtpServer, ca: Option<PathBuf>| {
        let mut smtp = starttls(server.port());
        smtp.ca_file = ca;
        smtp
    };
    let missing = failure(&action(with(&open, ca()), json!({})).await).await;
    assert!(
        missing.is_transient() && missing.problem.message.contains("does not offer STARTTLS"),
        "{missing}"
    );
    let unknown = failure(&action(with(&encrypted, None), json!({})).await).await;
    assert_eq!(unknown.problem.code.as_str(), "certificate", "{unknown}");
    assert!(unknown.is_transient() && unknown.problem.message.contains("does not trust"), "{unknown}");
    let elsewhere = Certificate::for_names(&["mail.example.com"]);
    let impostor = SmtpServer::start_tls(SmtpTls::Starttls, &elsewhere, false);
    let other = with(&impostor, Some(elsewhere.ca()));
    let other = failure(&action(other, json!({})).await).await;
    assert_eq!(other.problem.code.as_str(), "certificate", "{other}");
    assert!(other.is_transient() && other.problem.message.contains("other names"), "{other}");
    assert!(impostor.accepted().is_empty());
    let anonymous = failure(&action(with(&encrypted, ca()), json!({})).await).await;
    assert_eq!((anonymous.class, anonymous.problem.code.as_str()), (FailureClass::Transient, "smtp_auth"));
    let wrong = with(&encrypted, ca()).with_login("shop", "WRONG");
    let wrong = failure(&action(wrong, json!({})).await).await;
    assert_eq!((wrong.class, wrong.problem.status), (FailureClass::Transient, Some(535)), "{wrong}");
    assert!(!format!("{wrong:?}").contains("hunter2"), "{wrong:?}");
    let without = SmtpServer::start_as(&json!({"tls": "none", "hide": ["AUTH"]}));
    let no_login = plain(&without).with_login("shop", "SMTP_PASSWORD");
    let no_login = failure(&action(no_login, json!({})).await).await;
    assert!(
        no_login.is_transient() && no_login.problem.message.contains("offers neither AUTH"),
        "{no_login}"
    );
    assert!(open.accepted().is_empty() && encrypted.accepted().is_empty());
}

#[tokio::test]
async fn a_server_that_closes_dies_or_hangs_costs_one_attempt_at_most() {
    let mut server = SmtpServer::start();
    // Both use the same connections; only what hangs has little time.
    let runtime = runtime_with(host(plain(&server)), &SECRETS);
    let action = try_action_of(&runtime, json!({"to": "{{to}}"})).await.unwrap();
    let short = try_action_of(&runtime, json!({"to": "hang@example.com", "timeout_ms": 500})).await.unwrap();
    let to = |to: &str| event(json!({"to": to, "total": 1}));
    action.run(&to("a@example.com"), delivery()).await.result.unwrap();
    server.close_connections();
    action.run(&to("a@example.com"), delivery()).await.result.unwrap();
    let hanging = failure(&short).await;
    assert!(hanging.is_transient(), "{hanging}");
    action.run(&to("b@example.com"), delivery()).await.result.unwrap();
    assert_eq!(server.accepted().last().unwrap().about["recipients"], json!(["b@example.com"]));
    server.kill();
    let lost = action.run(&to("a@example.com"), delivery()).await.result.unwrap_err();
    assert!(lost.is_transient() && lost.problem.status.is_none(), "{lost}");
    server.start_again();
    action.run(&to("a@example.com"), delivery()).await.result.unwrap();
}

/// A server that says this to every connection and every line.
async fn odd(says: &'static [&'static str]) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let heard = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&heard);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let count = Arc::clone(&count);
            tokio::spawn(async move {
                for line in says {
                    if stream.write_all(line.as_bytes()).await.is_err() {
                        return;
                    }
                    match stream.read(&mut [0; 4096]).await {
                        Ok(0) | Err(_) => return,
                        Ok(_) => count.fetch_add(1, Ordering::SeqCst),
                    };
                }
            });
        }
    });
    (port, heard)
}

#[tokio::test]
async fn what_is_said_in_plain_text_counts_for_nothing_after_the_upgrade() {
    let says = &["220 hi\r\n", "250-hi\r\n250 STARTTLS\r\n", "220 go\r\n250-localhost\r\n250 AUTH PLAIN\r\n"];
    let (port, heard) = odd(says).await;
    let injected = failure(&action(starttls(port), json!({})).await).await;
    assert!(injected.is_transient() && injected.problem.message.contains("more in plain text"), "{injected}");
    assert_eq!(heard.load(Ordering::SeqCst), 2, "something was sent after the injection");
}

#[tokio::test]
async fn servers_that_do_not_keep_to_the_protocol_are_told() {
    for (says, expected) in [
        (&["HTTP/1.1 400 Bad Request\r\n"][..], "does not speak SMTP"),
        (&["554 go away\r\n"], "go away"),
        (&["220 hi\r\n", "250-x\r\n250-y\r\n250 z\r\n"], "does not offer STARTTLS"),
        (&["\u{0}\u{0}\u{0}\r\n"], "does not speak SMTP"),
    ] {
        let (port, _) = odd(says).await;
        let failed = failure(&action(starttls(port), json!({})).await).await;
        assert!(failed.problem.message.contains(expected), "{says:?}: {failed}");
    }
    // A line that never ends, and a reply of lines without end: as a greeting, and after it.
    let line: &'static str = "2".repeat(600_000).leak();
    let (greeting, offer) = ("220-x\r\n".repeat(100_000), "250-x\r\n".repeat(100_000));
    let (greeting, offer): (&'static str, &'static str) = (greeting.leak(), offer.leak());
    for says in [&[line][..], &[greeting], &["220 hi\r\n", offer]] {
        for (encryption, expected) in
            [(SmtpEncryption::Starttls, "does not speak SMTP"), (SmtpEncryption::None, "too long")]
        {
            let (port, _) = odd(says.to_vec().leak()).await;
            let failed =
                failure(&action(SmtpSettings::new("localhost", port, encryption), json!({})).await).await;
            assert!(failed.is_transient() && failed.problem.message.contains(expected), "{failed}");
        }
    }
}

/// What the host logs in with is the operator's, not the guest's.
#[tokio::test]
async fn a_server_that_repeats_the_login_does_not_tell_it_to_the_guest() {
    let heard = crate::heard::listen();
    let (user, password) = ("shopkeeper", SmtpServer::PASSWORD);
    let plain = BASE64_STANDARD.encode(format!("\0{user}\0{password}"));
    let word = BASE64_STANDARD.encode(password);
    let refused = format!("535 bad password {password} of {user}, {plain}, {word}\r\n");
    // Longer than what is told, and its end is within the password.
    let long = format!("454 {}{password}\r\n", "x".repeat(495));
    let later = format!("550 {user} with {password} may not\r\n");
    for lines in [
        vec!["220 hi\r\n", "250-hi\r\n250 AUTH PLAIN\r\n", &refused],
        vec![
            "220 hi\r\n",
            "250-hi\r\n250 AUTH LOGIN\r\n",
            "334 VXNlcm5hbWU6\r\n",
            "334 UGFzc3dvcmQ6\r\n",
            &refused,
        ],
        vec!["220 hi\r\n", "250-hi\r\n250 AUTH PLAIN\r\n", &long],
        vec!["220 hi\r\n", "250-hi\r\n250 AUTH PLAIN\r\n", "235 in\r\n", &later],
        vec![&later],
    ] {
        let lines: Vec<&'static str> = lines.into_iter().map(|line| &*line.to_owned().leak()).collect();
        let (port, _) = odd(lines.leak()).await;
        let smtp =
            SmtpSettings::new("localhost", port, SmtpEncryption::None).with_login(user, "SMTP_PASSWORD");
        let failed = failure(&action(smtp, json!({})).await).await;
        let told = format!("{failed:?}{}", heard.text());
        for trace in [password, "p\u{e4}ss", user, &plain[..20], &word[..12]] {
            assert!(!told.contains(trace), "{told}");
        }
        assert!(
            failed.problem.message.contains("[secret]") || failed.problem.message.contains("xxx"),
            "{failed}"
        );
    }
}
