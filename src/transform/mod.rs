//! What is changed on the way through: header fields, the path, and the facts that travel with a request.

pub mod forwarded;
pub mod headers;
pub mod lines;
pub mod request_id;
pub mod rewrite;
pub mod trace;
