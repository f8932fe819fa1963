//! Signatures as Standard Webhooks 1.0.0 defines them. The host computes them: the plugin sees handles, no secrets.

use std::fmt;

use aftercommit_plugin::{
    Failure,
    secrets::{Hash, Key, Secret, SecretError, Signature},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use schemars::JsonSchema;
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor, value::MapAccessDeserializer},
};

/// A secret, and what kind of key it is. A handle does not tell `whsec_` from `whsk_`.
#[derive(Clone, PartialEq, Eq, Debug, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub(crate) enum SigningSecret {
    /// A shared secret for `v1`, as `${secret:NAME}`; its text is `whsec_` and base64.
    #[schemars(extend("x-secret-form" = "shared-key"))]
    Shared(Secret),
    /// A secret and its scheme.
    WithScheme(SecretWithScheme),
}

impl<'de> Deserialize<'de> for SigningSecret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(EitherForm)
    }
}

/// Reads a text or an object; serde's own `untagged` would buffer them, in many times the code.
struct EitherForm;

impl<'de> Visitor<'de> for EitherForm {
    type Value = SigningSecret;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a secret, or an object of `secret` and `scheme`")
    }

    fn visit_str<E>(self, handle: &str) -> Result<SigningSecret, E> {
        Ok(SigningSecret::Shared(Secret(handle.to_owned())))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<SigningSecret, A::Error> {
        SecretWithScheme::deserialize(MapAccessDeserializer::new(map)).map(SigningSecret::WithScheme)
    }
}

/// A secret and its scheme.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub(crate) struct SecretWithScheme {
    /// The secret, as `${secret:NAME}`.
    #[schemars(extend("x-secret-form" = "any"))]
    secret: Secret,
    /// `v1`: HMAC-SHA256 with a shared secret (`whsec_`). `v1a`: ed25519 with a private key (`whsk_`).
    #[serde(default)]
    scheme: Scheme,
}

/// A scheme of signing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
enum Scheme {
    #[default]
    V1,
    V1a,
}

impl SigningSecret {
    fn sign(&self, message: &str) -> Result<String, SecretError> {
        let (secret, scheme) = match self {
            Self::Shared(secret) => (secret, Scheme::V1),
            Self::WithScheme(of) => (&of.secret, of.scheme),
        };
        Ok(match scheme {
            Scheme::V1 => encoded("v1,", &secret.hmac(Hash::Sha256, &Key::Base64, message)?),
            Scheme::V1a => encoded("v1a,", &secret.sign(Signature::Ed25519, &Key::Base64, message)?),
        })
    }
}

fn encoded(scheme: &str, signature: &[u8]) -> String {
    let mut text = String::from(scheme);
    STANDARD.encode_string(signature, &mut text);
    text
}

/// The value of `webhook-signature`: one signature a secret, with a space between them. Nothing without secrets.
pub(crate) fn of(
    secrets: &[SigningSecret],
    id: &str,
    timestamp_secs: u64,
    body: &str,
) -> Result<Option<String>, Failure> {
    if secrets.is_empty() {
        return Ok(None);
    }
    let message = signed_content(id, timestamp_secs, body);
    let signatures = secrets.iter().map(|secret| secret.sign(&message)).collect::<Result<Vec<_>, _>>()?;
    Ok(Some(signatures.join(" ")))
}

/// What is signed: the body's exact bytes after the two other headers.
fn signed_content(id: &str, timestamp_secs: u64, body: &str) -> String {
    format!("{id}.{timestamp_secs}.{body}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_read_with_and_without_scheme() {
        let read = |json: &str| serde_json::from_str::<Vec<SigningSecret>>(json);
        let secret = || Secret("handle".to_owned());
        assert_eq!(
            read(r#"["handle", {"secret":"handle"}, {"secret":"handle","scheme":"v1a"}]"#).expect("secrets"),
            [
                SigningSecret::Shared(secret()),
                SigningSecret::WithScheme(SecretWithScheme { secret: secret(), scheme: Scheme::V1 }),
                SigningSecret::WithScheme(SecretWithScheme { secret: secret(), scheme: Scheme::V1a }),
            ]
        );
        assert!(read(r#"[{"secret":"handle","scheme":"v2"}]"#).is_err());
    }

    #[test]
    fn what_is_signed_and_how_it_is_written() {
        assert_eq!(signed_content("d1", 1_614_265_330, r#"{"test": 1}"#), r#"d1.1614265330.{"test": 1}"#);
        assert_eq!(encoded("v1,", &[0xfb, 0xff]), "v1,+/8=");
        assert_eq!(of(&[], "d1", 1, "").expect("no secrets"), None);
    }
}
