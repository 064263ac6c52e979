//! Exchanges that are over, kept by each thread for its next requests, so that a request allocates nothing once the thread is warm.
//!
//! What a request held, such as its snapshot and its connection, has been let go when its exchange comes here, and what
//! it said is replaced as a whole before another one is seen by anybody.

use std::cell::RefCell;
use std::sync::Arc;

use super::exchange::Exchange;

/// Exchanges that a thread keeps.
const KEPT: usize = 64;

thread_local! {
    static SHELF: RefCell<Vec<Arc<Exchange>>> = const { RefCell::new(Vec::new()) };
}

/// An exchange that is about no request, and that nobody else has.
pub(super) fn take() -> Arc<Exchange> {
    SHELF.with_borrow_mut(Vec::pop).unwrap_or_else(|| Arc::new(Exchange::new()))
}

/// Takes back an exchange that is about no request any more, and that nobody else has.
pub(super) fn give(exchange: Arc<Exchange>) {
    SHELF.with_borrow_mut(|shelf| {
        if shelf.len() < KEPT {
            shelf.push(exchange);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_bounded() {
        let used = || {
            let mut exchange = Exchange::new();
            exchange.facts.path.push_str("used");
            Arc::new(exchange)
        };
        (0..2 * KEPT).for_each(|_| give(used()));
        let taken = (0..2 * KEPT).filter(|_| take().facts.path == "used").count();
        assert_eq!(taken, KEPT);
    }
}
