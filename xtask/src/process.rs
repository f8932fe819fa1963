//! Running programs, with errors that say what was run and what it said.

use std::{
    ffi::OsStr,
    io::Read,
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};

/// How much of a failed program's output an error shows.
const SHOWN_LINES: usize = 20;

/// Runs it with its output shown.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("{} can not be started", name(command)))?;
    if !status.success() {
        bail!("`{}` failed with {status}", line(command));
    }
    Ok(())
}

/// Runs it in silence, for its standard output.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("{} can not be started", name(command)))?;
    if !output.status.success() {
        let said = last_lines(&String::from_utf8_lossy(&output.stderr));
        bail!("`{}` failed with {}\n{said}", line(command), output.status);
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs it in silence, and ends it when it takes longer than `limit`.
pub(crate) fn run_within(command: &mut Command, limit: Duration) -> Result<()> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("{} can not be started", name(command)))?;
    let (sender, receiver) = mpsc::channel();
    if let Some(mut stderr) = child.stderr.take() {
        // The end of its output is the sign that the program has ended.
        thread::spawn(move || {
            let mut said = Vec::new();
            let read = stderr.read_to_end(&mut said);
            let _ = sender.send(read.map(|_| said));
        });
    }
    let Ok(said) = receiver.recv_timeout(limit) else {
        child
            .kill()
            .and_then(|()| child.wait())
            .with_context(|| format!("{} can not be ended", name(command)))?;
        bail!("`{}` took longer than {} s", line(command), limit.as_secs());
    };
    let status = child.wait()?;
    if !status.success() {
        let said = last_lines(&String::from_utf8_lossy(&said.unwrap_or_default()));
        bail!("`{}` failed with {status}\n{said}", line(command));
    }
    Ok(())
}

fn name(command: &Command) -> String {
    command.get_program().to_string_lossy().into_owned()
}

fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}

fn last_lines(text: &str) -> String {
    let lines: Vec<_> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n")
}
