//! Names to addresses, never on the way of a request.

use std::io;
use std::net::SocketAddr;

use async_trait::async_trait;

/// Whoever knows the addresses of a name. An answer without addresses counts as a failure.
#[async_trait]
pub trait Resolve: Send + Sync + 'static {
    /// IPv4 and IPv6 addresses in any order; repetitions are fine.
    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>>;
}

/// Asks the operating system (`getaddrinfo`), so that `/etc/hosts`, search domains and `resolv.conf` hold as elsewhere.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemResolver;

#[async_trait]
impl Resolve for SystemResolver {
    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        Ok(tokio::net::lookup_host((host, port)).await?.collect())
    }
}
