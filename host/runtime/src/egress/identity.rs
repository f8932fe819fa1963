//! Client certificates (mutual TLS, RFC 8446, 4.4.2): who an action is to the server of one origin.

use std::sync::Arc;

use ring::digest::{Context, SHA256};
use rustls::{
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject as _},
    sign::CertifiedKey,
};

use crate::secrets::Secret;

/// A certificate, those between it and its authority, and its private key.
pub(crate) struct Identity {
    pub(super) certified: Arc<CertifiedKey>,
    /// The same for the same certificates and key.
    pub(super) fingerprint: Fingerprint,
}

pub(super) type Fingerprint = [u8; 32];

/// What is wrong. The texts are for people and hold nothing of a secret.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum IdentityError {
    Certificate(String),
    Key(String),
}

impl Identity {
    /// Reads two PEM texts (RFC 7468).
    pub(crate) fn read(certificate: &Secret, key: &Secret) -> Result<Self, IdentityError> {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(certificate.expose().as_bytes())
            .collect::<Result<_, _>>()
            .map_err(|error| IdentityError::Certificate(format!("is not PEM: {}", told(&error))))?;
        if chain.is_empty() {
            return Err(IdentityError::Certificate("holds no certificate (BEGIN CERTIFICATE)".to_owned()));
        }
        let der = PrivateKeyDer::from_pem_slice(key.expose().as_bytes()).map_err(|error| {
            IdentityError::Key(match error {
                pem::Error::NoItemsFound => {
                    "holds no private key without a password (BEGIN PRIVATE KEY)".to_owned()
                }
                error => format!("is not PEM: {}", told(&error)),
            })
        })?;
        let mut digest = Context::new(&SHA256);
        for part in chain.iter().map(AsRef::as_ref).chain([der.secret_der()]) {
            digest.update(&(part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        let mut fingerprint = Fingerprint::default();
        fingerprint.copy_from_slice(digest.finish().as_ref());
        let provider = rustls::crypto::ring::default_provider();
        let key = provider
            .key_provider
            .load_private_key(der)
            .map_err(|_| IdentityError::Key("is not an RSA, ECDSA or ed25519 key".to_owned()))?;
        let certified = CertifiedKey::new(chain, key);
        match certified.keys_match() {
            Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {}
            Err(rustls::Error::InconsistentKeys(_)) => {
                return Err(IdentityError::Key("is not the key of the certificate".to_owned()));
            }
            Err(_) => return Err(IdentityError::Certificate("is not an X.509 certificate".to_owned())),
        }
        Ok(Self { certified: Arc::new(certified), fingerprint })
    }
}

/// What of a PEM error can be told: not the text itself.
fn told(error: &pem::Error) -> &'static str {
    match error {
        pem::Error::MissingSectionEnd { .. } => "a section does not end",
        pem::Error::IllegalSectionStart { .. } => "a section does not begin well",
        pem::Error::Base64Decode(_) => "a section is not base64",
        _ => "it can not be read",
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    fn pair() -> (Secret, Secret) {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(["client".to_owned()]).unwrap().self_signed(&key).unwrap();
        (Secret::new(certificate.pem()), Secret::new(key.serialize_pem()))
    }

    #[test]
    fn what_is_wrong_is_told_without_the_text() {
        let (certificate, key) = pair();
        let read =
            |certificate: &Secret, key: &Secret| Identity::read(certificate, key).map(|_| ()).unwrap_err();
        let (_, other) = pair();
        let of_key = |why: &str| IdentityError::Key(why.to_owned());
        let of_certificate = |why: &str| IdentityError::Certificate(why.to_owned());
        assert_eq!(read(&certificate, &other), of_key("is not the key of the certificate"));
        let hunter = Secret::new("hunter2");
        assert_eq!(read(&hunter, &key), of_certificate("holds no certificate (BEGIN CERTIFICATE)"));
        assert_eq!(
            read(&certificate, &hunter),
            of_key("holds no private key without a password (BEGIN PRIVATE KEY)")
        );
        assert_eq!(read(&key, &key), of_certificate("holds no certificate (BEGIN CERTIFICATE)"));
        let cut = Secret::new(&key.expose()[..60]);
        assert_eq!(read(&certificate, &cut), of_key("is not PEM: a section does not end"));
        let broken = "-----BEGIN CERTIFICATE-----\nhunter2!\n-----END CERTIFICATE-----\n";
        assert_eq!(read(&Secret::new(broken), &key), of_certificate("is not PEM: a section is not base64"));
        let none = broken.replace("hunter2!", "aHVudGVyMg==");
        assert_eq!(read(&Secret::new(none), &key), of_certificate("is not an X.509 certificate"));
        let none = "-----BEGIN PRIVATE KEY-----\naHVudGVyMg==\n-----END PRIVATE KEY-----\n";
        assert_eq!(read(&certificate, &Secret::new(none)), of_key("is not an RSA, ECDSA or ed25519 key"));
    }

    #[test]
    fn the_same_pair_has_the_same_fingerprint() {
        let ((certificate, key), (other, its_key)) = (pair(), pair());
        let of = |certificate: &Secret, key: &Secret| Identity::read(certificate, key).unwrap().fingerprint;
        assert_eq!(of(&certificate, &key), of(&certificate, &key));
        assert_ne!(of(&certificate, &key), of(&other, &its_key));
    }
}
