//! A clock that a test sets, for programs that it starts.
//!
//! A small library in C is compiled and preloaded into them (`set_clock.c`). The compiler is there: the build needs it for
//! SQLite.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use tempfile::TempDir;

const LIBRARY: &str = include_str!("set_clock.c");

/// The clock of some programs: the machine's, and as far ahead as it was set last.
pub struct SetClock {
    folder: TempDir,
}

impl SetClock {
    /// One that shows the machine's time. Panics with the compiler's messages where it does not compile.
    #[must_use]
    pub fn new() -> Self {
        let folder = TempDir::with_prefix("aftercommit-clock-").expect("a temporary folder");
        // A server may run as another user.
        let readable = fs::Permissions::from_mode(0o755);
        fs::set_permissions(folder.path(), readable).expect("the folder is ours");
        let clock = Self { folder };
        clock.set(0);
        let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
        let mut compile = Command::new(&compiler);
        compile.args(["-shared", "-fPIC", "-O1", "-x", "c", "-", "-o"]).arg(clock.library());
        compile.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let shown = compiler.display();
        let mut compiling = compile.spawn().unwrap_or_else(|error| panic!("{shown}: {error}"));
        let mut source = compiling.stdin.take().expect("piped");
        source.write_all(LIBRARY.as_bytes()).expect("the compiler reads it");
        drop(source);
        let done = compiling.wait_with_output().expect("it was started here");
        assert!(done.status.success(), "{shown}: {}", String::from_utf8_lossy(&done.stderr));
        clock
    }

    /// Sets it so many seconds ahead of the machine's clock, or back behind it.
    pub fn set(&self, ahead_secs: i64) {
        // Written over, not replaced: programs have mapped it.
        let mut file = fs::OpenOptions::new().create(true).truncate(false).write(true).open(self.file());
        let written = file.as_mut().map(|file| file.write_all(&ahead_secs.to_ne_bytes()));
        assert!(matches!(written, Ok(Ok(()))), "{written:?}");
    }

    /// What the environment of a program needs that goes by it.
    #[must_use]
    pub fn environment(&self) -> [(&'static str, String); 2] {
        let shown = |path: PathBuf| path.display().to_string();
        [("LD_PRELOAD", shown(self.library())), ("AFTERCOMMIT_TEST_CLOCK", shown(self.file()))]
    }

    fn library(&self) -> PathBuf {
        self.path().join("set_clock.so")
    }

    fn file(&self) -> PathBuf {
        self.path().join("ahead")
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }
}

impl Default for SetClock {
    fn default() -> Self {
        Self::new()
    }
}
