//! Requests to token endpoints: one a grant.

use std::sync::Arc;

use serde_json::json;

use super::{
    jwt,
    secrets::{told, unknown},
};
use crate::{
    bindings::aftercommit::action::secrets::{
        ClientAuthentication, ClientCredentials, SecretError, ServiceAccount, Signature,
    },
    capability::Origin,
    egress::{Auth, Body, Egress, Permit, Request},
    secrets::{Entry, KeyFile, Secret},
};

/// What a service account's assertion is valid for; Google takes an hour at most.
const ASSERTION_SECS: i64 = 600;

/// The client credentials grant (RFC 6749, 4.4).
pub(super) fn client_credentials(permit: &Permit, asked: &ClientCredentials) -> Result<Request, SecretError> {
    let client = known(permit, &asked.client_secret)?;
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    form.append_pair("grant_type", "client_credentials");
    for (name, value) in [("scope", &asked.scope), ("audience", &asked.audience)] {
        if let Some(value) = value {
            form.append_pair(name, value);
        }
    }
    let auth = match asked.authentication {
        ClientAuthentication::Basic => Auth::FormBasic(asked.client_id.clone(), asked.client_secret.clone()),
        ClientAuthentication::Post => {
            granted(permit, &client, &asked.token_url)?;
            form.append_pair("client_id", &asked.client_id);
            form.append_pair("client_secret", client.secret.expose());
            Auth::None
        }
    };
    Ok(token_request(asked.token_url.clone(), auth, form.finish()))
}

/// A secret that the host writes into the form itself goes to its destinations only, as one that a header carries does.
fn granted(permit: &Permit, secret: &Entry, token_url: &str) -> Result<(), SecretError> {
    let url = url::Url::parse(&permit.handles.url(token_url).0).ok();
    let origin = url.as_ref().and_then(Origin::of);
    origin.filter(|origin| secret.check(origin).is_ok()).map(|_| ()).ok_or_else(|| {
        SecretError::Denied(format!("the secret `{}` is not granted towards the token endpoint", secret.name))
    })
}

/// The JWT bearer grant (RFC 7523, 2.1), with the key file's own endpoint.
pub(super) fn service_account(
    permit: &Permit,
    egress: &Egress,
    asked: &ServiceAccount,
) -> Result<Request, SecretError> {
    let entry = known(permit, &asked.key_file)?;
    let file = KeyFile::read(&entry.secret).map_err(|error| told(&entry, &error))?;
    let now = egress.clock.now().as_millis() / 1000;
    let mut claims = json!({
        "iss": file.client_email, "scope": asked.scope, "aud": file.token_uri, "iat": now, "exp": now + ASSERTION_SECS,
    });
    if let Some(subject) = &asked.subject {
        claims["sub"] = subject.as_str().into();
    }
    let key = Secret::new(file.private_key);
    let assertion = jwt::signed(&key, Signature::Rs256, file.private_key_id.as_deref(), &claims)
        .map_err(|error| told(&entry, &error))?;
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    form.append_pair("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer")
        .append_pair("assertion", &assertion);
    Ok(token_request(file.token_uri, Auth::None, form.finish()))
}

fn token_request(url: String, auth: Auth, form: String) -> Request {
    let headers = [("content-type", "application/x-www-form-urlencoded"), ("accept", "application/json")];
    Request {
        method: "POST".to_owned(),
        url,
        headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
        auth,
        body: Some(Body::Bytes(form.into())),
        verbatim: true,
        ..Request::default()
    }
}

/// The secret behind a handle of this action.
pub(super) fn known(permit: &Permit, handle: &str) -> Result<Arc<Entry>, SecretError> {
    permit.handles.whole(handle).ok_or_else(|| unknown(permit))
}
