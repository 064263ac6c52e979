//! Carrying a request to its upstream and the answer back.

pub mod head;
pub mod pingora;
pub mod response;
pub mod tunnel;

/// Connections tried for one request before giving up.
const ATTEMPTS: u8 = 3;
