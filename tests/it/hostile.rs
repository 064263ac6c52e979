//! What an attacker, or a broken peer on either side, may try; each test pins what must come of it.

mod direct;
mod framing;
mod h2;
mod identity;
mod stuck;
mod upstreams;
