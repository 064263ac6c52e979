//! Long bodies between two plain sockets through a pipe (splice(2)): the kernel passes pages on, nothing is copied here.

use std::cell::RefCell;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::task::{Context, Poll, ready};

use nix::fcntl::{FcntlArg, OFlag, SpliceFFlags, fcntl, splice};
use nix::unistd::pipe2;
use tokio::io::Interest;
use tokio::net::TcpStream;

/// A body with less than this to come is not worth a pipe.
pub const WORTHWHILE: u64 = 256 * 1024;

/// Room of a pipe, and so what a slow receiver pins at most; unprivileged processes may ask for up to `fs.pipe-max-size`.
const ROOM: usize = 128 * 1024;

/// Pipes kept for each thread; beyond that they are closed.
const KEPT: usize = 16;

thread_local! {
    static FREE: RefCell<Vec<Pipe>> = const { RefCell::new(Vec::new()) };
}

#[derive(Debug)]
struct Pipe {
    reader: OwnedFd,
    writer: OwnedFd,
}

/// A body on its way from one socket to another.
#[derive(Debug)]
pub struct Splice {
    /// `None` only after it went back to the thread.
    pipe: Option<Pipe>,
    filled: usize,
    left: u64,
    given: u64,
}

/// What a splice waits for, or how it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moved {
    /// Everything has been given to the receiver.
    All,
    /// The sender has nothing now.
    Waiting,
    /// The receiver takes nothing now.
    Blocked,
    /// The sender ended before the body did, or is lost.
    SenderEnded,
    /// The receiver is lost.
    ReceiverEnded,
}

impl Splice {
    /// For the `left` bytes that a sender still has to send.
    ///
    /// # Errors
    ///
    /// When the process can open no pipe: the body has to be copied.
    pub fn new(left: u64) -> io::Result<Self> {
        let pipe = match FREE.with_borrow_mut(Vec::pop) {
            Some(pipe) => pipe,
            None => Pipe::new()?,
        };
        Ok(Self { pipe: Some(pipe), filled: 0, left, given: 0 })
    }

    /// Bytes that the receiver has taken.
    #[must_use]
    pub fn given(&self) -> u64 {
        self.given
    }

    /// Bytes that were taken from the sender and not yet by the receiver.
    #[must_use]
    pub fn held(&self) -> u64 {
        self.filled as u64
    }

    /// Moves as much as the two sockets allow; `taken` is told of the bytes taken from the sender, as they are.
    pub fn poll_move(
        &mut self,
        cx: &mut Context<'_>,
        from: &TcpStream,
        to: &TcpStream,
        mut taken: impl FnMut(u64),
    ) -> Moved {
        let Some(pipe) = &self.pipe else { return Moved::All };
        loop {
            while self.filled > 0 {
                match poll_give(cx, pipe, to, self.filled) {
                    Poll::Pending => return Moved::Blocked,
                    Poll::Ready(Ok(given)) if given > 0 => {
                        self.filled = self.filled.saturating_sub(given);
                        self.given += given as u64;
                    }
                    Poll::Ready(_) => return Moved::ReceiverEnded,
                }
            }
            if self.left == 0 {
                return Moved::All;
            }
            let wanted = usize::try_from(self.left).unwrap_or(ROOM).min(ROOM);
            match poll_take(cx, from, pipe, wanted) {
                Poll::Pending => return Moved::Waiting,
                Poll::Ready(Ok(read)) if read > 0 => {
                    self.filled = read;
                    self.left = self.left.saturating_sub(read as u64);
                    taken(read as u64);
                }
                Poll::Ready(_) => return Moved::SenderEnded,
            }
        }
    }
}

impl Drop for Splice {
    fn drop(&mut self) {
        // What is left in a pipe would be the beginning of somebody else's body.
        if let (Some(pipe), 0) = (self.pipe.take(), self.filled) {
            FREE.with_borrow_mut(|free| {
                if free.len() < KEPT {
                    free.push(pipe);
                }
            });
        }
    }
}

impl Pipe {
    fn new() -> io::Result<Self> {
        let (reader, writer) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
        // With the usual 64 KiB it works too.
        if let Err(error) = fcntl(&writer, FcntlArg::F_SETPIPE_SZ(ROOM as i32)) {
            tracing::debug!(%error, "a pipe keeps its size");
        }
        Ok(Self { reader, writer })
    }
}

const FLAGS: SpliceFFlags = SpliceFFlags::SPLICE_F_MOVE.union(SpliceFFlags::SPLICE_F_NONBLOCK);

/// Into an empty pipe, so that "would block" can only mean the socket.
fn poll_take(cx: &mut Context<'_>, from: &TcpStream, pipe: &Pipe, wanted: usize) -> Poll<io::Result<usize>> {
    loop {
        ready!(from.poll_read_ready(cx))?;
        let take = || Ok(splice(from.as_fd(), None, pipe.writer.as_fd(), None, wanted, FLAGS)?);
        match from.try_io(Interest::READABLE, take) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            taken => return Poll::Ready(taken),
        }
    }
}

/// Out of a pipe with something in it, so that "would block" can only mean the socket.
fn poll_give(cx: &mut Context<'_>, pipe: &Pipe, to: &TcpStream, filled: usize) -> Poll<io::Result<usize>> {
    loop {
        ready!(to.poll_write_ready(cx))?;
        let give = || Ok(splice(pipe.reader.as_fd(), None, to.as_fd(), None, filled, FLAGS)?);
        match to.try_io(Interest::WRITABLE, give) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            given => return Poll::Ready(given),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let connecting = TcpStream::connect(listener.local_addr().unwrap());
        let (near, far) = tokio::join!(connecting, listener.accept());
        (near.unwrap(), far.unwrap().0)
    }

    async fn moved(splice: &mut Splice, from: &TcpStream, to: &TcpStream) -> (Moved, u64) {
        let mut bytes = 0;
        let ended = poll_fn(|cx| match splice.poll_move(cx, from, to, |taken| bytes += taken) {
            Moved::Waiting | Moved::Blocked => Poll::Pending,
            ended => Poll::Ready(ended),
        });
        (ended.await, bytes)
    }

    #[tokio::test]
    async fn every_byte_of_the_body_arrives_and_none_of_what_follows() {
        let ((mut sender, from), (to, mut receiver)) = (pair().await, pair().await);
        let body: Vec<u8> = (0..3_000_000_u32).map(|number| (number % 251) as u8).collect();
        let length = body.len();
        let sending = async {
            sender.write_all(&body).await.unwrap();
            sender.write_all(b"next").await.unwrap();
        };
        let mut received = vec![0; length];
        let receiving = async { receiver.read_exact(&mut received).await.unwrap() };
        let mut splice = Splice::new(length as u64).unwrap();
        let (ended, (), _) = tokio::join!(moved(&mut splice, &from, &to), sending, receiving);
        assert_eq!(ended, (Moved::All, length as u64));
        assert!(received == body, "the body changed on its way");
        let mut rest = [0; 16];
        let read = { from }.read(&mut rest).await.unwrap();
        assert_eq!(&rest[..read], b"next");
    }

    #[tokio::test]
    async fn ends_are_told_apart_and_a_pipe_with_a_rest_is_not_used_again() {
        let ((mut sender, from), (to, receiver)) = (pair().await, pair().await);
        sender.write_all(b"half").await.unwrap();
        drop(sender);
        let mut splice = Splice::new(8).unwrap();
        assert_eq!(moved(&mut splice, &from, &to).await, (Moved::SenderEnded, 4));
        drop((splice, receiver));
        assert_eq!(FREE.with_borrow(Vec::len), 1);
        let mut torn = Splice::new(1).unwrap();
        torn.filled = 1;
        drop(torn);
        assert_eq!(FREE.with_borrow(Vec::len), 0);
    }
}
