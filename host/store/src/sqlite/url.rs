//! Which file a database URL names, and what can be said of that file before SQLite opens it.
//!
//! SQLite's own answer to most mistakes is "unable to open database file"; looking first gives the reason.

use std::{
    fs::File,
    io::{ErrorKind, Read as _},
    path::{Path, PathBuf},
};

use aftercommit_core::without_password;

use crate::{Result, StoreError};

/// The first bytes of every database file that is not empty.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// A database file that a URL named.
#[derive(Clone, Debug)]
pub(super) struct DatabaseFile {
    path: PathBuf,
}

/// Which file has a path: its device and its number there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct FileIdentity(u64, u64);

impl DatabaseFile {
    /// The file that has the path now.
    pub(super) fn identity(&self) -> Option<FileIdentity> {
        use std::os::unix::fs::MetadataExt as _;
        let metadata = std::fs::metadata(&self.path).ok()?;
        Some(FileIdentity(metadata.dev(), metadata.ino()))
    }

    /// Reads `sqlite:path` and `sqlite://path`. The path is taken as it is written, without escapes.
    pub(super) fn parse(url: &str) -> Result<Self> {
        let bad = |why: &str| StoreError::BadUrl { url: without_password(url), why: why.to_owned() };
        let rest = url.strip_prefix("sqlite:").ok_or_else(|| bad("write `sqlite:path/to/file.db`"))?;
        let path = rest.strip_prefix("//").unwrap_or(rest);
        if path.contains(":memory:") {
            return Err(bad(
                "a database in memory is seen by one process only; write `sqlite:path/to/file.db`",
            ));
        }
        if path.is_empty() || path.ends_with('/') {
            return Err(bad("it names no file; write `sqlite:path/to/file.db`"));
        }
        if path.contains('?') {
            return Err(bad("options after `?` are not supported; write `sqlite:path/to/file.db`"));
        }
        let path = std::path::absolute(path).map_err(|error| bad(&error.to_string()))?;
        Ok(Self { path })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// As it appears in messages.
    pub(super) fn name(&self) -> String {
        // Other programs take a key in the URL; whoever writes one here has it taken for a part of the name.
        without_password(&self.path.display().to_string())
    }

    /// An error that says why this file can not be opened.
    pub(super) fn unreachable(&self, why: impl Into<String>) -> StoreError {
        StoreError::Unreachable { database: self.name(), why: why.into() }
    }

    /// Fails, with the reason, for a file that can not be a database that this process can use.
    pub(super) fn inspect(&self, create: bool) -> Result<()> {
        match std::fs::metadata(&self.path) {
            Ok(metadata) if metadata.is_dir() => return Err(self.unreachable("it is a directory")),
            // To open a FIFO or a device may wait for ever.
            Ok(metadata) if !metadata.is_file() => return Err(self.unreachable("it is not a file")),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => return self.inspect_missing(create),
            Err(error) => return Err(self.unreachable(error.to_string())),
        }
        let mut start = [0; MAGIC.len()];
        let mut file = File::options().read(true).write(true).open(&self.path).map_err(|error| {
            self.unreachable(format!("it can not be opened for reading and writing: {error}"))
        })?;
        match file.read_exact(&mut start) {
            Ok(()) if start == *MAGIC => Ok(()),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof && self.is_empty() => Ok(()),
            Ok(()) => Err(self.unreachable("the file is not an SQLite database")),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                Err(self.unreachable("the file is not an SQLite database"))
            }
            Err(error) => Err(self.unreachable(error.to_string())),
        }
    }

    fn is_empty(&self) -> bool {
        std::fs::metadata(&self.path).is_ok_and(|metadata| metadata.len() == 0)
    }

    fn inspect_missing(&self, create: bool) -> Result<()> {
        let folder = self.path.parent().unwrap_or(Path::new("/"));
        if !folder.is_dir() {
            return Err(self.unreachable(format!("there is no folder {}", folder.display())));
        }
        if create { Ok(()) } else { Err(StoreError::Missing { database: self.name() }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_name_the_same_file() {
        let path = |url| DatabaseFile::parse(url).unwrap().path().to_owned();
        assert_eq!(path("sqlite:/srv/shop.db"), Path::new("/srv/shop.db"));
        assert_eq!(path("sqlite:///srv/shop.db"), Path::new("/srv/shop.db"));
        assert_eq!(path("sqlite:shop.db"), path("sqlite://shop.db"));
    }

    #[test]
    fn what_is_no_file_is_refused_with_the_reason() {
        for (url, reason) in [
            ("sqlite::memory:", "in memory"),
            ("sqlite://:memory:", "in memory"),
            ("sqlite:", "names no file"),
            ("sqlite:a.db?mode=rwc", "options after `?`"),
            ("shop.db", "write `sqlite:"),
        ] {
            let message = DatabaseFile::parse(url).unwrap_err().to_string();
            assert!(message.contains(reason), "{url}: {message}");
        }
        let message = DatabaseFile::parse("sqlite:a.db?cipher_key=s3cret").unwrap_err().to_string();
        assert!(message.contains("cipher_key=***") && !message.contains("s3cret"), "{message}");
    }
}
