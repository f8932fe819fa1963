//! A service account's key file, as Google hands it out.

use serde::Deserialize;

use super::{provider::Secret, signing::KeyError};

/// What is read of it.
#[derive(Deserialize)]
pub(crate) struct KeyFile {
    pub(crate) client_email: String,
    /// PKCS #8 PEM, RSA.
    pub(crate) private_key: String,
    pub(crate) private_key_id: Option<String>,
    /// Where access tokens are had.
    pub(crate) token_uri: String,
}

impl KeyFile {
    /// Reads the secret's text, which is the file itself and not its path.
    pub(crate) fn read(secret: &Secret) -> Result<Self, KeyError> {
        serde_json::from_str(secret.expose())
            .map_err(|_| KeyError("not the JSON of a service account's key file"))
    }
}
