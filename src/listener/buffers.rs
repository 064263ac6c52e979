//! Buffers that connections borrow while bytes are there, and give back before they wait.

use std::cell::RefCell;

/// Room for a request head and what comes with it; also the size of one relayed piece.
pub const SIZE: usize = 16 * 1024;

/// Kept for each thread; beyond that they are freed.
const KEPT: usize = 64;

thread_local! {
    static FREE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// An empty buffer with a capacity of at least [`SIZE`].
#[must_use]
pub fn take() -> Vec<u8> {
    FREE.with(|free| free.borrow_mut().pop()).unwrap_or_else(|| Vec::with_capacity(SIZE))
}

/// Gives a buffer back to the thread; one that grew past its size is freed instead.
pub fn give(mut buffer: Vec<u8>) {
    if buffer.capacity() < SIZE || buffer.capacity() > 2 * SIZE {
        return;
    }
    buffer.clear();
    FREE.with(|free| {
        let mut free = free.borrow_mut();
        if free.len() < KEPT {
            free.push(buffer);
        }
    });
}
