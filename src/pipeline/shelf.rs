//! Memory of finished requests, kept by each thread for the next ones, so that a request allocates nothing once the thread is warm.
//!
//! Only memory is kept. What a request held, such as its snapshot and its connection, is let go when it is shelved, and
//! what it said is cleared before another one gets its memory.

use std::cell::RefCell;
use std::sync::Arc;

use super::exchange::Exchange;

/// Requests whose memory a thread keeps.
const KEPT: usize = 64;

/// Bytes of text kept for each of them; what grew larger is freed.
const LONGEST: usize = 4 * 1024;

thread_local! {
    static SHELF: RefCell<Shelf> = const { RefCell::new(Shelf { memories: Vec::new(), exchanges: Vec::new() }) };
}

struct Shelf {
    memories: Vec<Memory>,
    /// Over, and nobody else's.
    exchanges: Vec<Arc<Exchange>>,
}

/// What the texts of one request are written into.
#[derive(Debug, Default)]
pub(super) struct Memory {
    pub method: String,
    pub host: String,
    pub path: String,
    pub target: String,
    pub user_agent: Vec<u8>,
    pub added: Vec<u8>,
}

impl Memory {
    /// Empty, with the room that an earlier request of this thread needed.
    pub(super) fn take() -> Self {
        SHELF.with_borrow_mut(|shelf| shelf.memories.pop()).unwrap_or_default()
    }

    /// Takes memory back, whatever is in it.
    pub(super) fn give(mut self) {
        let Self { method, host, path, user_agent, target, added } = &mut self;
        let mut size = 0;
        for text in [method, host, path, target] {
            size += text.capacity();
            text.clear();
        }
        for bytes in [user_agent, added] {
            size += bytes.capacity();
            bytes.clear();
        }
        if size <= LONGEST {
            SHELF.with_borrow_mut(|shelf| keep(&mut shelf.memories, self));
        }
    }
}

/// An exchange that is over.
pub(super) fn take_exchange() -> Option<Arc<Exchange>> {
    SHELF.with_borrow_mut(|shelf| shelf.exchanges.pop())
}

/// Takes an exchange back that is over and nobody else's.
pub(super) fn give_exchange(exchange: Arc<Exchange>) {
    SHELF.with_borrow_mut(|shelf| keep(&mut shelf.exchanges, exchange));
}

fn keep<T>(kept: &mut Vec<T>, one: T) {
    if kept.len() < KEPT {
        kept.push(one);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(text: &str) -> Memory {
        let text = || text.to_owned();
        Memory {
            method: text(),
            host: text(),
            path: text(),
            target: text(),
            user_agent: text().into_bytes(),
            added: text().into_bytes(),
        }
    }

    #[test]
    fn memory_comes_back_empty() {
        used("of an earlier request").give();
        let Memory { method, host, path, user_agent, target, added } = Memory::take();
        for text in [method, host, path, target] {
            assert!(text.is_empty() && text.capacity() > 0);
        }
        for bytes in [user_agent, added] {
            assert!(bytes.is_empty() && bytes.capacity() > 0);
        }
        assert_eq!(Memory::take().path.capacity(), 0, "nothing is given out twice");
    }

    #[test]
    fn what_is_kept_is_bounded() {
        used(&"x".repeat(LONGEST)).give();
        assert_eq!(Memory::take().path.capacity(), 0);
        for _ in 0..2 * KEPT {
            used("x").give();
        }
        let kept = (0..2 * KEPT).filter(|_| Memory::take().path.capacity() > 0).count();
        assert_eq!(kept, KEPT);
    }
}
