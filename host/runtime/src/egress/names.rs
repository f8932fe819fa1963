//! From a name to the addresses that may be connected to. Every connection of the egress begins here, and whoever asks
//! connects to exactly what was answered: there is no second look that could answer otherwise.

use std::{
    error::Error,
    fmt::Debug,
    io,
    net::SocketAddr,
    sync::Arc,
    task::{Context, Poll},
    vec,
};

use futures::future::BoxFuture;
use hyper_util::client::legacy::connect::dns::Name;
use tower_service::Service;

use crate::capability::PrivateNetwork;

/// Looks names up.
pub(super) trait Names: Send + Sync + Debug {
    /// The addresses of a name, or of an address that is written out, with this port.
    fn look_up<'n>(&'n self, name: &'n str, port: u16) -> BoxFuture<'n, io::Result<Vec<SocketAddr>>>;
}

/// Looks names up as the system does: its hosts file and its name servers.
#[derive(Clone, Copy, Debug)]
pub(super) struct SystemNames;

impl Names for SystemNames {
    fn look_up<'n>(&'n self, name: &'n str, port: u16) -> BoxFuture<'n, io::Result<Vec<SocketAddr>>> {
        Box::pin(async move { Ok(tokio::net::lookup_host((name, port)).await?.collect()) })
    }
}

/// A name has only addresses in special ranges.
#[derive(Debug, thiserror::Error)]
#[error("the name resolves to an address in a special range ({range})")]
pub(super) struct OnlySpecial {
    pub(super) range: &'static str,
}

/// A name has no address.
#[derive(Debug, thiserror::Error)]
#[error("the name does not resolve: {0}")]
pub(super) struct Unresolved(String);

/// The addresses of a name (or of an address, written out) that may be connected to; at least one.
pub(super) async fn resolve(
    names: &dyn Names,
    name: &str,
    port: u16,
    private_network: &PrivateNetwork,
) -> Result<Vec<SocketAddr>, Box<dyn Error + Send + Sync>> {
    let found = names.look_up(name, port).await.map_err(|error| Unresolved(error.to_string()))?;
    let mut range = None;
    let permitted: Vec<SocketAddr> = found
        .into_iter()
        .filter(|address| match private_network.permits(address.ip()) {
            Ok(()) => true,
            Err(special) => {
                range = Some(special);
                false
            }
        })
        .collect();
    match (permitted.is_empty(), range) {
        (false, _) => Ok(permitted),
        (true, Some(range)) => Err(OnlySpecial { range }.into()),
        (true, None) => Err(Unresolved("it has no address".to_owned()).into()),
    }
}

/// The same for the HTTP client.
#[derive(Clone, Debug)]
pub(super) struct GuardedResolver {
    pub(super) names: Arc<dyn Names>,
    pub(super) private_network: PrivateNetwork,
}

impl Service<Name> for GuardedResolver {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = Box<dyn Error + Send + Sync>;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let Self { names, private_network } = self.clone();
        // The port is the origin's.
        Box::pin(async move { Ok(resolve(&*names, name.as_str(), 0, &private_network).await?.into_iter()) })
    }
}
