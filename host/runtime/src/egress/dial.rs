//! Connections to the servers that the operator configured: mail, Redis, Memcached. Names go through the same decision
//! on addresses as those of HTTP requests.

use std::{
    fmt::Debug,
    future::{Future as _, poll_fn},
    io,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Waker},
    time::Duration,
};

use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    task::unconstrained,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{
    client::Tls,
    failure::{is_untrusted, tls_error, tls_words},
    names::{SystemNames, resolve},
};
use crate::capability::PrivateNetwork;

/// A connection, plain or encrypted.
pub(super) trait Wire: AsyncRead + AsyncWrite + Send + Sync + Unpin + Debug {}

impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin + Debug> Wire for T {}

/// Where a configured server is. The operator wrote it, so its address may be in any range; see [`PrivateNetwork`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Endpoint {
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// Why there is no connection. The text is for people and holds no secret.
#[derive(Debug, thiserror::Error)]
pub(super) enum DialError {
    /// The server's certificate is not trusted.
    #[error("{0}")]
    Certificate(String),
    #[error("{0}")]
    Other(String),
}

/// One of several addresses is not waited for longer, so that the next has its turn.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

impl Endpoint {
    /// What is written into a configuration is granted by writing it, loopback and private networks included.
    const GRANTED: PrivateNetwork = PrivateNetwork::Granted;

    /// Connects to the first address that answers.
    pub(super) async fn connect(&self) -> Result<TcpStream, DialError> {
        let addresses = resolve(&SystemNames, &self.host, self.port, &Self::GRANTED)
            .await
            .map_err(|error| DialError::Other(format!("{self}: {error}")))?;
        let mut last = None;
        for address in addresses {
            match timeout(CONNECT_TIMEOUT, Self::open(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => last = Some(format!("{address}: {error}")),
                Err(_) => last = Some(format!("{address}: no answer in {CONNECT_TIMEOUT:?}")),
            }
        }
        Err(DialError::Other(format!("no connection to {self}: {}", last.unwrap_or_default())))
    }

    async fn open(address: SocketAddr) -> io::Result<TcpStream> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// Encrypts a connection. The certificate must be for this host's name.
    pub(super) async fn encrypt<S: Wire>(&self, tls: &Tls, stream: S) -> Result<TlsStream<S>, DialError> {
        let name = ServerName::try_from(self.host.clone())
            .map_err(|error| DialError::Other(format!("TLS with {self}: {error}")))?;
        let connector = TlsConnector::from(Arc::new(tls.config().clone()));
        connector.connect(name, stream).await.map_err(|error| {
            let cause = tls_error(&error);
            let why = format!("TLS with {self}: {}", cause.map_or_else(|| error.to_string(), tls_words));
            if cause.is_some_and(is_untrusted) { DialError::Certificate(why) } else { DialError::Other(why) }
        })
    }
}

/// Whether nothing has arrived: neither the end of the connection nor a byte that nobody asked for. A connection that was
/// kept is used again only if it is quiet.
pub(super) fn is_quiet(stream: &mut (impl AsyncRead + Unpin)) -> bool {
    let mut byte = [0; 1];
    let mut room = ReadBuf::new(&mut byte);
    // Without tokio's budget, which would call a connection quiet that it only does not look at.
    let look = pin!(unconstrained(poll_fn(|cx| Pin::new(&mut *stream).poll_read(cx, &mut room))));
    look.poll(&mut Context::from_waker(Waker::noop())).is_pending()
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}
