//! The services behind the gateway: which endpoints they have now, and which of them is next.

mod balance;
mod cluster;
mod endpoints;
mod resolve;
mod status;
pub mod trust;

pub use cluster::{Cluster, Identity};
pub use resolve::{Resolve, SystemResolver};
pub use status::{ClusterStatus, NameStatus, ResolveFailure};

#[cfg(test)]
mod tests;
