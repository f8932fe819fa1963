//! Compiling in a process of its own. A component that is small may take minutes and gigabytes to compile, and a thread that
//! compiles can not be ended; a process can, and it has bounds of time and memory, and waits for whoever delivers.
//!
//! The process is the host's own program with [`MARK`] as its first argument. It reads the component from its standard
//! input and writes what it made of it into the private folder of compiled components, where the host finds it.

use std::{
    ffi::OsString,
    io::{self, Read as _, Write as _},
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::{ExitCode, ExitStatus, Stdio},
};

use aftercommit_core::plain::one_line;
use rustix::process::{Resource, Rlimit, Signal, getrlimit, nice, setrlimit};
use tokio::{io::AsyncWriteExt as _, process::Command};

use crate::{
    engine::{self, cache::CompileCache},
    loading::{LoadError, digest},
};

/// The program that compiles, and the bounds of each component.
#[derive(Clone, Debug)]
pub struct Compiler {
    /// A program whose `main` begins with [`compile_if_asked`].
    pub program: PathBuf,
    /// Processor time, all threads together.
    pub cpu_secs: u64,
    /// Memory that it may write to. Not every system bounds it; Linux does.
    pub memory_mb: u64,
}

/// The first argument of a process that compiles.
const MARK: &str = "--compile-component";

/// Exit code for a component that is wrong: `EX_DATAERR` of sysexits.h.
const REFUSED: u8 = 65;

/// How much less often than others it has the processor (nice(2)).
const NICENESS: i32 = 10;

/// What is read of its messages.
const MAX_TOLD_BYTES: usize = 2000;

impl Compiler {
    /// Compiles a component into the folder. It is over when this future is dropped, too.
    pub(crate) async fn run(&self, folder: &Path, digest_hex: &str, bytes: &[u8]) -> Result<(), LoadError> {
        let failed = |error: io::Error| LoadError::Damaged { why: format!("no compiler runs: {error}") };
        let mut child = Command::new(&self.program)
            .arg(MARK)
            .arg(folder)
            .args([digest_hex, &self.cpu_secs.to_string(), &self.memory_mb.to_string()])
            // It needs none of the secrets that are there.
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let input = child.stdin.take();
        let hand_over = async {
            if let Some(mut input) = input {
                // One that has ended before tells why by its end.
                let _ = input.write_all(bytes).await;
            }
        };
        let (output, ()) = tokio::join!(child.wait_with_output(), hand_over);
        let output = output.map_err(failed)?;
        self.judge(output.status, &output.stderr)
    }

    fn judge(&self, status: ExitStatus, stderr: &[u8]) -> Result<(), LoadError> {
        if status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&stderr[..stderr.len().min(MAX_TOLD_BYTES)]);
        let said = one_line(said.trim()).into_owned();
        let signal = status.signal();
        let signalled = |wanted: Signal| signal == Some(wanted.as_raw());
        let Self { cpu_secs, memory_mb, .. } = self;
        // The last is said when there is no room for another thread's stack.
        let lacking = ["memory allocation of", "Cannot allocate memory", "Resource temporarily unavailable"];
        if lacking.iter().any(|words| said.contains(words)) {
            let bound = format!("{memory_mb} MiB of memory (`compile_memory_mb` in [runtime])");
            return Err(LoadError::TooCostly { bound });
        }
        if signalled(Signal::XCPU) || signalled(Signal::KILL) {
            let bound = format!("{cpu_secs} s of processor time (`compile_cpu_secs` in [runtime])");
            return Err(LoadError::TooCostly { bound });
        }
        let why = if status.code() == Some(REFUSED.into()) {
            said
        } else {
            format!("the compiler gave up ({status}): {said}")
        };
        Err(LoadError::Damaged { why })
    }
}

/// Compiles a component if this process was started for that, and returns what to exit with. The first thing that `main`
/// does in a program that is a [`Compiler`].
#[must_use]
pub fn compile_if_asked() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next()? != MARK {
        return None;
    }
    Some(match compile(&arguments.collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            let _ = writeln!(io::stderr(), "{why}");
            ExitCode::from(REFUSED)
        }
    })
}

fn compile(arguments: &[OsString]) -> Result<(), String> {
    let [folder, digest_hex, cpu_secs, memory_mb] = arguments else {
        return Err(format!("{MARK} is for this program itself"));
    };
    let number = |text: &OsString| text.to_str().and_then(|text| text.parse::<u64>().ok());
    let (Some(digest_hex), Some(cpu_secs), Some(memory_mb)) =
        (digest_hex.to_str(), number(cpu_secs), number(memory_mb))
    else {
        return Err(format!("{MARK} is for this program itself"));
    };
    bound(cpu_secs, memory_mb).map_err(|error| format!("its bounds can not be set: {error}"))?;
    let mut bytes = Vec::new();
    io::stdin().lock().read_to_end(&mut bytes).map_err(|error| format!("no component came: {error}"))?;
    // Who hands it over may have ended in the middle.
    if digest(&bytes).strip_prefix("sha256:") != Some(digest_hex) {
        return Err("the component did not come whole".to_owned());
    }
    let engine = engine::compiling().map_err(|error| error.to_string())?;
    let cache = CompileCache::open(Path::new(folder), &engine)
        .ok_or("the folder of compiled plugins is not this user's alone")?;
    let code = engine.precompile_component(&bytes).map_err(|error| error.root_cause().to_string())?;
    cache.keep(digest_hex, &code).map_err(|error| format!("the compiled plugin can not be kept: {error}"))
}

/// Bounds this process, and lets others go first.
fn bound(cpu_secs: u64, memory_mb: u64) -> io::Result<()> {
    // It only ever asks for less than it may have already.
    let limit = |resource: Resource, soft: u64, hard: u64| {
        let most = getrlimit(resource).maximum.unwrap_or(u64::MAX);
        let (current, maximum) = (Some(soft.min(most)), Some(hard.min(most)));
        setrlimit(resource, Rlimit { current, maximum })
    };
    // The first ends it by a signal that says why.
    limit(Resource::Cpu, cpu_secs, cpu_secs.saturating_add(1))?;
    limit(Resource::Core, 0, 0)?;
    let memory = memory_mb.saturating_mul(1 << 20);
    let bounded = limit(Resource::Data, memory, memory);
    if cfg!(target_os = "linux") {
        bounded?;
    }
    // A host that is killed leaves nobody behind who compiles for it.
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    // Who may not have less of the processor has as much as others.
    let _ = nice(NICENESS);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_end_is_told_in_its_words() {
        let compiler = Compiler { program: PathBuf::new(), cpu_secs: 7, memory_mb: 9 };
        let exit = |code: i32| ExitStatus::from_raw(code << 8);
        let killed = |signal: Signal| ExitStatus::from_raw(signal.as_raw());
        for (status, said, told) in [
            (
                exit(65),
                "unexpected end\n",
                "the component is damaged or uses features that this host does not have: unexpected end",
            ),
            (killed(Signal::XCPU), "", "compiling the component takes more than 7 s of processor time"),
            (killed(Signal::KILL), "", "compiling the component takes more than 7 s of processor time"),
            (
                killed(Signal::ABORT),
                "memory allocation of 5 bytes failed",
                "compiling the component takes more than 9 MiB of memory",
            ),
            (
                exit(65),
                "mmap: Cannot allocate memory (os error 12)",
                "compiling the component takes more than 9 MiB",
            ),
            (
                exit(101),
                "a\u{1b}[0m panic\nat x",
                "the compiler gave up (exit status: 101): a\u{fffd}[0m panic\\nat x",
            ),
        ] {
            let error = compiler.judge(status, said.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
        }
        assert!(compiler.judge(exit(0), b"").is_ok());
    }
}
