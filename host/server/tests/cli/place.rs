//! A folder of its own to run the program in, and what the program did there.

use std::{
    fmt, fs,
    io::Write as _,
    path::PathBuf,
    process::{Command, Stdio},
};

use uuid::Uuid;

/// A working folder.
pub(crate) struct Place {
    folder: tempfile::TempDir,
}

/// What a run of the program did.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) line: String,
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    /// One with a migrated database.
    pub(crate) fn migrated() -> Self {
        let place = Self::new();
        assert_eq!(place.run(&["migrate"]).code, Some(0));
        place
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> &Self {
        fs::write(self.path(name), content).unwrap();
        self
    }

    /// The program, in this folder, with nothing of ours in its environment.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_aftercommit"));
        command.args(arguments).current_dir(self.folder.path());
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("AFTERCOMMIT_")) {
            command.env_remove(name);
        }
        // Compiled plugins are shared by all tests.
        let cache = concat!(env!("CARGO_TARGET_TMPDIR"), "/cache");
        command.env_remove("DATABASE_URL").env_remove("RUST_LOG").env("XDG_CACHE_HOME", cache);
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Run {
        self.finish(self.command(arguments), arguments, "")
    }

    pub(crate) fn run_with_input(&self, arguments: &[&str], input: &str) -> Run {
        self.finish(self.command(arguments), arguments, input)
    }

    pub(crate) fn finish(&self, mut command: Command, arguments: &[&str], input: &str) -> Run {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        // It may end without reading; then the pipe is closed.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        let text = |bytes: &[u8]| self.redacted(std::str::from_utf8(bytes).unwrap());
        Run {
            line: self.redacted(&arguments.join(" ")),
            code: output.status.code(),
            stdout: text(&output.stdout),
            stderr: without_compile_notes(&text(&output.stderr)),
        }
    }

    fn redacted(&self, text: &str) -> String {
        let text = text.replace(&self.folder.path().display().to_string(), "[folder]");
        let guests = guest("").display().to_string();
        redact_ids(&text.replace(&guests, "[guests]/"))
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "$ aftercommit {}\n{}{}", self.line, self.stdout, self.stderr)?;
        match self.code {
            Some(code) => write!(f, "[exit {code}]"),
            None => f.write_str("[killed]"),
        }
    }
}

/// A component that `cargo xtask` built for tests.
pub(crate) fn guest(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../plugins/dist/test/")).join(name)
}

fn redact_ids(text: &str) -> String {
    const UUID_BYTES: usize = 36;
    let mut redacted = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if rest.get(..UUID_BYTES).is_some_and(|word| Uuid::parse_str(word).is_ok()) {
            redacted.push_str("[id]");
            rest = &rest[UUID_BYTES..];
        } else {
            redacted.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    redacted
}

/// Whether a plugin took long to compile depends on the machine and on what ran before.
fn without_compile_notes(stderr: &str) -> String {
    let is_note = |line: &str| {
        line.contains("compiling the plugin, once for this machine") || line.contains("compiled the plugin")
    };
    stderr.split_inclusive('\n').filter(|line| !is_note(line)).collect()
}
