//! The gateway from outside: real sockets, real TLS, upstreams that misbehave. One module for each behaviour.

mod support;

mod doubles;
