//! A worker thread: one runtime, one accept loop for each listener, until it is drained.

use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use futures_util::future::select_all;
use tokio::net::TcpListener;
use tokio::task::JoinHandle as TaskHandle;

use super::accept::{self, Listener};
use super::worker::{Drain, Phase, Worker};
use crate::base::deadline::Rest;
use crate::base::tasks;

/// When accepting has ended, how long a connection without a request may still bring one.
const FRESH_GRACE: Duration = Duration::from_secs(1);

/// Starts worker `number`; it ends when drained, or when the gateway ends.
pub fn start(
    number: usize,
    sockets: Vec<(Arc<Listener>, std::net::TcpListener)>,
    make: impl FnOnce() -> Worker + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let sockets = sockets.into_iter().map(|(listener, socket)| {
        let _on = runtime.enter();
        Ok((listener, TcpListener::from_std(socket)?))
    });
    let sockets = sockets.collect::<io::Result<Vec<_>>>()?;
    std::thread::Builder::new().name(format!("worker-{number}")).spawn(move || {
        let worker = Arc::new(make());
        let drain = Arc::clone(&worker.drain);
        let served = std::panic::catch_unwind(AssertUnwindSafe(|| runtime.block_on(serve(worker, sockets))));
        if let Err(panic) = served {
            tracing::error!(worker = number, message = tasks::panic_message(&*panic), "worker panicked");
            drain.fail();
        }
    })
}

async fn serve(worker: Arc<Worker>, sockets: Vec<(Arc<Listener>, TcpListener)>) {
    let mut essential = vec![tasks::spawn("deadlines", Arc::clone(&worker.deadlines).run())];
    let sweeper = Arc::clone(&worker);
    essential.push(tasks::spawn("upstream pool", async move { sweeper.direct.sweep().await }));
    for (listener, socket) in sockets {
        let accepting = worker.drain.accepting();
        essential.push(tasks::spawn("accept", accept::run(Arc::clone(&worker), listener, socket, accepting)));
    }
    supervise(essential, &worker.drain).await;
    worker.deadlines.fire(Rest::Idle);
    tokio::select! {
        () = worker.drain.emptied() => {}
        () = worker.drain.reached(Phase::Ended) => {}
        () = tokio::time::sleep(FRESH_GRACE) => worker.deadlines.fire(Rest::Fresh),
    }
    tokio::select! {
        () = worker.drain.emptied() => {}
        () = worker.drain.reached(Phase::Ended) => {}
    }
    worker.direct.close();
    worker.pingora.close().await;
}

/// Waits until draining closes the listeners. A task that ends before has failed, and the gateway with it.
async fn supervise(essential: Vec<TaskHandle<()>>, drain: &Drain) {
    tokio::select! {
        biased;
        () = drain.closing() => return,
        _ = select_all(essential) => {}
    }
    if !drain.is_closing() {
        tracing::error!("a worker lost a task that it cannot do without");
        drain.fail();
    }
    drain.closing().await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_lost_task_makes_the_gateway_leave() {
        let drain = Drain::default();
        let lost = vec![tasks::spawn("stays", std::future::pending()), tasks::spawn("lost", async { panic!("lost") })];
        tokio::select! {
            () = supervise(lost, &drain) => panic!("closing is for whoever drains"),
            () = drain.reached(Phase::Leaving) => {}
        }
        assert!(drain.failed() && !drain.is_closing());
    }

    #[tokio::test]
    async fn accept_loops_that_end_with_the_drain_have_not_failed() {
        let drain = Drain::default();
        drain.advance(Phase::Closing);
        supervise(vec![tasks::spawn("accept", async {})], &drain).await;
        assert!(!drain.failed());
    }
}
