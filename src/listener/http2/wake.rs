//! Waking a connection only when it has to be polled once more.
//!
//! A stream that is polled wakes its connection as soon as it writes, which is about to be polled anyway: the task would run a
//! second time for nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};

use futures_util::task::AtomicWaker;

/// What `h2` is polled with instead of the waker of the task.
pub struct Wakes {
    flag: Arc<Flag>,
    waker: Waker,
}

#[derive(Default)]
struct Flag {
    task: AtomicWaker,
    /// The task runs: whoever wakes now is heard before it waits.
    running: AtomicBool,
    woken: AtomicBool,
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Ordering::SeqCst);
        if !self.running.load(Ordering::SeqCst) {
            self.task.wake();
        }
    }
}

impl Wakes {
    pub fn new() -> Self {
        let flag = Arc::new(Flag::default());
        Self { waker: Waker::from(Arc::clone(&flag)), flag }
    }

    /// The task has begun to run.
    pub fn begin(&self) {
        self.flag.running.store(true, Ordering::SeqCst);
    }

    /// To poll with; who has woken until now is heard by this.
    pub fn context(&self) -> Context<'_> {
        self.flag.woken.store(false, Ordering::SeqCst);
        Context::from_waker(&self.waker)
    }

    /// The task is about to wait; who has woken since [`Wakes::context`] makes it run again.
    pub fn end(&self, cx: &Context<'_>) {
        self.flag.task.register(cx.waker());
        self.flag.running.store(false, Ordering::SeqCst);
        if self.flag.woken.load(Ordering::SeqCst) {
            cx.waker().wake_by_ref();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_wake_is_lost_only_when_it_is_heard_anyway() {
        let (count, wakes) = (Arc::new(Count::default()), Wakes::new());
        let task = Waker::from(Arc::clone(&count));
        let task = Context::from_waker(&task);
        let woken = || count.0.load(Ordering::Relaxed);

        wakes.begin();
        wakes.waker.wake_by_ref();
        let inner = wakes.context().waker().clone();
        wakes.end(&task);
        assert_eq!(woken(), 0, "what woke was polled behind it");

        inner.wake_by_ref();
        assert_eq!(woken(), 1, "while the task waits");

        wakes.begin();
        let inner = wakes.context().waker().clone();
        inner.wake_by_ref();
        assert_eq!(woken(), 1);
        wakes.end(&task);
        assert_eq!(woken(), 2, "behind the poll");
    }
}
