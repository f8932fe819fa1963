//! Tokens that the host signs itself and keeps, for services that count how often a token changes.
//!
//! APNs refuses provider tokens older than an hour and those that are renewed within 20 minutes ("Establishing a
//! token-based connection to APNs"). Its signatures differ each time, so the token itself is kept: for the whole process,
//! because actions share keys and are configured anew whenever observers are reloaded.

use std::{collections::HashMap, time::Duration};

use aftercommit_core::Timestamp;
use parking_lot::Mutex;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::jwt;
use crate::{
    bindings::aftercommit::action::secrets::ProviderToken,
    secrets::{KeyError, Secret},
};

/// Between the 20 minutes that a token must be kept and the 60 that it may be.
const LIFE: Duration = Duration::from_mins(40);

/// The tokens of all actions.
#[derive(Default)]
pub(crate) struct ProviderTokens {
    kept: Mutex<HashMap<[u8; 32], Kept>>,
}

#[derive(Clone)]
struct Kept {
    token: Secret,
    signed_at: Timestamp,
    renew_at: Timestamp,
}

impl Kept {
    /// A clock that was set back since must not make it last longer.
    fn is_valid(&self, now: Timestamp) -> bool {
        (self.signed_at..self.renew_at).contains(&now)
    }
}

impl ProviderTokens {
    /// A token that is valid now, and when it is to be asked for again.
    pub(super) fn token(
        &self,
        asked: &ProviderToken,
        key: &Secret,
        now: Timestamp,
    ) -> Result<(Secret, Timestamp), KeyError> {
        let name = digest(asked, key);
        // Held while signing, so that there is one token and not several.
        let mut kept = self.kept.lock();
        if let Some(valid) = kept.get(&name).filter(|kept| kept.is_valid(now)) {
            return Ok((valid.token.clone(), valid.renew_at));
        }
        let claims = json!({"iss": asked.issuer, "iat": now.as_millis() / 1000});
        let token = Secret::new(jwt::signed(key, asked.algorithm, Some(&asked.key_id), &claims)?);
        let renew_at = now.plus(LIFE);
        kept.retain(|_, kept| kept.is_valid(now));
        kept.insert(name, Kept { token: token.clone(), signed_at: now, renew_at });
        Ok((token, renew_at))
    }
}

/// Of all that makes the token what it is; the key itself is not kept.
fn digest(asked: &ProviderToken, key: &Secret) -> [u8; 32] {
    let mut digest = Sha256::new();
    for part in [key.expose(), &format!("{:?}", asked.algorithm), &asked.key_id, &asked.issuer] {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part.as_bytes());
    }
    digest.finalize().into()
}

#[cfg(test)]
mod tests {
    use base64::{
        Engine as _,
        engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
    };
    use ring::{
        rand::SystemRandom,
        signature::{
            ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _,
            UnparsedPublicKey,
        },
    };

    use super::*;
    use crate::bindings::aftercommit::action::secrets::Signature;

    fn asked(issuer: &str) -> ProviderToken {
        ProviderToken {
            key: String::new(),
            algorithm: Signature::Es256,
            key_id: "ABC123DEFG".into(),
            issuer: issuer.into(),
        }
    }

    fn minutes(count: i64) -> Timestamp {
        Timestamp::from_micros(count * 60_000_000)
    }

    #[test]
    fn a_token_is_kept_for_longer_than_20_and_less_than_60_minutes() {
        let random = SystemRandom::new();
        let der = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der.as_ref(), &random).unwrap();
        let pem = format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----",
            STANDARD.encode(der.as_ref())
        );
        let (tokens, key) = (ProviderTokens::default(), Secret::new(pem));
        let at =
            |minute: i64| tokens.token(&asked("TEAM"), &key, minutes(minute)).unwrap().0.expose().to_owned();

        let first = at(100);
        assert_eq!((at(121), at(139)), (first.clone(), first.clone()));
        let second = at(141);
        assert_ne!(first, second);
        assert_eq!(at(159), second);
        assert_ne!(at(81), second, "the clock was set back by an hour");
        let second = at(141);
        let other = tokens.token(&asked("OTHER"), &key, minutes(141)).unwrap().0;
        assert_ne!(other.expose(), second);

        let parts: Vec<&str> = first.split('.').collect();
        let read = |part: &str| -> serde_json::Value {
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
        };
        assert_eq!(read(parts[0]), json!({"alg": "ES256", "typ": "JWT", "kid": "ABC123DEFG"}));
        assert_eq!(read(parts[1]), json!({"iss": "TEAM", "iat": 6000}));
        let signature = URL_SAFE_NO_PAD.decode(parts[2]).unwrap();
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, pair.public_key().as_ref())
            .verify(format!("{}.{}", parts[0], parts[1]).as_bytes(), &signature)
            .unwrap();
    }

    #[test]
    fn what_is_no_key_makes_no_token() {
        let error = ProviderTokens::default().token(&asked("TEAM"), &Secret::new("hunter2"), minutes(1));
        assert!(error.is_err_and(|error| !error.0.contains("hunter2")));
    }
}
