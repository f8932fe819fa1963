//! The README's five minutes, as a reader would type them.

use std::{
    fs,
    io::Write as _,
    process::{Command, Stdio},
};

use crate::shop::program;

const README: &str = include_str!("../../README.md");

/// The fenced blocks of one language, in order, of the section "Your first observer".
fn blocks(language: &str) -> Vec<String> {
    let mut sections = README.split("\n## ");
    let section = sections.find(|section| section.starts_with("Your first observer")).expect("the section");
    let open = format!("```{language}\n");
    section.split(&open).skip(1).filter_map(|rest| Some(rest.split("```").next()?.to_owned())).collect()
}

#[test]
fn the_first_observer_works_as_written() {
    let folder = tempfile::tempdir().unwrap();
    let shell = blocks("sh");
    let observers = &blocks("toml")[0];
    assert!(shell.len() >= 4, "the section has lost its commands");

    let wait_ready = "for i in $(seq 600); do grep -q 'aftercommit ready' out && break; sleep 0.05; done\n";
    let wait_done =
        "for i in $(seq 600); do grep -q 'order 1 is on its way, total 150' log && break; sleep 0.05; done\n";
    let mut script = String::from("set -e\ntrap 'kill $! 2>/dev/null || true' EXIT\n");
    for block in &shell {
        if block.contains("observers validate") {
            fs::write(folder.path().join("written.toml"), observers).unwrap();
            script.push_str("cp written.toml observers.toml\n");
        }
        script.push_str(&block.replace("aftercommit run &", "aftercommit run >out 2>log &"));
        if block.contains("aftercommit run &") {
            script.push_str(wait_ready);
        }
        if block.contains("UPDATE orders") {
            script.push_str(wait_done);
        }
    }
    script.push_str("kill -TERM $!\nwait $!\n");

    let path =
        format!("{}:{}", program().parent().unwrap().display(), std::env::var("PATH").unwrap_or_default());
    let mut child = Command::new("sh")
        .current_dir(folder.path())
        .env_clear()
        .env("PATH", path)
        .env("HOME", folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let log = fs::read_to_string(folder.path().join("log")).unwrap_or_default();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}\n{stdout}\n{stderr}\n{log}", output.status);
    assert!(log.contains("order 1 is on its way, total 150"), "{log}");
    assert!(!log.contains("order 2 is on its way"), "{log}");
    assert!(stdout.contains("order-shipped"), "{stdout}");
}
