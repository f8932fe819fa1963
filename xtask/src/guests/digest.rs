//! Whether anything changed since the guests were built.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};

/// What guests are made of, and made by.
const INPUTS: [&str; 4] = ["plugins", "tests/guests", "wit", "xtask/src"];

/// A digest of all inputs, as text.
pub(crate) fn of_inputs(root: &Path, toolchain: &str) -> Result<String> {
    let mut files = Vec::new();
    for input in INPUTS {
        collect(&root.join(input), &mut files)?;
    }
    files.sort();
    let mut digest = Sha256::new();
    let mut add = |bytes: &[u8]| {
        digest.update(bytes.len().to_le_bytes());
        digest.update(bytes);
    };
    add(toolchain.as_bytes());
    for file in files {
        add(file.strip_prefix(root).unwrap_or(&file).as_os_str().as_encoded_bytes());
        add(&fs::read(&file).with_context(|| format!("{} can not be read", file.display()))?);
    }
    Ok(digest.finalize().iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    }))
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("{} can not be read", folder.display()))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() {
            // What is built is no input.
            if !matches!(&*name, "target" | "dist") {
                collect(&path, files)?;
            }
        } else if path
            .extension()
            .is_some_and(|end| ["rs", "toml", "wit", "wat", "lock"].iter().any(|input| end == *input))
        {
            files.push(path);
        }
    }
    Ok(())
}
