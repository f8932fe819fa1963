//! Finding and reading the configuration file.

use std::{io, path::Path};

use aftercommit_runtime::files::read_text;

use super::{Config, Environment};
use crate::document::{Content, Document, Format, Report};

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
    /// Where the database's URL was looked for in vain; none if something names a database.
    pub no_database_in: Option<String>,
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
    let is_named = matches!(document.root.at_pointer("/database/url").content, Content::Text(_));
    let no_database_in = (!is_named).then(|| {
        let file = path.display();
        let lacks = if document.text.is_empty() { "is not there" } else { "has no `url` in [database]" };
        format!("DATABASE_URL is not set and {file} {lacks}")
    });
    Ok(Loaded { config, warnings, no_database_in })
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
        assert!(loaded.no_database_in.unwrap().ends_with("my.toml has no `url` in [database]"));
        let environment = [("DATABASE_URL", "sqlite:a.db")].into_iter().collect();
        assert_eq!(load(Some(&path), &environment).unwrap().no_database_in, None);
    }
}
