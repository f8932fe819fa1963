//! Keys from secrets, and what is computed with them.

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use ring::{
    hmac,
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
    },
};
use zeroize::Zeroizing;

use super::provider::Secret;
use crate::bindings::aftercommit::action::secrets::{Hash, Key, Signature};

/// The secret's text is not a key of the asked form. Says what was expected, never what was found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct KeyError(pub(crate) &'static str);

/// Standard Webhooks 1.0.0 marks the kinds of its keys.
const SHARED: &str = "whsec_";
const PRIVATE: &str = "whsk_";

/// Padding may be left out, as people copy keys that way.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// HMAC (RFC 2104).
pub(crate) fn hmac(secret: &Secret, hash: Hash, key: &Key, message: &[u8]) -> Result<Vec<u8>, KeyError> {
    let algorithm = match hash {
        Hash::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        Hash::Sha256 => hmac::HMAC_SHA256,
        Hash::Sha384 => hmac::HMAC_SHA384,
        Hash::Sha512 => hmac::HMAC_SHA512,
    };
    if matches!(key, Key::Pem) {
        return Err(KeyError("a PEM key can only sign"));
    }
    if matches!(key, Key::Base64) && secret.expose().starts_with(PRIVATE) {
        return Err(KeyError(
            "whsk_ marks a private key, which signs (v1a); a shared secret starts with whsec_",
        ));
    }
    let bytes = key_bytes(secret, key)?;
    Ok(hmac::sign(&hmac::Key::new(algorithm, &bytes), message).as_ref().to_vec())
}

/// A signature over the message.
pub(crate) fn sign(
    secret: &Secret,
    algorithm: Signature,
    key: &Key,
    message: &[u8],
) -> Result<Vec<u8>, KeyError> {
    if matches!(key, Key::Base64) && secret.expose().starts_with(SHARED) {
        return Err(KeyError("whsec_ marks a shared secret (v1); a private key starts with whsk_"));
    }
    let bytes = key_bytes(secret, key)?;
    match algorithm {
        Signature::Ed25519 => Ok(ed25519(&bytes, matches!(key, Key::Pem))?.sign(message).as_ref().to_vec()),
        Signature::Es256 => {
            let random = SystemRandom::new();
            let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &bytes, &random)
                .map_err(|_| KeyError("not a P-256 private key in PKCS #8"))?;
            let signature = pair.sign(&random, message).map_err(|_| KeyError("the key does not sign"))?;
            Ok(signature.as_ref().to_vec())
        }
        Signature::Rs256 => {
            let pair = RsaKeyPair::from_pkcs8(&bytes)
                .map_err(|_| KeyError("not an RSA private key in PKCS #8, 2048 bits or more"))?;
            let mut signature = vec![0; pair.public().modulus_len()];
            pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature)
                .map_err(|_| KeyError("the key does not sign"))?;
            Ok(signature)
        }
    }
}

fn ed25519(bytes: &[u8], pkcs8: bool) -> Result<Ed25519KeyPair, KeyError> {
    if pkcs8 {
        return Ed25519KeyPair::from_pkcs8_maybe_unchecked(bytes)
            .map_err(|_| KeyError("not an ed25519 private key in PKCS #8"));
    }
    let pair = match bytes.len() {
        32 => Ed25519KeyPair::from_seed_unchecked(bytes),
        64 => Ed25519KeyPair::from_seed_and_public_key(&bytes[..32], &bytes[32..]),
        _ => return Err(KeyError("an ed25519 key is a seed of 32 bytes, or seed and public key, 64 bytes")),
    };
    pair.map_err(|_| KeyError("the seed and the public key of the ed25519 key do not belong together"))
}

fn key_bytes(secret: &Secret, key: &Key) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let text = secret.expose();
    Ok(Zeroizing::new(match key {
        Key::Text => text.as_bytes().to_vec(),
        Key::Prefixed(prefix) => [prefix.as_bytes(), text.as_bytes()].concat(),
        Key::Base64 => {
            let text = text.strip_prefix(SHARED).or_else(|| text.strip_prefix(PRIVATE)).unwrap_or(text);
            BASE64.decode(text.trim()).map_err(|_| KeyError("not base64"))?
        }
        Key::Pem => pem(text)?,
    }))
}

/// The bytes between the lines of a PKCS #8 PEM (RFC 7468, 10).
fn pem(text: &str) -> Result<Vec<u8>, KeyError> {
    const WRONG: KeyError = KeyError("not a PKCS #8 PEM: it starts with -----BEGIN PRIVATE KEY-----");
    let (_, rest) = text.split_once("-----BEGIN PRIVATE KEY-----").ok_or(WRONG)?;
    let (body, _) = rest.split_once("-----END PRIVATE KEY-----").ok_or(WRONG)?;
    // Environment variables often hold the line breaks as two characters.
    let body: Zeroizing<String> =
        Zeroizing::new(body.replace("\\n", "").chars().filter(|letter| !letter.is_whitespace()).collect());
    BASE64.decode(body.as_bytes()).map_err(|_| WRONG)
}

#[cfg(test)]
mod tests {
    use ring::signature::{self, KeyPair as _};

    use super::*;

    /// Known answers of Standard Webhooks 1.0.0.
    #[test]
    fn hmac_gives_the_known_answers() {
        for (key, message, expected) in [
            (
                "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
                "msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330.{\"test\": 2432232314}",
                "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
            ),
            (
                "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
                "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk.1649367553.{\"email\":\"test@example.com\",\"username\":\"test_user\"}",
                "tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=",
            ),
        ] {
            let mac = hmac(&Secret::new(key), Hash::Sha256, &Key::Base64, message.as_bytes()).unwrap();
            assert_eq!(BASE64.encode(mac), expected);
        }
    }

    /// RFC 4231, test case 2.
    #[test]
    fn text_and_prefixed_keys() {
        let hex = |text: &str| {
            (0..32).map(|byte| u8::from_str_radix(&text[byte * 2..][..2], 16).unwrap()).collect::<Vec<_>>()
        };
        let message = b"what do ya want for nothing?";
        let expected = hex("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
        assert_eq!(hmac(&Secret::new("Jefe"), Hash::Sha256, &Key::Text, message).unwrap(), expected);
        let prefixed = Key::Prefixed("Je".into());
        assert_eq!(hmac(&Secret::new("fe"), Hash::Sha256, &prefixed, message).unwrap(), expected);
    }

    #[test]
    fn ed25519_takes_seed_and_pair() {
        let seed = [7_u8; 32];
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).unwrap();
        let public = pair.public_key().as_ref();
        let both = [&seed[..], public].concat();
        for bytes in [&seed[..], &both] {
            let secret = Secret::new(format!("whsk_{}", BASE64.encode(bytes)));
            let made = sign(&secret, Signature::Ed25519, &Key::Base64, b"m").unwrap();
            signature::UnparsedPublicKey::new(&signature::ED25519, public).verify(b"m", &made).unwrap();
        }
        let short = Secret::new(BASE64.encode([1; 16]));
        assert!(sign(&short, Signature::Ed25519, &Key::Base64, b"m").is_err());
    }

    #[test]
    fn a_key_of_the_other_kind_is_refused() {
        let of = |prefix: &str| Secret::new(format!("{prefix}{}", BASE64.encode([7; 32])));
        assert!(hmac(&of("whsk_"), Hash::Sha256, &Key::Base64, b"m").is_err());
        assert!(sign(&of("whsec_"), Signature::Ed25519, &Key::Base64, b"m").is_err());
    }

    #[test]
    fn es256_is_r_and_s() {
        let random = SystemRandom::new();
        let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let pem = format!(
            "-----BEGIN PRIVATE KEY-----\\n{}\\n-----END PRIVATE KEY-----",
            BASE64.encode(key.as_ref())
        );
        let made = sign(&Secret::new(pem), Signature::Es256, &Key::Pem, b"m").unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, key.as_ref(), &random).unwrap();
        assert_eq!(made.len(), 64);
        signature::UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, pair.public_key().as_ref())
            .verify(b"m", &made)
            .unwrap();
    }

    #[test]
    fn an_error_does_not_tell_the_secret() {
        let error = sign(&Secret::new("hunter2"), Signature::Rs256, &Key::Pem, b"m").unwrap_err();
        assert!(!error.0.contains("hunter2"));
    }
}
