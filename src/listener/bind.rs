//! Listening sockets: one per worker thread on the same address, and never beside somebody else's.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

/// Connections that the kernel keeps for us between handshake and accept; `net.core.somaxconn` may lower it.
const BACKLOG: i32 = 4096;

/// Why a listener cannot be opened; every message names the setting, the address and the way out.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    #[error(
        "{setting}: somebody already listens on {address}, perhaps another Sluice or another listener \
         of this file; stop it (`ss -ltnp 'sport = :{}'` shows who it is) or choose another address", address.port()
    )]
    InUse { setting: Box<str>, address: SocketAddr },
    #[error(
        "{setting}: not permitted to listen on {address}; ports below 1024 need the capability \
         CAP_NET_BIND_SERVICE (or a lower `net.ipv4.ip_unprivileged_port_start`); grant it or choose a higher port"
    )]
    NotPermitted { setting: Box<str>, address: SocketAddr },
    #[error(
        "{setting}: {} is not an address of this machine; use one that `ip address` shows, \
         or `0.0.0.0` or `[::]` for all of them", address.ip()
    )]
    NotOurs { setting: Box<str>, address: SocketAddr },
    #[error("{setting}: cannot listen on {address}: {source}")]
    Socket { setting: Box<str>, address: SocketAddr, source: io::Error },
}

/// Opens for `setting` (such as `listeners[https].address`) `sockets` (at least one) non-blocking listening sockets that share `address` by SO_REUSEPORT.
///
/// Port 0 lets the kernel choose; all sockets then share the chosen port. `[::]` does not serve IPv4.
/// Another listener that is already there is an error even when it shares its port by SO_REUSEPORT itself: the kernel would
/// otherwise hand it part of our connections without a word. Connections of a former process that are closing (TIME_WAIT)
/// or still draining are no obstacle. A process that begins to share the port later cannot be seen from here.
pub fn bind(setting: &str, address: SocketAddr, sockets: usize) -> Result<Vec<TcpListener>, BindError> {
    let explain = |source: io::Error, address: SocketAddr| {
        let setting = setting.into();
        match source.kind() {
            io::ErrorKind::AddrInUse => BindError::InUse { setting, address },
            io::ErrorKind::PermissionDenied => BindError::NotPermitted { setting, address },
            io::ErrorKind::AddrNotAvailable => BindError::NotOurs { setting, address },
            _ => BindError::Socket { setting, address, source },
        }
    };

    // The kernel never chooses a port that is in use, so there is nothing to probe for port 0.
    if address.port() != 0 {
        open(address, Sharing::Alone).map_err(|source| explain(source, address))?;
    }

    let first = open(address, Sharing::Workers).map_err(|source| explain(source, address))?;
    let shared = first.local_addr().map_err(|source| explain(source, address))?;
    let mut listeners = vec![first];
    for _ in 1..sockets {
        listeners.push(open(shared, Sharing::Workers).map_err(|source| explain(source, shared))?);
    }
    Ok(listeners)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sharing {
    /// Fails as long as anybody else listens.
    Alone,
    Workers,
}

fn open(address: SocketAddr, sharing: Sharing) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // On Linux this lets us pass by connections in TIME_WAIT, never by a socket that listens.
    socket.set_reuse_address(true)?;
    if sharing == Sharing::Workers {
        socket.set_reuse_port(true)?;
    }
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    // What is accepted inherits it on Linux, which saves a system call for each connection.
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    // Two sockets with SO_REUSEADDR may be bound at once; only listening tells whether the address is free.
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::{Ipv6Addr, TcpStream};

    use super::*;

    fn loopback(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    fn refused(name: &str, address: SocketAddr) -> String {
        bind(name, address, 2).expect_err("the address is taken").to_string()
    }

    #[test]
    fn port_zero_gives_every_worker_the_same_port() {
        let listeners = bind("http", loopback(0), 3).unwrap();
        assert_eq!(listeners.len(), 3);
        let address = listeners[0].local_addr().unwrap();
        assert_ne!(address.port(), 0);
        for listener in &listeners {
            assert_eq!(listener.local_addr().unwrap(), address);
            assert_eq!(listener.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        }
    }

    #[test]
    fn accepted_connections_send_without_delay() {
        let listeners = bind("http", loopback(0), 1).unwrap();
        listeners[0].set_nonblocking(false).unwrap();
        let _client = TcpStream::connect(listeners[0].local_addr().unwrap()).unwrap();
        assert!(listeners[0].accept().unwrap().0.nodelay().unwrap());
    }

    #[test]
    fn no_workers_still_means_one_socket() {
        assert_eq!(bind("http", loopback(0), 0).unwrap().len(), 1);
    }

    #[test]
    fn a_second_listener_of_ours_is_refused_although_both_share_ports() {
        let listeners = bind("first", loopback(0), 2).unwrap();
        let address = listeners[0].local_addr().unwrap();
        let text = refused("listeners[second].address", address);
        assert!(text.contains("listeners[second].address") && text.contains(&address.to_string()), "{text}");
        assert!(text.contains("ss -ltnp"), "{text}");

        drop(listeners);
        assert_eq!(bind("listeners[second].address", address, 2).unwrap().len(), 2);
    }

    #[test]
    fn a_foreign_listener_with_reuseport_is_refused() {
        let foreign = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        foreign.set_reuse_port(true).unwrap();
        foreign.bind(&loopback(0).into()).unwrap();
        foreign.listen(1).unwrap();
        let address = foreign.local_addr().unwrap().as_socket().unwrap();
        assert!(matches!(bind("http", address, 2), Err(BindError::InUse { .. })));
    }

    #[test]
    fn the_wildcard_address_meets_a_listener_on_one_of_its_addresses() {
        let plain = TcpListener::bind(loopback(0)).unwrap();
        let port = plain.local_addr().unwrap().port();
        assert!(matches!(bind("http", SocketAddr::from(([0, 0, 0, 0], port)), 2), Err(BindError::InUse { .. })));
    }

    #[test]
    fn connections_that_are_closing_or_alive_are_no_obstacle() {
        let listeners = bind("http", loopback(0), 1).unwrap();
        let address = listeners[0].local_addr().unwrap();
        listeners[0].set_nonblocking(false).unwrap();

        let mut closing = TcpStream::connect(address).unwrap();
        let (server, _) = listeners[0].accept().unwrap();
        // Our side closes first, so the TIME_WAIT is ours.
        drop(server);
        assert_eq!(closing.read(&mut [0; 1]).unwrap(), 0);
        drop(closing);

        let _client = TcpStream::connect(address).unwrap();
        let (_alive, _) = listeners[0].accept().unwrap();
        drop(listeners);
        assert_eq!(bind("http", address, 2).unwrap().len(), 2);
    }

    #[test]
    fn ipv6_leaves_the_same_port_of_ipv4_free() {
        let Ok(v6) = bind("v6", SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)), 2) else {
            return; // A machine without IPv6 has nothing to test.
        };
        let port = v6[0].local_addr().unwrap().port();
        assert_eq!(bind("v4", SocketAddr::from(([0, 0, 0, 0], port)), 2).unwrap().len(), 2);
    }

    #[test]
    fn an_address_of_another_machine_has_its_own_sentence() {
        let text = refused("http", SocketAddr::from(([192, 0, 2, 1], 8080)));
        assert!(text.contains("not an address of this machine") && text.contains("192.0.2.1"), "{text}");
    }

    #[test]
    fn a_privileged_port_has_its_own_sentence() {
        let error = BindError::NotPermitted { setting: "listeners[http].address".into(), address: loopback(80) };
        assert!(error.to_string().contains("CAP_NET_BIND_SERVICE"));
        // Whoever runs this may be permitted to listen there.
        if let Err(error) = bind("http", loopback(1), 1) {
            assert!(matches!(error, BindError::NotPermitted { .. } | BindError::InUse { .. }), "{error}");
        }
    }
}
