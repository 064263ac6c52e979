//! Writing to the gateway, piece by piece: whether it has read what was sent to it over the loopback, and how long
//! nothing happened.

use std::io;
use std::net::SocketAddrV4;
use std::os::fd::RawFd;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, SockaddrIn, getpeername, getsockname, recv};
use sluice::base::clock;
use socket2::SockRef;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;

/// For as long as the gateway may have a reason not to read, such as a request in front of the next.
const PATIENCE: Duration = Duration::from_millis(50);

/// The longest time without any byte sent or received, on all connections of an exchange.
#[derive(Clone)]
pub struct Quiet(Arc<Mutex<(Instant, Duration)>>);

impl Quiet {
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new((clock::now(), Duration::ZERO))))
    }

    /// Something was sent or received.
    pub fn end(&self) {
        let mut quiet = self.0.lock().unwrap();
        let now = clock::now();
        *quiet = (now, quiet.1.max(now - quiet.0));
    }

    pub fn longest(&self) -> Duration {
        self.end();
        self.0.lock().unwrap().1
    }
}

/// Our end of a connection, for writing.
pub struct Writer {
    pub half: OwnedWriteHalf,
    quiet: Quiet,
    other_end: Option<OtherEnd>,
}

impl Writer {
    pub fn new(half: OwnedWriteHalf, quiet: Quiet) -> Self {
        Self { half, quiet, other_end: None }
    }

    /// Writes pieces, each when the one before has been read; the last one when `last` has been done with the socket.
    pub async fn write(
        &mut self,
        pieces: &[&[u8]],
        last: impl FnOnce(SockRef<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        let (end, before) = pieces.split_last().expect("there is something to write");
        for piece in before {
            self.half.write_all(piece).await?;
            self.quiet.end();
            // Not read in time is one more way to cut a stream.
            let _late = tokio::time::timeout(PATIENCE, self.was_read()).await;
        }
        last(SockRef::from(self.half.as_ref()))?;
        self.half.write_all(end).await?;
        self.quiet.end();
        Ok(())
    }

    async fn was_read(&mut self) {
        loop {
            if self.other_end.is_none() {
                self.other_end = OtherEnd::of(self.half.as_ref());
            }
            if self.other_end.as_ref().is_some_and(OtherEnd::has_read_all) {
                return;
            }
            tokio::task::yield_now().await;
        }
    }
}

/// The gateway's socket of a connection.
struct OtherEnd {
    descriptor: RawFd,
    local: SocketAddrV4,
    peer: SocketAddrV4,
}

impl OtherEnd {
    fn of(ours: &TcpStream) -> Option<Self> {
        let (std::net::SocketAddr::V4(local), std::net::SocketAddr::V4(peer)) =
            (ours.peer_addr().ok()?, ours.local_addr().ok()?)
        else {
            return None;
        };
        let open = std::fs::read_dir("/proc/self/fd").unwrap();
        let descriptors = open.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        let mut ends = descriptors.map(|descriptor| Self { descriptor, local, peer });
        ends.find(Self::is_there)
    }

    fn is_there(&self) -> bool {
        let is = |address: nix::Result<SockaddrIn>, expected| address.is_ok_and(|a| SocketAddrV4::from(a) == expected);
        is(getsockname(self.descriptor), self.local) && is(getpeername(self.descriptor), self.peer)
    }

    /// Nothing waits to be read, be it because the socket is closed.
    fn has_read_all(&self) -> bool {
        let look = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
        !self.is_there() || recv(self.descriptor, &mut [0], look) == Err(Errno::EAGAIN)
    }
}
