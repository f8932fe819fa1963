//! A server process that ends with the process that started it, however that ends.

use std::{
    io::{BufRead as _, BufReader, Read, Write as _},
    process::{Child, ChildStdin, Command, Stdio},
};

/// A shell that runs the server until its standard input closes, then kills the server with the processes of its group, which are its own, and
/// waits until it is gone.
const GUARD: &str = r#"
trap '' INT TERM HUP
setsid "$@" </dev/null &
read -r _
kill -KILL -$! 2>/dev/null || kill -KILL $! 2>/dev/null
wait
"#;

/// A server under a guard; killed when dropped.
pub(crate) struct Guarded {
    guard: Child,
    orders: Option<ChildStdin>,
}

impl Guarded {
    /// Starts a server. Returns once a line of its output holds `ready`, with that line; nothing if it ended before.
    pub(crate) fn start(server: &Command, ready: &str) -> Option<(Self, String)> {
        let mut guard = Command::new("sh");
        guard.args(["-c", GUARD, "sh"]).arg(server.get_program()).args(server.get_args());
        // What it says after that is read and dropped, or it would wait for a reader.
        let mut guard = guard
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("there is a shell");
        let orders = guard.stdin.take();
        let (tell, told) = std::sync::mpsc::channel();
        for output in [boxed(guard.stdout.take()), boxed(guard.stderr.take())] {
            let (tell, ready) = (tell.clone(), ready.to_owned());
            std::thread::spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    if line.contains(&ready) {
                        // Nobody listens after the first one.
                        let _ = tell.send(line);
                    }
                }
            });
        }
        drop(tell);
        // The channel closes when the server has closed its output, which it does when it ends; its guard is then ended.
        let server = Self { guard, orders };
        told.recv().ok().map(|line| (server, line))
    }
}

fn boxed(output: Option<impl Read + Send + 'static>) -> Box<dyn Read + Send> {
    Box::new(output.expect("it is piped"))
}

impl Drop for Guarded {
    fn drop(&mut self) {
        if let Some(mut orders) = self.orders.take() {
            let _ = orders.write_all(b"end\n");
        }
        let _ = self.guard.wait();
    }
}

/// A program in the folders of `PATH`, or what to do about it.
pub(crate) fn program(name: &str) -> Command {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|folder| folder.join(name).is_file());
    assert!(found, "{name} is missing: `cargo xtask test` installs what the tests start");
    Command::new(name)
}

/// A port that is free now.
pub(crate) fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("there is a free port");
    listener.local_addr().expect("it is bound").port()
}
