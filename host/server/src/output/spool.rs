//! What is printed when a list has ended. More than a little of it waits in a file, so that a list may be longer than memory.

use std::io::{self, BufRead as _, BufReader, Seek as _, Write as _};

use tempfile::SpooledTempFile;

/// So much stays in memory.
const IN_MEMORY_BYTES: usize = 1 << 20;

/// Lines, in the order in which they were added.
pub(super) struct Spool(SpooledTempFile);

impl Spool {
    pub(super) fn new() -> Self {
        Self(SpooledTempFile::new(IN_MEMORY_BYTES))
    }

    /// Adds a text without line breaks.
    pub(super) fn add(&mut self, line: &str) -> io::Result<()> {
        self.0.write_all(line.as_bytes())?;
        self.0.write_all(b"\n")
    }

    /// The lines that were added.
    pub(super) fn lines(mut self) -> io::Result<impl Iterator<Item = io::Result<String>>> {
        self.0.rewind()?;
        Ok(BufReader::new(self.0).lines())
    }
}
