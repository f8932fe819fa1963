//! Work with secrets that the plugin never sees.

use std::fmt;

use schemars::JsonSchema;
use serde::Deserialize;

pub use crate::bindings::aftercommit::action::secrets::{
    ClientAuthentication, ClientCredentials, Hash, Key, ProviderToken, SecretError, ServiceAccount,
    Signature, TokenRequest,
};
use crate::{
    Failure,
    bindings::aftercommit::action::{model::Content, secrets},
};

/// How every handle starts, and how many hexadecimal digits follow (the interface's `secrets`).
const HANDLE_START: &str = "acsecret";
const HANDLE_DIGITS: usize = 48;

/// Whether a text holds a secret's handle.
#[must_use]
pub fn holds_handle(text: &str) -> bool {
    text.match_indices(HANDLE_START).any(|(at, start)| {
        let digits = text.as_bytes()[at + start.len()..].iter();
        digits.take_while(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')).count() >= HANDLE_DIGITS
    })
}

/// A secret of the configuration: a handle in the place of `${secret:NAME}`. It may stand in a request's URL, header
/// or `auth`, where the host puts the secret when the request leaves.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline)]
pub struct Secret(pub String);

impl Secret {
    /// The handle.
    #[must_use]
    pub fn handle(&self) -> &str {
        &self.0
    }

    /// HMAC (RFC 2104) of a text, with the secret as key.
    pub fn hmac(&self, algorithm: Hash, key: &Key, message: &str) -> Result<Vec<u8>, SecretError> {
        secrets::hmac(&self.0, algorithm, key, &Content::Text(message.to_owned()))
    }

    /// A signature over a text, with the secret as private key.
    pub fn sign(&self, algorithm: Signature, key: &Key, message: &str) -> Result<Vec<u8>, SecretError> {
        secrets::sign(&self.0, algorithm, key, &Content::Text(message.to_owned()))
    }

    /// The secret itself. Needs [`crate::Need::RevealSecrets`]; every call is audited.
    pub fn reveal(&self) -> Result<String, SecretError> {
        secrets::reveal(&self.0)
    }
}

/// An access token, as a handle that the host fills in and renews; for `http::Request::bearer`.
pub fn access_token(request: &TokenRequest) -> Result<Secret, SecretError> {
    secrets::access_token(request).map(Secret)
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<SecretError> for Failure {
    /// Only a token endpoint may answer differently later; the rest is the operator's to put right.
    fn from(error: SecretError) -> Self {
        match error {
            SecretError::Denied(why) => Self::misconfigured("secret_denied", why),
            SecretError::InvalidKey(why) => Self::misconfigured("secret_invalid_key", why),
            SecretError::Unsupported(why) => Self::misconfigured("secret_unsupported", why),
            SecretError::Token(why) => Self::transient("access_token", why),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles_are_recognised() {
        let handle = format!("{HANDLE_START}{}", "0123456789abcdef".repeat(3));
        assert!(holds_handle(&handle));
        assert!(holds_handle(&format!("https://example.com/acsecret/{handle}/x")));
        assert!(!holds_handle(&handle[..handle.len() - 1]));
        assert!(!holds_handle("https://example.com/acsecret"));
    }
}
