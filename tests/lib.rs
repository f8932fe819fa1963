//! What tests and benchmarks of several packages start for themselves: an HTTP receiver, a forward proxy, and servers of PostgreSQL,
//! Redis, Memcached, search and mail, and nginx. And WebAssembly that no compiler makes, and a clock that can be set.

mod certificate;
mod cluster;
mod connect_proxy;
mod guarded;
mod mail;
mod memcached_server;
mod nginx_server;
mod on_port;
mod opensearch_server;
mod receiver;
mod redis_server;
mod set_clock;
mod smtp_server;
pub mod wasm;

pub use certificate::Certificate;
pub use cluster::Cluster;
pub use connect_proxy::ConnectProxy;
pub use mail::{Mail, Part};
pub use memcached_server::MemcachedServer;
pub use nginx_server::{NginxServer, Processed};
pub use opensearch_server::OpenSearchServer;
pub use receiver::{Answer, Received, Receiver};
pub use redis_server::RedisServer;
pub use set_clock::SetClock;
pub use smtp_server::{Accepted, SmtpServer, SmtpTls};
