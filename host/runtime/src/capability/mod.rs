//! What an operator granted to an action, and what its plugin says it needs. An action may do what is in both.

mod effective;
mod grants;
mod need;
mod origin;

pub use effective::Effective;
pub(crate) use effective::{DEFAULT_CONNECTION, granted_connection};
pub(crate) use grants::Grants;
pub use grants::PrivateNetwork;
pub use need::{Need, Needs};
pub use origin::Origin;
