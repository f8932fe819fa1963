//! Where secrets come from.

use std::{
    fmt,
    path::PathBuf,
    sync::{Arc, OnceLock},
};

use zeroize::Zeroizing;

use super::redaction;

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
        self.0.spellings.get_or_init(|| redaction::spellings(self.expose()))
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

    fn place(&self, name: &str) -> String {
        format!("set the environment variable {name}")
    }
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
        match std::fs::metadata(&path) {
            Ok(about) if about.len() > MAX_SECRET_BYTES => {
                return Err(wrong("its file is larger than 1 MiB".to_owned()));
            }
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(wrong(error.to_string())),
        }
        let text = std::fs::read_to_string(&path)
            .map(Zeroizing::new)
            .map_err(|error| wrong(error.kind().to_string()))?;
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

    fn place(&self, name: &str) -> String {
        self.0.iter().map(|provider| provider.place(name)).collect::<Vec<_>>().join(", or ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    }
}
