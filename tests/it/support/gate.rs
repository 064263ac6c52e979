//! Explicit steps between a test and a double, in place of time.

use std::sync::Arc;

use tokio::sync::Semaphore;

/// Each [`open`](Self::open) lets one [`pass`](Self::pass) through, in whichever order they come.
#[derive(Clone)]
pub struct Gate(Arc<Semaphore>);

impl Gate {
    pub fn closed() -> Self {
        Self(Arc::new(Semaphore::new(0)))
    }

    pub fn open(&self) {
        self.0.add_permits(1);
    }

    pub async fn pass(&self) {
        self.0.acquire().await.expect("a gate is never closed for good").forget();
    }
}
