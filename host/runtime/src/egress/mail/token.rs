//! Access tokens for the mail server. The host asks for them with its own secrets, as it does for actions, and logs in with
//! them for all of them; no guest has a handle of one.

use tokio::sync::Mutex;

use super::{MailFault, Reply, settings::SmtpOAuth};
use crate::{
    bindings::aftercommit::action::secrets::{
        ClientAuthentication, ClientCredentials, SecretError, ServiceAccount, TokenRequest,
    },
    capability::{Effective, Need, Needs, Origin, PrivateNetwork},
    egress::{Bounds, Egress, Permit, Who},
    hostapi::{TokenFault, access_token},
    secrets::{Entry, Handles, KeyFile, Secret},
};

const NO_TOKEN: &str = "no access token for the mail server";
/// An endpoint's answer is a few KiB.
const ANSWER_BYTES: u64 = 64 << 10;

/// What the host asks a token endpoint with, and the token that it has.
#[derive(Default)]
pub(super) struct LoginToken(Mutex<Option<Asking>>);

/// Made of one text of the secret; another text makes another.
struct Asking {
    secret: Secret,
    permit: Permit,
    asked: TokenRequest,
    /// Of the token that was given last.
    handle: Option<String>,
}

impl LoginToken {
    /// A token that is valid now.
    pub(super) async fn get(
        &self,
        egress: &Egress,
        oauth: &SmtpOAuth,
        username: &str,
        secret: &Secret,
        bounds: Bounds,
    ) -> Result<Secret, MailFault> {
        let mut asking = self.0.lock().await;
        if asking.as_ref().is_none_or(|asking| asking.secret.expose() != secret.expose()) {
            *asking = Some(Asking::new(egress, oauth, username, secret)?);
        }
        let Some(asking) = asking.as_mut() else { unreachable!("it was just made") };
        let bounds = Bounds { response_bytes: ANSWER_BYTES, ..bounds };
        let handle = access_token(&asking.permit, egress, bounds, &asking.asked).await.map_err(fault)?;
        let token = asking.permit.handles.whole(&handle).map(|entry| entry.secret.clone());
        asking.handle = Some(handle);
        token.ok_or_else(|| no_token("it was withdrawn"))
    }

    /// The mail server did not take the token: the next login asks for another, unless it is younger than a minute.
    pub(super) async fn refused(&self, egress: &Egress) {
        if let Some(Asking { permit, handle: Some(handle), .. }) = &*self.0.lock().await {
            permit.tokens.refused(handle, egress.clock.now()).await;
        }
    }
}

impl Asking {
    fn new(egress: &Egress, oauth: &SmtpOAuth, username: &str, secret: &Secret) -> Result<Self, MailFault> {
        let endpoint = match oauth {
            SmtpOAuth::ClientCredentials { token_url, .. } => Some(token_url.clone()),
            SmtpOAuth::ServiceAccount { key_file, .. } => {
                let file = KeyFile::read(secret).map_err(|error| {
                    MailFault::NotConfigured(format!("the secret `{key_file}`: {}", error.0))
                })?;
                url::Url::parse(&file.token_uri).ok()
            }
        };
        let origin = endpoint.as_ref().and_then(Origin::of);
        let origin = origin
            .ok_or_else(|| MailFault::NotConfigured("the token endpoint is no URL of https".to_owned()))?;
        let handles = Handles::default();
        let handle = handles.issue(Entry {
            name: "the mail server's login".to_owned(),
            secret: secret.clone(),
            destinations: vec![origin.clone()],
            body: None,
        });
        // The operator wrote it, as the mail server's own address.
        let effective = Effective {
            needs: Needs::default().with(Need::Http).with(Need::Secrets),
            origins: vec![origin],
            private_network: PrivateNetwork::Granted,
            ..Effective::default()
        };
        let who = Who { action: "[smtp]".to_owned(), ..Who::default() };
        let permit = Permit { handles, ..Permit::new(who.into(), effective, &egress.clients) };
        Ok(Self { secret: secret.clone(), permit, asked: request(oauth, username, handle), handle: None })
    }
}

fn request(oauth: &SmtpOAuth, username: &str, handle: String) -> TokenRequest {
    match oauth {
        SmtpOAuth::ClientCredentials { token_url, client_id, scope, is_in_body, .. } => {
            TokenRequest::ClientCredentials(ClientCredentials {
                token_url: token_url.to_string(),
                client_id: client_id.clone(),
                client_secret: handle,
                scope: scope.clone(),
                audience: None,
                authentication: if *is_in_body {
                    ClientAuthentication::Post
                } else {
                    ClientAuthentication::Basic
                },
            })
        }
        SmtpOAuth::ServiceAccount { scope, .. } => TokenRequest::ServiceAccount(ServiceAccount {
            key_file: handle,
            scope: scope.clone(),
            subject: Some(username.to_owned()),
        }),
    }
}

fn fault(TokenFault { error, is_untrusted, .. }: TokenFault) -> MailFault {
    match error {
        SecretError::Token(why) if is_untrusted => MailFault::Untrusted(format!("{NO_TOKEN}: {why}")),
        SecretError::Token(why) => no_token(&why),
        SecretError::Denied(why) | SecretError::InvalidKey(why) | SecretError::Unsupported(why) => {
            MailFault::NotConfigured(format!("{NO_TOKEN}: {why}"))
        }
    }
}

fn no_token(why: &str) -> MailFault {
    MailFault::Transient(Reply::connection(format!("{NO_TOKEN}: {why}")))
}
