//! JSON Web Tokens (RFC 7519) that the host signs, in the compact form (RFC 7515, 7.1).

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;

use crate::{
    bindings::aftercommit::action::secrets::{Key, Signature},
    secrets::{KeyError, Secret, sign},
};

/// A token with these claims, signed with a PKCS #8 PEM key.
pub(super) fn signed(
    key: &Secret,
    algorithm: Signature,
    key_id: Option<&str>,
    claims: &Value,
) -> Result<String, KeyError> {
    let mut header = serde_json::json!({"alg": name(algorithm), "typ": "JWT"});
    if let Some(id) = key_id {
        header["kid"] = id.into();
    }
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let content = format!("{}.{}", part(&header), part(claims));
    let signature = sign(key, algorithm, &Key::Pem, content.as_bytes())?;
    Ok(format!("{content}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

/// RFC 7518, 3.1, and RFC 8037, 3.1.
const fn name(algorithm: Signature) -> &'static str {
    match algorithm {
        Signature::Ed25519 => "EdDSA",
        Signature::Es256 => "ES256",
        Signature::Rs256 => "RS256",
    }
}
