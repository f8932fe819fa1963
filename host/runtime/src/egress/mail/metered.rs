//! The stream of an SMTP connection: what the server may send in one conversation is bounded, and a greeting that was
//! read before an upgrade to TLS can be read once more by the client, which expects one.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
};

use lettre::transport::smtp::client::AsyncTokioStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::egress::dial::Wire;

/// Replies of one conversation are far smaller. Without a bound a server could send a line that never ends.
const REPLY_BYTES: usize = 256 << 10;

/// A bounded stream.
#[derive(Debug)]
pub(super) struct Metered {
    stream: Box<dyn Wire>,
    peer: SocketAddr,
    /// Bytes that are read before those of the stream.
    first: &'static [u8],
    room: usize,
}

impl Metered {
    pub(super) fn new(stream: Box<dyn Wire>, peer: SocketAddr, first: &'static [u8]) -> Self {
        Self { stream, peer, first, room: REPLY_BYTES }
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
        if self.room == 0 {
            return Poll::Ready(Err(io::Error::other("the server's replies are too long")));
        }
        let before = out.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, out);
        self.room = self.room.saturating_sub(out.filled().len() - before);
        read
    }
}

impl AsyncWrite for Metered {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
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
