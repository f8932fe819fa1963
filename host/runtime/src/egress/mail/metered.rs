//! The stream of an SMTP connection: what the server may send for one message is bounded, and a greeting that was
//! read before an upgrade to TLS can be read once more by the client, which expects one.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use lettre::transport::smtp::client::AsyncTokioStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::egress::dial::Wire;

/// All replies about one message, of which each recipient has one. Without a bound a server could send a line that never ends.
const MESSAGE_BYTES: usize = 256 << 10;

/// One reply: the bytes after a command and before the next. The longest in practice, the one to EHLO, has about a kilobyte. The mail crate's
/// client parses a reply from its beginning with each line, so the time for a long one grows with the square of its length.
pub(super) const REPLY_BYTES: usize = 8 << 10;

/// A bounded stream.
#[derive(Debug)]
pub(super) struct Metered {
    stream: Box<dyn Wire>,
    peer: SocketAddr,
    /// Bytes that are read before those of the stream.
    first: &'static [u8],
    room: Room,
    /// How much the server may still send before it is asked again.
    reply_room: usize,
}

/// How much the server may still send. Shared with whoever makes room for the next message: the stream itself belongs to
/// the mail crate's client.
#[derive(Clone, Debug)]
pub(super) struct Room(Arc<AtomicUsize>);

impl Room {
    pub(super) fn new() -> Self {
        Self(Arc::new(AtomicUsize::new(MESSAGE_BYTES)))
    }

    /// For another message.
    pub(super) fn renew(&self) {
        self.0.store(MESSAGE_BYTES, Ordering::Relaxed);
    }
}

impl Metered {
    pub(super) fn new(stream: Box<dyn Wire>, peer: SocketAddr, first: &'static [u8], room: Room) -> Self {
        Self { stream, peer, first, room, reply_room: REPLY_BYTES }
    }
}

impl AsyncRead for Metered {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.first.is_empty() {
            let size = self.first.len().min(out.remaining());
            let (now, later) = self.first.split_at(size);
            out.put_slice(now);
            self.first = later;
            return Poll::Ready(Ok(()));
        }
        let room = self.room.0.load(Ordering::Relaxed);
        if room.min(self.reply_room) == 0 {
            return Poll::Ready(Err(io::Error::other("the server's replies are too long")));
        }
        let before = out.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, out);
        let size = out.filled().len() - before;
        // Only one task reads, so nothing is lost between the two.
        self.room.0.store(room.saturating_sub(size), Ordering::Relaxed);
        self.reply_room = self.reply_room.saturating_sub(size);
        read
    }
}

impl AsyncWrite for Metered {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.reply_room = REPLY_BYTES;
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl AsyncTokioStream for Metered {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.peer)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn a_message_has_its_room_and_the_next_has_it_again() {
        let (near, mut far) = tokio::io::duplex(2 * MESSAGE_BYTES);
        far.write_all(&vec![b'2'; MESSAGE_BYTES + 1]).await.unwrap();
        let room = Room::new();
        let peer = SocketAddr::from(([127, 0, 0, 1], 25));
        let mut stream = Metered::new(Box::new(near), peer, b"220 hi\r\n", room.clone());
        let mut first = [0; 8];
        stream.read_exact(&mut first).await.unwrap();
        assert_eq!(&first, b"220 hi\r\n");
        for _ in 0..MESSAGE_BYTES / REPLY_BYTES {
            stream.read_exact(&mut vec![0; REPLY_BYTES]).await.unwrap();
            assert!(stream.read(&mut first).await.is_err(), "one reply is no longer");
            stream.write_all(b"NOOP\r\n").await.unwrap();
        }
        assert!(stream.read(&mut first).await.is_err());
        room.renew();
        assert_eq!(stream.read(&mut first).await.unwrap(), 1);
    }
}
