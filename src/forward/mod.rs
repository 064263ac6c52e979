//! Carrying a request to its upstream and the answer back.

pub mod head;
pub mod pingora;
pub mod response;
pub mod tunnel;
