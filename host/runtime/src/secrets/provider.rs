//! Where secrets come from.

use std::{
    fmt,
    path::PathBuf,
    sync::{Arc, OnceLock},
};

use zeroize::Zeroizing;

use super::spelling;
use crate::files::read_text;

/// A secret's text. Overwritten when dropped, and never printed.
#[derive(Clone)]
pub struct Secret(Arc<Text>);

struct Text {
    text: Zeroizing<String>,
    spellings: OnceLock<Vec<Zeroizing<Vec<u8>>>>,
}

impl Secret {
    /// Takes a text for a secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self::from(Zeroizing::new(text.into()))
    }

    /// The text itself.
    pub fn expose(&self) -> &str {
        &self.0.text
    }

    /// The forms in which it is looked for where it must not stand.
    pub(super) fn spellings(&self) -> &[Zeroizing<Vec<u8>>] {
        self.0.spellings.get_or_init(|| spelling::spellings(self.expose()))
    }
}

impl From<Zeroizing<String>> for Secret {
    fn from(text: Zeroizing<String>) -> Self {
        Self(Arc::new(Text { text, spellings: OnceLock::new() }))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// A provider could not say whether it has a secret.
#[derive(Debug, thiserror::Error)]
#[error("the secret `{name}` can not be read: {why}")]
pub struct SecretError {
    /// Which secret.
    pub name: String,
    /// Why not; never holds the value.
    pub why: String,
}

/// Gives secrets by name.
pub trait SecretProvider: Send + Sync {
    /// The secret of that name, or none when this provider has none.
    fn secret(&self, name: &str) -> Result<Option<Secret>, SecretError>;

    /// The same for the configuration of an action, which may be written by somebody who is not to see the host's own settings.
    fn secret_of_action(&self, name: &str) -> Result<Option<Secret>, SecretError> {
        self.secret(name)
    }

    /// Where a person puts a secret of that name, for an error message.
    fn place(&self, name: &str) -> String;
}

/// A secret without the line break at its end, which editors and `echo` write. An empty text is none.
fn trimmed(mut text: Zeroizing<String>) -> Option<Secret> {
    let length = text.trim_end_matches(['\r', '\n']).len();
    text.truncate(length);
    (length > 0).then(|| Secret::from(text))
}

/// Secrets in environment variables of the same name.
#[derive(Clone, Copy, Default, Debug)]
pub struct EnvSecrets;

impl SecretProvider for EnvSecrets {
    fn secret(&self, name: &str) -> Result<Option<Secret>, SecretError> {
        match std::env::var(name) {
            Ok(text) => Ok(trimmed(Zeroizing::new(text))),
            Err(std::env::VarError::NotPresent) => Ok(None),
            Err(std::env::VarError::NotUnicode(_)) => Err(SecretError {
                name: name.to_owned(),
                why: "the environment variable is not UTF-8".to_owned(),
            }),
        }
    }

    fn secret_of_action(&self, name: &str) -> Result<Option<Secret>, SecretError> {
        if is_setting(name) {
            let why =
                "this environment variable is a setting of the host; give the secret another name".to_owned();
            return Err(SecretError { name: name.to_owned(), why });
        }
        self.secret(name)
    }

    fn place(&self, name: &str) -> String {
        format!("set the environment variable {name}")
    }
}

/// Whether the host reads this variable for itself: its database, its servers and their passwords.
fn is_setting(name: &str) -> bool {
    name == "DATABASE_URL" || name.starts_with("AFTERCOMMIT_")
}

/// Secrets in the files of a folder: one file a secret, its name the secret's.
#[derive(Clone, Debug)]
pub struct FileSecrets {
    folder: PathBuf,
}

/// No secret is larger.
const MAX_SECRET_BYTES: u64 = 1 << 20;

impl FileSecrets {
    /// Secrets in `folder`.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }
}

impl SecretProvider for FileSecrets {
    fn secret(&self, name: &str) -> Result<Option<Secret>, SecretError> {
        let wrong = |why: String| SecretError { name: name.to_owned(), why };
        // A name is never a path.
        if name.is_empty() || name.starts_with('.') || name.contains(['/', '\\', '\0']) {
            return Ok(None);
        }
        let path = self.folder.join(name);
        let text = match read_text(&path, MAX_SECRET_BYTES).map(Zeroizing::new) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(wrong(format!("its file {} can not be read: {error}", path.display()))),
        };
        Ok(trimmed(text))
    }

    fn place(&self, name: &str) -> String {
        format!("write it into the file {}", self.folder.join(name).display())
    }
}

/// Several providers; the first that has the secret gives it.
pub struct ChainedSecrets(pub Vec<Arc<dyn SecretProvider>>);

impl SecretProvider for ChainedSecrets {
    fn secret(&self, name: &str) -> Result<Option<Secret>, SecretError> {
        for provider in &self.0 {
            if let Some(secret) = provider.secret(name)? {
                return Ok(Some(secret));
            }
        }
        Ok(None)
    }

    fn secret_of_action(&self, name: &str) -> Result<Option<Secret>, SecretError> {
        for provider in &self.0 {
            if let Some(secret) = provider.secret_of_action(name)? {
                return Ok(Some(secret));
            }
        }
        Ok(None)
    }

    fn place(&self, name: &str) -> String {
        self.0.iter().map(|provider| provider.place(name)).collect::<Vec<_>>().join(", or ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_is_not_given_what_the_host_is_set_up_with() {
        for name in ["DATABASE_URL", "AFTERCOMMIT_REDIS_CACHE_URL", "AFTERCOMMIT_ADMIN_TOKEN"] {
            let refused = EnvSecrets.secret_of_action(name).unwrap_err().to_string();
            assert!(refused.contains("is a setting of the host"), "{refused}");
        }
        let chain = ChainedSecrets(vec![Arc::new(FileSecrets::new("/nowhere")), Arc::new(EnvSecrets)]);
        assert!(chain.secret_of_action("DATABASE_URL").is_err());
        assert!(chain.secret_of_action("NO_SUCH_VARIABLE").unwrap().is_none());
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("DATABASE_URL"), "a file that the operator put there").unwrap();
        let chain = ChainedSecrets(vec![Arc::new(FileSecrets::new(folder.path())), Arc::new(EnvSecrets)]);
        assert!(chain.secret_of_action("DATABASE_URL").unwrap().is_some());
    }

    #[test]
    fn a_secret_is_never_printed() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "Secret(..)");
    }

    #[test]
    fn files_give_secrets_and_names_are_no_paths() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("inner")).unwrap();
        std::fs::write(folder.path().join("inner/A"), "no").unwrap();
        std::fs::write(folder.path().join("B"), "secret b\n").unwrap();
        std::fs::write(folder.path().join("EMPTY"), "\r\n").unwrap();
        let files = FileSecrets::new(folder.path().join("inner"));
        assert!(files.secret("../B").unwrap().is_none());
        assert!(files.secret("missing").unwrap().is_none());
        let chain = ChainedSecrets(vec![Arc::new(files), Arc::new(FileSecrets::new(folder.path()))]);
        assert_eq!(chain.secret("B").unwrap().unwrap().expose(), "secret b");
        assert!(chain.secret("EMPTY").unwrap().is_none());
        assert_eq!(trimmed(Zeroizing::new(" a\nb\r\n".to_owned())).unwrap().expose(), " a\nb");
        assert!(chain.place("B").contains(", or "));
        let large = std::fs::File::create(folder.path().join("C")).unwrap();
        large.set_len(2 << 20).unwrap();
        let why = chain.secret("C").unwrap_err().why;
        assert!(why.ends_with("/C can not be read: it has 2 MiB, and at most 1 MiB are read"), "{why}");
    }
}
