//! The mail server with access tokens (XOAUTH2) from a token endpoint.

use aftercommit_core::FailureClass;
use aftercommit_runtime::{ConfiguredAction, SmtpEncryption, SmtpOAuth, SmtpSettings};
use aftercommit_tests::{Answer, Receiver, SmtpServer};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use url::form_urlencoded;

use crate::{
    email::{host, try_action_of},
    fixture::{run, runtime_with},
};

const MAILBOX: &str = "shop@example.org";
const TOKEN: &str = "ya29.a-token-of-the-test";
const CLIENT_SECRET: &str = "cl:ient secret";

fn server() -> SmtpServer {
    SmtpServer::start_as(&json!({"tls": "none", "user": MAILBOX, "password": "none", "token": TOKEN}))
}

/// An action of a host that has its tokens from `endpoint`.
async fn action(server: &SmtpServer, endpoint: &Receiver) -> ConfiguredAction {
    let oauth = SmtpOAuth::ClientCredentials {
        token_url: endpoint.url("/token").parse().unwrap(),
        client_id: "7".to_owned(),
        client_secret: "CLIENT".to_owned(),
        scope: Some("mail".to_owned()),
        is_in_body: false,
    };
    let smtp = SmtpSettings::new("localhost", server.port(), SmtpEncryption::None).with_oauth(MAILBOX, oauth);
    let runtime = runtime_with(host(smtp), &[("CLIENT", CLIENT_SECRET)]);
    try_action_of(&runtime, json!({})).await.unwrap()
}

async fn endpoint(answer: Value) -> Receiver {
    let endpoint = Receiver::start().await;
    endpoint.respond(move |_| {
        let status = if answer.get("error").is_some() { 401 } else { 200 };
        Answer::status(status).json(&answer)
    });
    endpoint
}

#[tokio::test]
async fn the_host_logs_in_with_a_token_and_asks_for_it_once() {
    let mut server = server();
    let endpoint = endpoint(json!({"access_token": TOKEN, "expires_in": "3600"})).await;
    let action = action(&server, &endpoint).await;
    for _ in 0..2 {
        run(&action).await.result.unwrap();
        // The next mail needs a login of its own.
        server.close_connections();
    }
    let accepted = server.accepted();
    assert_eq!(accepted.len(), 2);
    assert!(accepted.iter().all(|mail| mail.about["login"] == MAILBOX), "{accepted:?}");
    let asked = endpoint.received();
    assert_eq!(asked.len(), 1);
    // `7:cl%3Aient+secret`
    assert_eq!(asked[0].header("authorization"), "Basic NzpjbCUzQWllbnQrc2VjcmV0");
    assert_eq!(asked[0].body.as_ref(), b"grant_type=client_credentials&scope=mail");
}

#[tokio::test]
async fn a_refused_token_says_what_the_server_wants_and_nothing_of_the_token() {
    let server = server();
    let endpoint = endpoint(json!({"access_token": "ya29.another-token", "expires_in": 3600})).await;
    let action = action(&server, &endpoint).await;
    let refused = run(&action).await.result.unwrap_err();
    assert_eq!((refused.class, refused.problem.status), (FailureClass::Transient, Some(535)), "{refused}");
    assert_eq!(refused.problem.code.as_str(), "smtp_auth");
    let expected = "refuses the access token with status 401; it wants the scope https://mail.google.com/";
    assert!(refused.problem.message.contains(expected), "{refused}");
    assert!(!refused.problem.message.contains("another-token") && server.accepted().is_empty(), "{refused}");
}

#[tokio::test]
async fn an_endpoint_that_gives_no_token_is_quoted_without_the_secret() {
    let server = server();
    let error =
        json!({"error": "invalid_client", "error_description": format!("no client with {CLIENT_SECRET}")});
    let endpoint = endpoint(error).await;
    let action = action(&server, &endpoint).await;
    let refused = run(&action).await.result.unwrap_err();
    assert!(refused.is_transient(), "{refused}");
    let expected = "no access token for the mail server: the token endpoint answered 401: invalid_client: no client with [secret]";
    assert!(refused.problem.message.contains(expected), "{refused}");
}

#[tokio::test]
async fn a_service_account_acts_for_the_mailbox() {
    let server = server();
    let endpoint = endpoint(json!({"access_token": TOKEN, "expires_in": 3600})).await;
    let key_file = json!({
        "type": "service_account", "client_email": "mailer@project.example", "private_key_id": "1",
        "private_key": include_str!("../../../../tests/integration/actions/service_account.pem"),
        "token_uri": endpoint.url("/token"),
    });
    let oauth = SmtpOAuth::ServiceAccount { key_file: "KEY".to_owned(), scope: "mail".to_owned() };
    let smtp = SmtpSettings::new("localhost", server.port(), SmtpEncryption::None).with_oauth(MAILBOX, oauth);
    let runtime = runtime_with(host(smtp), &[("KEY", key_file.to_string().leak())]);
    run(&try_action_of(&runtime, json!({})).await.unwrap()).await.result.unwrap();
    assert_eq!(server.accepted()[0].about["login"], MAILBOX);
    let form = endpoint.received()[0].body.clone();
    let assertion =
        form_urlencoded::parse(&form).find(|(name, _)| name == "assertion").unwrap().1.into_owned();
    let claims = BASE64_URL_SAFE_NO_PAD.decode(assertion.split('.').nth(1).unwrap()).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    assert_eq!((&claims["sub"], &claims["scope"]), (&json!(MAILBOX), &json!("mail")));
    assert_eq!(claims["iss"], "mailer@project.example");
}

#[tokio::test]
async fn a_server_without_the_mechanism_is_named() {
    let server = SmtpServer::start_as(&json!({"tls": "none", "hide": ["AUTH"]}));
    let endpoint = endpoint(json!({"access_token": TOKEN})).await;
    let refused = run(&action(&server, &endpoint).await).await.result.unwrap_err();
    assert!(refused.problem.message.contains("offers no AUTH XOAUTH2"), "{refused}");
}
