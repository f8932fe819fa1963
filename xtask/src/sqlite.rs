//! The oldest SQLite that applications may bring. Triggers run in their library, not in the one of this program.

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context as _, Result};

use crate::{process, repository};

/// Names the program that stands for an application: see `host/store/tests/sqlite/applications.rs`.
pub(crate) const PROGRAM: &str = "AFTERCOMMIT_TEST_SQLITE";

/// The package that carries the sources of SQLite 3.38.2.
const PACKAGE: &str = "[package]
name = \"sqlite-3-38\"
version = \"0.0.0\"
edition = \"2024\"
[lib]
path = \"lib.rs\"
[dependencies]
libsqlite3-sys = { version = \"=0.24.2\", default-features = false }
[workspace]
";

/// Compiles the program, if it is not there; returns its path. Takes some 15 s of a processor.
pub(crate) fn oldest() -> Result<PathBuf> {
    let folder = repository::root().join("target/tools/sqlite-3.38");
    let program = folder.join("sqlite3");
    if program.is_file() {
        return Ok(program);
    }
    eprintln!("compiling SQLite 3.38");
    fs::create_dir_all(&folder).with_context(|| format!("{} can not be made", folder.display()))?;
    for (name, text) in [("Cargo.toml", PACKAGE), ("lib.rs", ""), ("main.c", include_str!("sqlite.c"))] {
        let path = folder.join(name);
        fs::write(&path, text).with_context(|| format!("{} can not be written", path.display()))?;
    }
    process::output(Command::new("cargo").args(["vendor", "--quiet", "vendor"]).current_dir(&folder))?;
    let mut compiler = Command::new("cc");
    compiler.args(["-O1", "-o", "unfinished", "-I", "vendor/libsqlite3-sys/sqlite3", "main.c"]);
    compiler.args(["vendor/libsqlite3-sys/sqlite3/sqlite3.c", "-lm", "-ldl", "-lpthread"]);
    process::output(compiler.current_dir(&folder))?;
    // Last: an interrupted compilation is none.
    fs::rename(folder.join("unfinished"), &program)
        .with_context(|| format!("{} can not be made", program.display()))?;
    Ok(program)
}
