//! Background work: every task has a name, and a panic in one is reported, never swallowed.

use std::future::Future;

use tokio::task::JoinHandle;

/// Starts a named task on the current runtime; its panic is logged as an error.
pub fn spawn<F>(name: &'static str, future: F) -> JoinHandle<()>
where
    F: Future<Output = ()> + Send + 'static,
{
    #[expect(clippy::disallowed_methods, reason = "this is the place")]
    let task = tokio::spawn(future);
    #[expect(clippy::disallowed_methods, reason = "this is the place")]
    tokio::spawn(async move {
        match task.await {
            Err(error) if error.is_panic() => tracing::error!(task = name, %error, "task panicked"),
            _ => {}
        }
    })
}
