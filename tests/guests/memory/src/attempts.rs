//! Every way to use a secret, and what was told of each.

use std::fmt::Debug;

use aftercommit_plugin::{
    http::{Content, Request},
    prelude::*,
    secrets::{
        ClientAuthentication, ClientCredentials, Hash, Key, ServiceAccount, Signature, TokenRequest,
        access_token,
    },
};

use crate::Config;

pub(crate) fn all(config: &Config, event: &Event) -> Vec<String> {
    let mut told = vec![event.data.clone()];
    requests(config, &mut told);
    broken(config, &mut told);
    keys(config, &mut told);
    tokens(config, &mut told);
    told.push(said(
        "template",
        template::render(&format!("{} {{{{x}}}}", config.secret), template::Escaping::Text, &event.data),
    ));
    told
}

/// One request, with the secret in a header too.
pub(crate) fn one(config: &Config, path: &str) -> String {
    let secret = config.secret.handle();
    let url = format!("{}{}", config.service, path.replace("SECRET", secret));
    let answer = Request::get(url).header("x-token", secret).max_redirects(3).send();
    said("request", answer.map(|answer| answer.status))
}

/// In every place of a request; the service repeats what it was sent in every place of its answer.
fn requests(config: &Config, told: &mut Vec<String>) {
    let (service, secret) = (&config.service, config.secret.handle());
    let at = |path: &str| format!("{service}{path}");
    let requests = [
        Request::get(at(&format!("/query?key={secret}"))),
        Request::get(at(&format!("/path/{secret}/end"))),
        Request::get(at("/header")).header("x-token", secret),
        Request::get(at("/bearer")).bearer(secret),
        Request::get(at("/basic")).basic("user", secret),
        Request::get(at("/user")).basic(secret, "password"),
        Request::post(at("/body")).body(Content::Text(config.body.to_string())),
        Request::post(at("/status-line")).header("x-token", secret),
        Request::get(at(&format!("/redirect?key={secret}"))).header("x-token", secret).max_redirects(5),
        Request::get(at("/redirect-away")).header("x-token", secret).max_redirects(5),
        Request::get(at("/redirect-nowhere")).header("x-token", secret).max_redirects(5),
        Request::get(at("/garbage")).header("x-token", secret),
        Request::get(at("/bad-header")).header("x-token", format!("{secret}\n")),
        Request::new(secret, at("/method")),
        Request::get(at("/name")).header(secret, "x"),
    ];
    for request in requests {
        told.push(said(
            "request",
            request.send().map(|answer| (answer.status, answer.headers.clone(), answer.text().into_owned())),
        ));
    }
}

/// Towards what does not answer, and in places where no secret belongs.
fn broken(config: &Config, told: &mut Vec<String>) {
    let secret = config.secret.handle();
    let bases = config.broken.iter().map(|origin| format!("{origin}/"));
    for base in bases.chain([String::new(), "http://".to_owned(), format!("{}:", config.service)]) {
        told.push(said(
            "broken",
            Request::get(format!("{base}{secret}?key={secret}"))
                .bearer(secret)
                .send()
                .map(|answer| answer.status),
        ));
    }
    told.push(said(
        "collector",
        Request::get(format!("{}/?key={secret}", config.collector)).send().map(|answer| answer.status),
    ));
}

fn keys(config: &Config, told: &mut Vec<String>) {
    let secret = &config.secret;
    for key in [Key::Text, Key::Base64, Key::Pem, Key::Prefixed("AWS4".to_owned())] {
        for hash in [Hash::Sha1, Hash::Sha256, Hash::Sha512] {
            told.push(said("hmac", secret.hmac(hash, &key, "message")));
        }
        for signature in [Signature::Ed25519, Signature::Es256, Signature::Rs256] {
            told.push(said("sign", secret.sign(signature, &key, "message")));
        }
    }
    told.push(said("reveal", secret.reveal()));
}

fn tokens(config: &Config, told: &mut Vec<String>) {
    let secret = || config.secret.handle().to_owned();
    for path in ["/token", "/token-refused", "/token-garbage", "/redirect"] {
        let asked = TokenRequest::ClientCredentials(ClientCredentials {
            token_url: format!("{}{path}", config.service),
            client_id: "client".to_owned(),
            client_secret: secret(),
            scope: None,
            audience: None,
            authentication: ClientAuthentication::Basic,
        });
        match access_token(&asked) {
            Ok(token) => {
                let used = Request::get(format!("{}/bearer", config.service)).bearer(token.handle()).send();
                told.push(said("token", used.map(|answer| (answer.status, answer.text().into_owned()))));
            }
            Err(error) => told.push(said("token", Err::<(), _>(error))),
        }
    }
    let account = ServiceAccount { key_file: secret(), scope: secret(), subject: None };
    told.push(said("account", access_token(&TokenRequest::ServiceAccount(account))));
}

fn said(what: &str, result: Result<impl Debug, impl Debug>) -> String {
    match result {
        Ok(value) => format!("{what}: {value:?}"),
        Err(error) => format!("{what} failed: {error:?}"),
    }
}
