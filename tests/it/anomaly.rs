//! Anomaly checks over real sockets: what docs/anomaly.md promises.

mod blocking;
mod caching;
mod callers;
mod keeping;
mod learning;
mod looking;
mod operating;
pub mod scene;
