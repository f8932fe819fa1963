//! Finding and reading the configuration file.

use std::{fs, io, path::Path};

use super::{Config, Environment};
use crate::document::{Document, Format, Report};

/// The file that is read when none is named.
pub const DEFAULT_FILE: &str = "aftercommit.toml";

/// A configuration, and what its reader noticed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// What is not wrong but probably not meant.
    pub warnings: Vec<String>,
}

/// Reads `file`, or without one [`DEFAULT_FILE`] in the working folder if it is there, and lays `environment` over it.
pub fn load(file: Option<&Path>, environment: &Environment) -> Result<Loaded, Report> {
    let path = file.unwrap_or(Path::new(DEFAULT_FILE));
    let origin = path.display().to_string();
    let mut document = match fs::read_to_string(path) {
        Ok(text) => Document::parse(origin, text, Format::Toml)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound && file.is_none() => Document::empty(origin),
        Err(error) => return Err(Report::whole(origin, format!("cannot read the configuration: {error}"))),
    };
    let strangers = environment.lay_over(&mut document);
    let config = Config::resolve(&document)?;
    let warnings = Environment::warnings(strangers, &config);
    Ok(Loaded { config, warnings })
}

#[cfg(test)]
mod tests {
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
        assert_eq!(load(Some(&path), &Environment::default()).unwrap().config.intake.batch_size, 7);
    }
}
