//! Buffers that connections borrow while bytes are there, and give back before they wait.

use std::cell::RefCell;
use std::io;
use std::pin::pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt};

/// Room for a request head and what comes with it; also the size of one relayed piece.
pub const SIZE: usize = 16 * 1024;

/// Room for a head of ours that may have to wait for an answer: most are shorter.
const HEAD: usize = 2 * 1024;

/// Pieces of long bodies: fewer calls and wake-ups for each byte.
pub const LONG: usize = 64 * 1024;

/// Kept of each size for each thread; beyond that they are freed.
const KEPT: usize = 64;

thread_local! {
    static FREE: RefCell<[Vec<Vec<u8>>; 3]> = const { RefCell::new([Vec::new(), Vec::new(), Vec::new()]) };
}

/// An empty buffer with a capacity of at least [`SIZE`].
#[must_use]
pub fn take() -> Vec<u8> {
    take_of(1, SIZE)
}

/// An empty buffer for a head that is kept for a while.
#[must_use]
pub fn take_head() -> Vec<u8> {
    take_of(0, HEAD)
}

/// An empty buffer for a piece of a long body.
#[must_use]
pub fn take_long() -> Vec<u8> {
    take_of(2, LONG)
}

fn take_of(list: usize, size: usize) -> Vec<u8> {
    let free = FREE.with_borrow_mut(|free| free.get_mut(list).and_then(Vec::pop));
    free.unwrap_or_else(|| Vec::with_capacity(size))
}

/// Gives a buffer back to the thread; one that grew past what it was for is freed instead.
pub fn give(mut buffer: Vec<u8>) {
    let list = match buffer.capacity() {
        HEAD..=4_096 => 0,
        SIZE..=32_768 => 1,
        LONG..=131_072 => 2,
        _ => return,
    };
    buffer.clear();
    FREE.with_borrow_mut(|free| {
        if let Some(free) = free.get_mut(list).filter(|free| free.len() < KEPT) {
            free.push(buffer);
        }
    });
}

/// Reads behind what a buffer holds, into room that is made when there is none; how many bytes came, 0 at the end.
pub fn poll_append(
    io: &mut (impl AsyncRead + Unpin),
    context: &mut Context<'_>,
    buffer: &mut Vec<u8>,
) -> Poll<io::Result<usize>> {
    if buffer.len() == buffer.capacity() {
        buffer.reserve(SIZE);
    }
    pin!(io.read_buf(buffer)).poll(context)
}
