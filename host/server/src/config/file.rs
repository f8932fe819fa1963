//! Finding and reading the configuration file.

use std::{io, path::Path};

use aftercommit_runtime::files::read_text;

use super::{Config, Environment};
use crate::document::{Content, Document, Format, Place, Report};

/// The file that is read when none is named.
pub const DEFAULT_FILE: &str = "aftercommit.toml";

/// The commented reference has a hundredth of that.
const MAX_BYTES: u64 = 4 << 20;

/// A configuration, and what its reader noticed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// What is not wrong but probably not meant.
    pub warnings: Vec<String>,
    /// What names the database.
    pub database_named_by: NamedBy,
}

/// What names a database.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum NamedBy {
    /// A variable of the environment, or a key of a file.
    Written(String),
    /// Nothing: the default was taken. Where the URL was looked for.
    Default(String),
}

/// Reads `file`, or without one [`DEFAULT_FILE`] in the working folder if it is there, and lays `environment` over it.
pub fn load(file: Option<&Path>, environment: &Environment) -> Result<Loaded, Report> {
    let path = file.unwrap_or(Path::new(DEFAULT_FILE));
    let origin = path.display().to_string();
    let mut document = match read_text(path, MAX_BYTES) {
        Ok(text) => Document::parse(origin, text, Format::Toml)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound && file.is_none() => Document::empty(origin),
        Err(error) => return Err(Report::whole(origin, format!("cannot read the configuration: {error}"))),
    };
    let strangers = environment.lay_over(&mut document);
    let config = Config::resolve(&document)?;
    let warnings = Environment::warnings(strangers, &config);
    let database_named_by = named_by(&document, path);
    Ok(Loaded { config, warnings, database_named_by })
}

fn named_by(document: &Document, path: &Path) -> NamedBy {
    let (url, file) = (document.root.at_pointer("/database/url"), path.display());
    match (&url.content, &url.place) {
        (Content::Text(_), Place::Environment(variable)) => NamedBy::Written(variable.clone()),
        (Content::Text(_), _) => NamedBy::Written(format!("`url` in [database] of {file}")),
        _ => {
            let lacks = if document.text.is_empty() { "is not there" } else { "has no `url` in [database]" };
            NamedBy::Default(format!("DATABASE_URL is not set and {file} {lacks}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_named_file_must_be_there() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("none.toml");
        let report = load(Some(&missing), &Environment::default()).unwrap_err();
        assert!(report.to_string().contains("cannot read the configuration"), "{report}");
    }

    #[test]
    fn a_file_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("my.toml");
        fs::write(&path, "[intake]\nbatch_size = 7\n").unwrap();
        let loaded = load(Some(&path), &Environment::default()).unwrap();
        assert_eq!(loaded.config.intake.batch_size, 7);
        let NamedBy::Default(places) = loaded.database_named_by else { panic!("nothing names a database") };
        assert!(places.ends_with("my.toml has no `url` in [database]"), "{places}");
        let named = |variables: &[(&str, &str)]| {
            load(Some(&path), &variables.iter().copied().collect()).unwrap().database_named_by
        };
        for variable in ["DATABASE_URL", "AFTERCOMMIT_DATABASE_URL"] {
            assert_eq!(named(&[(variable, "sqlite:a.db")]), NamedBy::Written(variable.to_owned()));
        }
        fs::write(&path, "[database]\nurl = \"sqlite:a.db\"\n").unwrap();
        let NamedBy::Written(by) = named(&[]) else { panic!("the file names a database") };
        assert!(by.starts_with("`url` in [database] of ") && by.ends_with("my.toml"), "{by}");
    }
}
