//! The stream under an HTTP connection. It bounds what a receiver can make this host read: how much at once, so that no receiver holds a
//! thread, and how much for nothing, so that a receiver cannot flood a connection until the attempt's timeout.
//!
//! hyper and h2 read and parse for as long as bytes arrive, and skip interim answers and frames that belong to no answer.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{
            AtomicBool, AtomicUsize,
            Ordering::{AcqRel, Acquire, Relaxed, Release},
        },
    },
    task::{Context, Poll},
};

use http::Extensions;
use hyper_util::{
    client::legacy::connect::{Connected, Connection},
    rt::TokioIo,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// One read gives no more. hyper parses what one read gave without a pause, some 650 empty interim answers.
const MAX_READ_BYTES: usize = 16 << 10;
/// So much is read between two pauses, in which the other tasks of the thread have their turn.
const BYTES_BETWEEN_PAUSES: usize = 64 << 10;
/// Bytes that bring nothing of an answer. More than the head of an answer, of at most some 400 KiB with HTTP/1.1, and than what HTTP/2
/// lets the receiver send before a body is read ([`HTTP2_WINDOW_BYTES`]), with room for heads of other answers on the connection.
const MAX_UNUSED_BYTES: usize = 2 << 20;
/// What a receiver may send on one HTTP/2 connection before any of it is taken. hyper's own default is 5 MiB.
pub(super) const HTTP2_WINDOW_BYTES: u32 = 1 << 20;
/// Interim answers to one request. A client must be able to parse one or more (RFC 9110, 15.2); servers send one or two (100, 103), and some
/// send a 102 every few seconds while they work, which is half a minute or more of waiting at this bound.
pub(super) const MAX_INTERIM: u32 = 32;

/// Why a connection was ended: its receiver sends, and does not answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum Flood {
    #[error("the receiver sent more than {MAX_INTERIM} interim (1xx) answers before a final one")]
    Interim,
    #[error("the receiver sent more than {} MiB that belong to no answer", MAX_UNUSED_BYTES >> 20)]
    Unused,
}

/// What went over one connection, shared by its stream and the requests on it.
#[derive(Clone, Default, Debug)]
pub(super) struct Traffic(Arc<Counts>);

#[derive(Default, Debug)]
struct Counts {
    flood: OnceLock<Flood>,
    /// Bytes that were read since something of an answer was taken.
    unused: AtomicUsize,
    has_answered: AtomicBool,
    /// The next write begins a request.
    between_requests: AtomicBool,
    /// Nothing was read since the present request began. HTTP/1.1 only: HTTP/2 has several at a time.
    is_silent: AtomicBool,
}

impl Traffic {
    /// Of the connection that something came from.
    pub(super) fn of(connected: &Connected) -> Option<Self> {
        let mut extensions = Extensions::new();
        connected.get_extras(&mut extensions);
        extensions.remove()
    }

    /// The head of an answer was taken.
    pub(super) fn note_answer(&self) {
        self.note_use();
        self.0.has_answered.store(true, Release);
        self.0.between_requests.store(true, Release);
    }

    /// Something of an answer was taken.
    pub(super) fn note_use(&self) {
        self.0.unused.store(0, Relaxed);
    }

    /// Ends the connection at its next read.
    pub(super) fn end(&self, why: Flood) {
        // The first reason stays.
        let _ = self.0.flood.set(why);
    }

    pub(super) fn flood(&self) -> Option<Flood> {
        self.0.flood.get().copied()
    }

    /// Whether the connection had answered before, and then nothing came back for the present request (HTTP/1.1).
    pub(super) fn is_reused_and_silent(&self) -> bool {
        self.0.has_answered.load(Acquire) && self.0.is_silent.load(Acquire)
    }

    fn write_begins(&self) {
        if self.0.between_requests.swap(false, AcqRel) {
            self.0.is_silent.store(true, Release);
        }
    }

    fn read(&self, bytes: usize) {
        self.0.is_silent.store(false, Release);
        if self.0.unused.fetch_add(bytes, Relaxed) + bytes > MAX_UNUSED_BYTES {
            self.end(Flood::Unused);
        }
    }
}

/// A stream that pauses.
pub(super) struct HttpStream<S> {
    stream: S,
    traffic: Traffic,
    /// Bytes that were read since the last pause.
    read: usize,
}

impl<S> HttpStream<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, traffic: Traffic::default(), read: 0 }
    }
}

impl<T: Connection> Connection for HttpStream<TokioIo<T>> {
    fn connected(&self) -> Connected {
        self.stream.inner().connected().extra(self.traffic.clone())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for HttpStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(flood) = self.traffic.flood() {
            return Poll::Ready(Err(io::Error::other(flood)));
        }
        if self.read >= BYTES_BETWEEN_PAUSES {
            self.read = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let most = out.remaining().min(MAX_READ_BYTES);
        let mut piece = ReadBuf::new(out.initialize_unfilled_to(most));
        let polled = Pin::new(&mut self.stream).poll_read(cx, &mut piece);
        let count = piece.filled().len();
        match polled {
            Poll::Ready(Ok(())) if count > 0 => {
                out.advance(count);
                self.read += count;
                self.traffic.read(count);
            }
            Poll::Ready(_) => {}
            Poll::Pending => self.read = 0,
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for HttpStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.traffic.write_begins();
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.traffic.write_begins();
        Pin::new(&mut self.stream).poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    /// Reads once; the bytes, or none while there is a pause.
    fn read(stream: &mut HttpStream<&[u8]>) -> Option<io::Result<usize>> {
        let mut room = vec![0; 1 << 20];
        let mut out = ReadBuf::new(&mut room);
        let polled = Pin::new(stream).poll_read(&mut Context::from_waker(Waker::noop()), &mut out);
        match polled {
            Poll::Ready(read) => Some(read.map(|()| out.filled().len())),
            Poll::Pending => None,
        }
    }

    #[test]
    fn a_stream_that_always_has_more_pauses() {
        let bytes = vec![b'x'; 10 * BYTES_BETWEEN_PAUSES];
        let mut stream = HttpStream::new(&bytes[..]);
        for _ in 0..5 {
            for _ in 0..BYTES_BETWEEN_PAUSES / MAX_READ_BYTES {
                assert_eq!(read(&mut stream).unwrap().unwrap(), MAX_READ_BYTES);
            }
            assert!(read(&mut stream).is_none());
        }
    }

    #[test]
    fn what_brings_no_answer_has_a_bound_and_what_does_has_none() {
        let bytes = vec![b'x'; 5 * MAX_UNUSED_BYTES];
        let mut stream = HttpStream::new(&bytes[..]);
        let mut total = 0;
        while total < 3 * MAX_UNUSED_BYTES {
            total += read(&mut stream).map_or(0, Result::unwrap);
            stream.traffic.note_use();
        }
        let told = loop {
            match read(&mut stream) {
                Some(Err(error)) => break error.to_string(),
                Some(Ok(count)) => assert_ne!(count, 0, "the bytes end before the bound"),
                None => {}
            }
        };
        assert_eq!(told, "the receiver sent more than 2 MiB that belong to no answer");
    }

    #[tokio::test]
    async fn a_connection_is_silent_from_a_request_to_its_answer() {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let (near, mut far) = tokio::io::duplex(100);
        let mut stream = HttpStream::new(near);
        let traffic = stream.traffic.clone();
        for expected in [false, true, true] {
            stream.write_all(b"asked").await.unwrap();
            stream.write_all(b" more").await.unwrap();
            // The first request of a connection that ends at once tells of the receiver, not of its idle time.
            assert_eq!(traffic.is_reused_and_silent(), expected);
            far.write_all(b"answer").await.unwrap();
            stream.read_exact(&mut [0; 6]).await.unwrap();
            assert!(!traffic.is_reused_and_silent());
            traffic.note_answer();
        }
    }
}
