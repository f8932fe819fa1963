//! What the secret in a field has to be, as the plugin's schema says (`x-secret-form`): told when the action loads, since
//! a key that is none would send every delivery to the dead letter queue.

use super::{
    provider::Secret,
    reference::{Part, parts},
    service_account::KeyFile,
    signing::{KeyError, hmac, sign},
};
use crate::{
    bindings::aftercommit::action::secrets::{Hash, Key, Signature},
    capability::Origin,
    configure::{
        marked::{MarkedConfig, MarkedText},
        problem::{ConfigProblem, Findings},
    },
};

/// The form of a secret.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum SecretForm {
    /// Any text.
    Any,
    /// A shared key in base64, as Standard Webhooks writes them.
    SharedKey,
    /// A P-256 private key, PKCS #8 PEM.
    P256Key,
    /// The JSON of a service account's key file.
    ServiceAccount,
}

impl SecretForm {
    pub(crate) const ALL: [Self; 4] = [Self::Any, Self::SharedKey, Self::P256Key, Self::ServiceAccount];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::SharedKey => "shared-key",
            Self::P256Key => "p256-key",
            Self::ServiceAccount => "service-account",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|form| form.as_str() == name)
    }

    fn check(self, secret: &Secret, origins: Option<&[Origin]>) -> Result<(), String> {
        let told = |error: KeyError| error.0.to_owned();
        match self {
            Self::Any => Ok(()),
            Self::SharedKey => hmac(secret, Hash::Sha256, &Key::Base64, b"").map(drop).map_err(told),
            Self::P256Key => sign(secret, Signature::Es256, &Key::Pem, b"").map(drop).map_err(told),
            Self::ServiceAccount => {
                let file = KeyFile::read(secret).map_err(told)?;
                sign(&Secret::new(file.private_key), Signature::Rs256, &Key::Pem, b"")
                    .map_err(|error| format!("its `private_key` is {}", error.0))?;
                let origin = url::Url::parse(&file.token_uri).ok().as_ref().and_then(Origin::of);
                if origins.is_none_or(|origins| origin.is_some_and(|origin| origins.contains(&origin))) {
                    return Ok(());
                }
                Err("its `token_uri` is at an origin that is not granted; write it as `token_url`".to_owned())
            }
        }
    }
}

/// Reports everything that is wrong with the secrets of fields whose form the schema says. Each stands alone in its field, and by
/// its name: what is written as it is could be read by all who read observers. `origins` are those that the action may send to, if
/// they are known.
pub(crate) fn check_forms(config: &MarkedConfig, origins: Option<&[Origin]>, findings: &Findings) {
    for MarkedText { pointer, marks, text } in config.sound_texts(findings) {
        let Some(form) = marks.secret_form else { continue };
        match parts(text).unwrap_or_default()[..] {
            [Part::Secret(name)] if config.secrets.contains_key(name) => {
                if let Err(why) = form.check(&config.secrets[name], origins) {
                    findings.add(ConfigProblem::new(pointer, format!("the secret `{name}`: {why}")));
                }
            }
            _ => findings.add(
                ConfigProblem::new(pointer, "must be a secret's name, not the secret itself").help(
                    "write ${secret:NAME}, and the secret into the environment or the folder of secrets",
                ),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::loading::schema::Marks;

    const KEY_FILE: &str =
        r#"{"client_email":"a@b.example","private_key":"x","token_uri":"https://token.example/t"}"#;

    fn told(form: SecretForm, written: &str, secret: &str) -> String {
        let marks = Marks { secret_form: Some(form), ..Marks::default() };
        let config = MarkedConfig {
            value: json!({"key": written}),
            marks: BTreeMap::from([("/key".to_owned(), marks)]),
            secrets: BTreeMap::from([("K".to_owned(), Secret::new(secret))]),
        };
        let findings = Findings::default();
        check_forms(&config, Some(&[]), &findings);
        findings.into_result().map_or_else(|error| error.to_string(), |()| "right".to_owned())
    }

    #[test]
    fn a_secret_stands_alone_and_by_its_name() {
        assert_eq!(told(SecretForm::Any, "${secret:K}", "anything"), "right");
        for written in ["xoxb-1", "", "${secrets:K}", "Bearer ${secret:K}", "${secret:K}${secret:K}"] {
            let told = told(SecretForm::Any, written, "x");
            assert!(told.starts_with("/key: must be a secret's name") && !told.contains("xoxb"), "{told}");
        }
    }

    #[test]
    fn a_key_that_is_none_is_told_without_its_text() {
        assert_eq!(
            told(SecretForm::SharedKey, "${secret:K}", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
            "right"
        );
        for (form, secret, expected) in [
            (SecretForm::SharedKey, "hunter2!", "not base64"),
            (SecretForm::SharedKey, "whsk_aHVudGVyMg", "private key"),
            (SecretForm::P256Key, "hunter2", "not a PKCS #8 PEM"),
            (SecretForm::ServiceAccount, "/etc/hunter2.json", "not the JSON of a service account's key file"),
            (SecretForm::ServiceAccount, KEY_FILE, "its `private_key` is not a PKCS #8 PEM"),
        ] {
            let told = told(form, "${secret:K}", secret);
            assert!(told.starts_with("/key: the secret `K`: ") && told.contains(expected), "{told}");
            assert!(!told.contains("hunter2") && !told.contains("aHVudGVyMg"), "{told}");
        }
    }
}
