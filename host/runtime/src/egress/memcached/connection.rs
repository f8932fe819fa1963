//! One connection to a Memcached server, in its text protocol
//! (<https://github.com/memcached/memcached/blob/master/doc/protocol.txt>): one command, one line back.

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
};

use super::{MemcachedFault, settings::MemcachedSettings};
use crate::egress::dial::is_quiet;

/// A connection between two commands.
#[derive(Debug)]
pub(super) struct Connection {
    stream: BufReader<TcpStream>,
}

/// No line that answers a command is longer.
const LINE_BYTES: u64 = 2048;

impl Connection {
    pub(super) async fn open(settings: &MemcachedSettings) -> Result<Self, MemcachedFault> {
        let stream =
            settings.endpoint.connect().await.map_err(|error| MemcachedFault::Connect(error.to_string()))?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// Sends a command and reads the line that answers it; nothing if the server closed the connection before. After an
    /// error the connection must not be used again.
    pub(super) async fn execute(&mut self, wire: &[u8]) -> Result<Option<String>, MemcachedFault> {
        if self.stream.write_all(wire).await.is_err() {
            return Ok(None);
        }
        let mut line = Vec::new();
        let read = (&mut self.stream).take(LINE_BYTES).read_until(b'\n', &mut line).await;
        match read {
            Ok(0) => return Ok(None),
            Err(_) if line.is_empty() => return Ok(None),
            Err(error) => return Err(MemcachedFault::Connect(error.kind().to_string())),
            Ok(_) => {}
        }
        match line.strip_suffix(b"\r\n") {
            Some(line) if self.stream.buffer().is_empty() => {
                Ok(Some(String::from_utf8_lossy(line).into_owned()))
            }
            Some(_) => {
                Err(MemcachedFault::Protocol("there is more than one answer to one command".to_owned()))
            }
            None => Err(MemcachedFault::Protocol("an answer is not a line".to_owned())),
        }
    }

    /// Whether nothing has arrived since the last answer: neither the end of the connection nor a stray byte.
    pub(super) fn is_quiet(&mut self) -> bool {
        is_quiet(&mut self.stream)
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn answers_without_end_are_no_answer() {
        for (part, expected) in [("x", "is not a line"), ("DELETED\r\n", "more than one answer")] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (mut far, _) = listener.accept().await.unwrap();
            let answers = part.repeat(1_000_000);
            let sending = tokio::spawn(async move { far.write_all(answers.as_bytes()).await });
            let mut connection = Connection { stream: BufReader::new(near) };
            let told = connection.execute(b"delete k\r\n").await.unwrap_err();
            assert!(matches!(&told, MemcachedFault::Protocol(why) if why.contains(expected)), "{told:?}");
            sending.abort();
        }
    }
}
