//! RESP2, the protocol of Redis (<https://redis.io/docs/latest/develop/reference/protocol-spec/>): a command out, one
//! reply in. A reply is a flat list, as guests receive it, so that no depth of nesting costs stack; and it is refused as
//! soon as its announced size is over the limit. (`redis` 1.8 does not bound the size of a reply, `redis-protocol` 6.0 neither
//! size nor depth.)

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// A part of a reply. `Array(n)` is followed by its n elements.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Reply {
    Nil,
    Status(String),
    Error(String),
    Integer(i64),
    Data(Bytes),
    Array(u32),
}

/// Why there is no reply.
#[derive(PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum ReplyError {
    /// The server closed the connection before the first byte of the reply.
    #[error("the connection was closed")]
    Closed,
    #[error("the reply is larger than the limit")]
    TooLarge,
    #[error("the connection broke: {0}")]
    Broken(String),
    #[error("the server does not speak RESP2: {0}")]
    NotResp(String),
}

/// A part of a reply takes at least so much memory, however short it is on the wire.
const NODE_BYTES: u64 = 48;

/// Room made for each read.
const READ_BYTES: usize = 8 << 10;

/// A command as the server reads it: an array of its words.
pub(super) fn command<'w>(words: impl ExactSizeIterator<Item = &'w [u8]>) -> Vec<u8> {
    let mut wire = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        wire.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        wire.extend_from_slice(word);
        wire.extend_from_slice(b"\r\n");
    }
    wire
}

/// Reads one whole reply of at most `limit` bytes.
pub(super) async fn reply(
    stream: &mut (impl AsyncRead + Unpin),
    buffer: &mut BytesMut,
    limit: u64,
) -> Result<Vec<Reply>, ReplyError> {
    let mut nodes = Vec::new();
    // One part fits into any limit.
    let (mut missing, mut room) = (1_u64, limit.saturating_add(NODE_BYTES));
    // Bytes of the buffer in which a line is known not to end, so that a long line that comes in many pieces is not searched from its
    // beginning with each.
    let mut searched = 0;
    while missing > 0 {
        // Each missing part takes its share, so that an array is refused before it is received.
        if missing.saturating_mul(NODE_BYTES) > room {
            return Err(ReplyError::TooLarge);
        }
        let Some((node, size)) = node(buffer, room.saturating_sub(NODE_BYTES), &mut searched)? else {
            receive(stream, buffer, nodes.is_empty()).await?;
            continue;
        };
        room = room.saturating_sub(size.max(NODE_BYTES));
        missing -= 1;
        if let Reply::Array(length) = node {
            missing += u64::from(length);
        }
        nodes.push(node);
    }
    if buffer.is_empty() {
        Ok(nodes)
    } else {
        // Nothing was asked for that this could be the answer to.
        Err(ReplyError::NotResp("there is more than one reply to one command".to_owned()))
    }
}

/// Waits for more. `first` is whether no part of the reply was read before.
async fn receive(
    stream: &mut (impl AsyncRead + Unpin),
    buffer: &mut BytesMut,
    first: bool,
) -> Result<(), ReplyError> {
    let first = first && buffer.is_empty();
    buffer.reserve(READ_BYTES);
    match stream.read_buf(buffer).await {
        Ok(0) | Err(_) if first => Err(ReplyError::Closed),
        Ok(0) => Err(ReplyError::Broken("the reply is not complete".to_owned())),
        Ok(_) => Ok(()),
        Err(error) => Err(ReplyError::Broken(error.kind().to_string())),
    }
}

/// The next node and its bytes on the wire, if it is complete.
fn node(buffer: &mut BytesMut, room: u64, searched: &mut usize) -> Result<Option<(Reply, u64)>, ReplyError> {
    let Some(end) = memchr::memmem::find(&buffer[*searched..], b"\r\n").map(|at| *searched + at) else {
        // The last byte may be half of the end.
        *searched = buffer.len().saturating_sub(1);
        return if buffer.len() as u64 > room { Err(ReplyError::TooLarge) } else { Ok(None) };
    };
    *searched = 0;
    let head = end as u64 + 2;
    let kind = buffer[0];
    let text = || String::from_utf8_lossy(buffer.get(1..end).unwrap_or_default()).into_owned();
    let number = || {
        let text = text();
        // What stands there is not repeated: cut off, a password in it would not be found any more.
        text.parse::<i64>().map_err(|_| ReplyError::NotResp("a number is not one".to_owned()))
    };
    if head > room.saturating_add(NODE_BYTES) {
        return Err(ReplyError::TooLarge);
    }
    let (node, size) = match kind {
        b'+' => (Reply::Status(text()), head),
        b'-' => (Reply::Error(text()), head),
        b':' => (Reply::Integer(number()?), head),
        b'*' => match number()? {
            -1 => (Reply::Nil, head),
            length => (Reply::Array(u32::try_from(length).map_err(|_| ReplyError::TooLarge)?), head),
        },
        b'$' => match number()? {
            -1 => (Reply::Nil, head),
            length => return data(buffer, head, length, room),
        },
        other => {
            return Err(ReplyError::NotResp(format!(
                "a reply starts with `{}`",
                char::from(other).escape_debug()
            )));
        }
    };
    buffer.advance(end + 2);
    Ok(Some((node, size)))
}

fn data(
    buffer: &mut BytesMut,
    head: u64,
    length: i64,
    room: u64,
) -> Result<Option<(Reply, u64)>, ReplyError> {
    let wrong = || ReplyError::NotResp("a length is not one".to_owned());
    let length = u64::try_from(length).map_err(|_| wrong())?;
    if length > room {
        return Err(ReplyError::TooLarge);
    }
    let whole = head + length + 2;
    if (buffer.len() as u64) < whole {
        return Ok(None);
    }
    let bytes = |size: u64| usize::try_from(size).map_err(|_| wrong());
    buffer.advance(bytes(head)?);
    let data = buffer.split_to(bytes(length)?).freeze();
    if !buffer.starts_with(b"\r\n") {
        return Err(wrong());
    }
    buffer.advance(2);
    Ok(Some((Reply::Data(data), whole)))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(wire: &[u8], limit: u64) -> Result<Vec<Reply>, ReplyError> {
        // In pieces of one byte, as a network may deliver them.
        reply(&mut OneByte(wire), &mut BytesMut::new(), limit).await
    }

    /// A reader that hands out one byte at a time, then ends.
    struct OneByte<'w>(&'w [u8]);

    impl AsyncRead for OneByte<'_> {
        fn poll_read(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
            out: &mut tokio::io::ReadBuf<'_>,
        ) -> std::task::Poll<std::io::Result<()>> {
            if let Some((first, rest)) = self.0.split_first() {
                out.put_slice(&[*first]);
                self.0 = rest;
            }
            std::task::Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn a_command_is_an_array_of_its_words() {
        let wire = command([&b"SET"[..], b"k\r\n", b""].into_iter());
        assert_eq!(wire, b"*3\r\n$3\r\nSET\r\n$3\r\nk\r\n\r\n$0\r\n\r\n");
    }

    #[tokio::test]
    async fn every_kind_of_reply_is_read() {
        let wire = b"*7\r\n+OK\r\n-ERR no\r\n:-7\r\n$4\r\na\r\nb\r\n$-1\r\n*-1\r\n*1\r\n$0\r\n\r\n";
        let expected = [
            Reply::Array(7),
            Reply::Status("OK".into()),
            Reply::Error("ERR no".into()),
            Reply::Integer(-7),
            Reply::Data(Bytes::from_static(b"a\r\nb")),
            Reply::Nil,
            Reply::Nil,
            Reply::Array(1),
            Reply::Data(Bytes::new()),
        ];
        assert_eq!(read(wire, 1000).await.unwrap(), expected);
    }

    #[tokio::test]
    async fn what_is_over_the_limit_is_refused_before_it_is_received() {
        for wire in [
            "$1001\r\n".to_owned(),
            "$9223372036854775807\r\n".to_owned(),
            "*4294967295\r\n".to_owned(),
            "*9223372036854775807\r\n".to_owned(),
            format!("+{}", "x".repeat(1100)),
            format!("*2\r\n$900\r\n{}\r\n$200\r\n", "x".repeat(900)),
            "*1\r\n".repeat(2000),
        ] {
            assert_eq!(read(wire.as_bytes(), 1000).await, Err(ReplyError::TooLarge), "{wire:.20}");
            let at_once = reply(&mut wire.as_bytes(), &mut BytesMut::new(), 1000).await;
            assert_eq!(at_once, Err(ReplyError::TooLarge), "{wire:.20}");
        }
    }

    #[tokio::test]
    async fn nesting_costs_no_stack() {
        let wire = "*1\r\n".repeat(100_000) + ":1\r\n";
        assert_eq!(read(wire.as_bytes(), 10 << 20).await.unwrap().len(), 100_001);
    }

    #[tokio::test]
    async fn what_is_no_reply_is_told() {
        assert_eq!(read(b"", 100).await, Err(ReplyError::Closed));
        assert!(matches!(read(b"$5\r\nab", 100).await, Err(ReplyError::Broken(_))));
        for wire in [&b"HTTP/1.1 400\r\n"[..], b":x\r\n", b"$-2\r\n", b"$1\r\nabc", b"\r\n"] {
            assert!(matches!(read(wire, 100).await, Err(ReplyError::NotResp(_))), "{wire:?}");
        }
        let mut both = &b"+OK\r\n+OK\r\n"[..];
        let told = reply(&mut both, &mut BytesMut::new(), 100).await;
        assert!(matches!(told, Err(ReplyError::NotResp(_))), "{told:?}");
    }
}
