//! The gateway from outside: real sockets, real TLS, upstreams that misbehave. One module for each behaviour.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::unreachable,
    reason = "clippy takes only functions marked #[test] for tests, not what they call"
)]

mod support;

mod access_log;
mod admin;
mod anomaly;
mod answers;
mod architecture;
mod back_pressure;
mod bodies;
mod cache;
mod cli;
mod client_certificates;
mod config;
mod deadlines;
mod differential;
mod doubles;
mod drain;
mod engines;
mod exchanges;
mod fetching;
mod fields;
mod forwarding;
mod h2;
mod h2_streams;
mod h2_upstreams;
mod heads;
mod hostile;
mod identity;
mod issuers;
mod limits;
mod paths;
mod proxy_protocol;
mod reload;
mod retries;
mod revocations;
mod routing;
mod streaming;
mod timeouts;
mod tls;
mod upstream_tls;
mod websocket;
