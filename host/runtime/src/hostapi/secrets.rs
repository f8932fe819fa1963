//! `secrets`: work with secrets that the guest does not see.

use std::{borrow::Cow, sync::Arc};

use crate::{
    bindings::aftercommit::action::{
        model::Content,
        secrets::{Hash, Host, Key, SecretError, Signature, TokenRequest},
    },
    calling::{
        contacts::Contact,
        guest::{Call, Guest, Phase},
    },
    capability::Need,
    egress::Permit,
    hostapi::{access_token, content_bytes},
    secrets::{Entry, Handles, KeyError, hmac, sign},
};

impl Guest {
    /// Whether secrets may be worked with now.
    fn may(&self, need: Need) -> Result<(), SecretError> {
        if self.call.phase != Phase::Run {
            return Err(SecretError::Denied("secrets are used during `run` only".to_owned()));
        }
        if !self.call.permit.effective.needs.has(need) {
            return Err(SecretError::Denied(format!(
                "the plugin does not declare that it needs `{}`",
                need.as_str()
            )));
        }
        Ok(())
    }

    /// What a receiver will verify: a body is signed before its secrets are put in.
    fn as_sent<'m>(&self, message: &'m Content) -> Cow<'m, [u8]> {
        match message {
            Content::Text(text) if Handles::suspects(text) => {
                Cow::Owned(self.call.permit.handles.signed(text).as_bytes().to_vec())
            }
            _ => Cow::Borrowed(content_bytes(message)),
        }
    }

    /// The secret behind a handle, if this action may work with it now.
    fn secret(&mut self, handle: &str, need: Need) -> wasmtime::Result<Result<Arc<Entry>, SecretError>> {
        self.call.host_call()?;
        let permit = &self.call.permit;
        Ok(self.may(need).and_then(|()| permit.handles.whole(handle).ok_or_else(|| unknown(permit))))
    }
}

/// A handle that is not one of this action's.
pub(super) fn unknown(permit: &Permit) -> SecretError {
    if permit.audit.admits("no handle") {
        tracing::warn!(
            target: "aftercommit::audit",
            plugin = permit.who.plugin,
            observer = permit.who.observer,
            action = permit.who.action,
            "a plugin named a secret that is not granted to its action"
        );
    }
    SecretError::Denied(
        "this is not the handle of a secret of this action; write ${secret:NAME} into its configuration"
            .to_owned(),
    )
}

pub(super) fn told(entry: &Entry, error: &KeyError) -> SecretError {
    SecretError::InvalidKey(format!("the secret `{}`: {}", entry.name, error.0))
}

impl Host for Guest {
    fn hmac(
        &mut self,
        secret: String,
        algorithm: Hash,
        key: Key,
        message: Content,
    ) -> wasmtime::Result<Result<Vec<u8>, SecretError>> {
        let answer = self.secret(&secret, Need::Secrets)?.and_then(|entry| {
            hmac(&entry.secret, algorithm, &key, &self.as_sent(&message))
                .map_err(|error| told(&entry, &error))
        });
        self.call.contacts.denials.note(&answer);
        Ok(answer)
    }

    fn sign(
        &mut self,
        secret: String,
        algorithm: Signature,
        key: Key,
        message: Content,
    ) -> wasmtime::Result<Result<Vec<u8>, SecretError>> {
        let answer = self.secret(&secret, Need::Secrets)?.and_then(|entry| {
            sign(&entry.secret, algorithm, &key, &self.as_sent(&message))
                .map_err(|error| told(&entry, &error))
        });
        self.call.contacts.denials.note(&answer);
        Ok(answer)
    }

    async fn access_token(&mut self, request: TokenRequest) -> wasmtime::Result<Result<String, SecretError>> {
        self.call.host_call()?;
        let answer = match self.may(Need::Secrets) {
            Ok(()) => token(&self.call, &request).await,
            Err(error) => Err(error),
        };
        self.call.contacts.denials.note(&answer);
        Ok(answer)
    }

    fn reveal(&mut self, secret: String) -> wasmtime::Result<Result<String, SecretError>> {
        let answer = self.secret(&secret, Need::Reveal)?.and_then(|entry| self.revealed(&entry));
        self.call.contacts.denials.note(&answer);
        Ok(answer)
    }
}

async fn token(call: &Call, request: &TokenRequest) -> Result<String, SecretError> {
    let token = access_token(&call.permit, &call.egress, call.bounds(), request).await;
    token.map_err(|fault| {
        if fault.is_untrusted {
            call.contacts.note(Contact::Untrusted);
        }
        if let Some(why) = fault.denied {
            call.contacts.denials.add(&why);
        }
        fault.error
    })
}

impl Guest {
    fn revealed(&self, entry: &Entry) -> Result<String, SecretError> {
        let permit = &self.call.permit;
        let granted = permit.effective.reveal.contains(&entry.name);
        if permit.audit.admits(("reveal", &entry.name)) {
            tracing::warn!(
                target: "aftercommit::audit",
                plugin = permit.who.plugin,
                observer = permit.who.observer,
                action = permit.who.action,
                secret = entry.name,
                granted,
                "a plugin asked for the text of a secret"
            );
        }
        if !granted {
            let why = format!("`{}` is not in the action's `grants.reveal`", entry.name);
            return Err(SecretError::Denied(why));
        }
        Ok(entry.secret.expose().to_owned())
    }
}
