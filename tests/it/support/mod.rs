//! A gateway under test, upstreams that misbehave on purpose, and clients that see every byte.

pub mod certificates;
pub mod client;
pub mod gate;
pub mod gateway;
pub mod h2_client;
pub mod h2_upstream;
pub mod issuer;
pub mod stream;
pub mod upstream;
pub mod wire;

use std::time::Duration;

pub use certificates::Authority;
pub use client::Client;
pub use gate::Gate;
pub use gateway::{TestGateway, forward_all, forward_with};
pub use h2_client::H2Client;
pub use h2_upstream::H2Upstream;
pub use upstream::{Upstream, ok};

/// No single step of a test takes this long, even on a busy machine; a test that waits longer has failed.
pub const DEADLINE: Duration = Duration::from_secs(10);

/// Awaits a step, or fails the test naming it.
pub async fn within<T>(what: &str, step: impl Future<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, step).await {
        Ok(value) => value,
        Err(_) => panic!("not within {DEADLINE:?}: {what}"),
    }
}

/// Waits until a condition yields a value. The only place that polls: files, metrics and counters of another thread
/// announce nothing, so they are read again every few milliseconds.
pub async fn eventually<T>(what: &str, mut condition: impl AsyncFnMut() -> Option<T>) -> T {
    let mut again = tokio::time::interval(Duration::from_millis(5));
    within(what, async {
        loop {
            again.tick().await;
            if let Some(value) = condition().await {
                return value;
            }
        }
    })
    .await
}
