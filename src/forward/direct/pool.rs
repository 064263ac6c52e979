//! Connections to upstreams that wait for their next request, of one worker thread.

use std::net::SocketAddr;
use std::time::Duration;

use foldhash::HashMap;

use super::upstream::UpstreamIo;
use crate::config::checked::Pool as Settings;

/// What a kept connection may be used for: equal keys mean the same endpoint under the same rules of trust.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    pub upstream: u64,
    pub address: SocketAddr,
}

/// An open connection and when it was opened, in milliseconds of the worker's coarse clock.
#[derive(Debug)]
pub struct Connection {
    pub io: UpstreamIo,
    pub key: Key,
    pub opened: u64,
    /// It has carried a request before.
    pub reused: bool,
}

#[derive(Debug)]
struct Idle {
    connection: Connection,
    since: u64,
}

/// Last in, first out, so that what is not needed grows old and ends. Times are milliseconds of the worker's coarse clock.
#[derive(Debug)]
pub struct Pool {
    size: usize,
    idle: u64,
    lifetime: u64,
    kept: HashMap<Key, Vec<Idle>>,
    count: usize,
}

impl Pool {
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        Self {
            size: settings.size,
            idle: millis(settings.idle),
            lifetime: millis(settings.lifetime),
            kept: HashMap::default(),
            count: 0,
        }
    }

    /// The connection used last that is still usable; those found dead or too old on the way are closed.
    pub fn take(&mut self, key: Key, now: u64) -> Option<Connection> {
        let of_key = self.kept.get_mut(&key)?;
        while let Some(Idle { mut connection, since }) = of_key.pop() {
            self.count -= 1;
            let fresh = now.saturating_sub(since) < self.idle && now.saturating_sub(connection.opened) < self.lifetime;
            if fresh && connection.io.is_idle() {
                connection.reused = true;
                return Some(connection);
            }
        }
        None
    }

    /// Keeps a connection for the next request, in place of the oldest when there are too many.
    pub fn give(&mut self, connection: Connection, now: u64) {
        if now.saturating_sub(connection.opened) >= self.lifetime {
            return;
        }
        if self.count >= self.size {
            self.drop_oldest();
        }
        self.kept.entry(connection.key).or_default().push(Idle { connection, since: now });
        self.count += 1;
    }

    /// Closes what was idle for too long, is too old, or was closed by the upstream.
    pub fn sweep(&mut self, now: u64) {
        let (idle, lifetime) = (self.idle, self.lifetime);
        let mut count = 0;
        self.kept.retain(|_, of_key| {
            of_key.retain_mut(|Idle { connection, since }| {
                now.saturating_sub(*since) < idle
                    && now.saturating_sub(connection.opened) < lifetime
                    && connection.io.is_idle()
            });
            count += of_key.len();
            !of_key.is_empty()
        });
        self.count = count;
    }

    pub fn clear(&mut self) {
        self.kept.clear();
        self.count = 0;
    }

    fn drop_oldest(&mut self) {
        // Each list is in the order of its times.
        let oldest = self.kept.values_mut().filter(|of_key| !of_key.is_empty());
        if let Some(of_key) = oldest.min_by_key(|of_key| of_key.first().map_or(u64::MAX, |idle| idle.since)) {
            of_key.remove(0);
            self.count -= 1;
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    fn settings(size: usize) -> Settings {
        Settings { size, idle: Duration::from_secs(10), lifetime: Duration::from_secs(60) }
    }

    async fn connected(opened: u64) -> (Connection, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stream = TcpStream::connect(address).await.unwrap();
        let (peer, _) = listener.accept().await.unwrap();
        let key = Key { upstream: 1, address: "127.0.0.1:1".parse().unwrap() };
        (Connection { io: UpstreamIo::Plain(stream), key, opened, reused: false }, peer)
    }

    #[tokio::test]
    async fn the_connection_used_last_comes_first() {
        let mut pool = Pool::new(&settings(8));
        let (first, _first_peer) = connected(1).await;
        let (second, _second_peer) = connected(2).await;
        let key = first.key;
        pool.give(first, 10);
        pool.give(second, 20);
        let taken: Vec<_> =
            std::iter::from_fn(|| pool.take(key, 30)).map(|taken| (taken.opened, taken.reused)).collect();
        assert_eq!(taken, [(2, true), (1, true)]);
        let other = Key { upstream: 2, ..key };
        assert!(pool.take(other, 30).is_none());
    }

    #[tokio::test]
    async fn idle_time_and_lifetime_end_connections() {
        let mut pool = Pool::new(&settings(8));
        let (idle, _idle_peer) = connected(0).await;
        let key = idle.key;
        pool.give(idle, 100);
        assert!(pool.take(key, 10_100).is_none(), "idle for too long");
        let (old, _old_peer) = connected(0).await;
        pool.give(old, 59_999);
        assert!(pool.take(key, 60_000).is_none(), "too old");
        let (older, _older_peer) = connected(0).await;
        pool.give(older, 60_000);
        assert_eq!(pool.count, 0, "too old to be kept");
        let (swept, _swept_peer) = connected(0).await;
        pool.give(swept, 0);
        pool.sweep(9_999);
        assert_eq!(pool.count, 1);
        pool.sweep(10_000);
        assert_eq!((pool.count, pool.kept.len()), (0, 0));
    }

    #[tokio::test]
    async fn what_the_upstream_closed_is_not_used_again() {
        let mut pool = Pool::new(&settings(8));
        let (connection, peer) = connected(0).await;
        let key = connection.key;
        let UpstreamIo::Plain(stream) = &connection.io else { panic!("plain") };
        drop(peer);
        stream.readable().await.unwrap();
        pool.give(connection, 0);
        assert!(pool.take(key, 0).is_none());
    }

    #[tokio::test]
    async fn the_oldest_makes_room() {
        let mut pool = Pool::new(&settings(2));
        let mut peers = Vec::new();
        for opened in 1..=3 {
            let (connection, peer) = connected(opened).await;
            peers.push(peer);
            pool.give(connection, opened);
        }
        let key = Key { upstream: 1, address: "127.0.0.1:1".parse().unwrap() };
        let taken: Vec<_> = std::iter::from_fn(|| pool.take(key, 4)).map(|taken| taken.opened).collect();
        assert_eq!(taken, [3, 2]);
    }
}
