//! A receiver that costs as little as a receiver can: keep-alive HTTP/1.1 on bare sockets, one thread, a process of
//! its own. It answers 200 to everything and remembers which entity it was told of, and when.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::SocketAddr,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{Arc, Mutex},
};

use aftercommit_core::{Clock as _, SystemClock, Timestamp};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// The receiver's process; it ends when dropped.
pub(crate) struct Receiver {
    address: SocketAddr,
    process: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Receiver {
    pub(crate) fn start() -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .arg(crate::RECEIVE)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let commands = process.stdin.take().unwrap();
        let mut answers = BufReader::new(process.stdout.take().unwrap());
        let mut address = String::new();
        answers.read_line(&mut address).unwrap();
        Self { address: address.trim().parse().unwrap(), process, commands, answers }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// What it received since the last call: the entity's id as a number, and when.
    pub(crate) fn report(&mut self) -> Vec<(u64, Timestamp)> {
        writeln!(self.commands, "report").unwrap();
        let mut received = Vec::new();
        loop {
            let mut line = String::new();
            self.answers.read_line(&mut line).unwrap();
            let Some((id, at)) = line.trim().split_once(' ') else { return received };
            received.push((id.parse().unwrap(), Timestamp::from_micros(at.parse().unwrap())));
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to end.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

type Received = Arc<Mutex<Vec<(u64, Timestamp)>>>;

/// The receiver's own process, until its standard input ends.
pub(crate) fn serve() {
    let received = Received::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    println!("{}", listener.local_addr().unwrap());
    let reported = Arc::clone(&received);
    std::thread::spawn(move || {
        for _ in std::io::stdin().lines() {
            let all = std::mem::take(&mut *reported.lock().unwrap());
            let mut output = std::io::stdout().lock();
            for (id, at) in all {
                writeln!(output, "{id} {}", at.as_micros()).unwrap();
            }
            writeln!(output, "end").unwrap();
            output.flush().unwrap();
        }
        std::process::exit(0);
    });
    runtime.block_on(async {
        while let Ok((stream, _)) = listener.accept().await {
            stream.set_nodelay(true).unwrap();
            tokio::spawn(answer(stream, Arc::clone(&received)));
        }
    });
}

async fn answer(mut stream: TcpStream, received: Received) {
    let mut buffer = Vec::with_capacity(4096);
    loop {
        while let Some(length) = message(&buffer) {
            let id = entity_id(&buffer[..length]);
            buffer.drain(..length);
            received.lock().unwrap().push((id, SystemClock.now()));
            if stream.write_all(ANSWER).await.is_err() {
                return;
            }
        }
        if !stream.read_buf(&mut buffer).await.is_ok_and(|count| count > 0) {
            return;
        }
    }
}

/// The length of the request that the buffer begins with, once it is complete.
fn message(buffer: &[u8]) -> Option<usize> {
    let head = find(buffer, b"\r\n\r\n")? + 4;
    let field = find(&buffer[..head], b"content-length: ").map_or(0, |at| number(&buffer[at + 16..head]));
    let length = head + usize::try_from(field).ok()?;
    (buffer.len() >= length).then_some(length)
}

fn entity_id(request: &[u8]) -> u64 {
    const FIELD: &[u8] = br#""entity_id":""#;
    find(request, FIELD).map_or(0, |at| number(&request[at + FIELD.len()..]))
}

fn number(text: &[u8]) -> u64 {
    text.iter()
        .take_while(|digit| digit.is_ascii_digit())
        .fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'))
}

fn find(text: &[u8], sought: &[u8]) -> Option<usize> {
    text.windows(sought.len()).position(|window| window == sought)
}
