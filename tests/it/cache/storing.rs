//! What is kept and for how long: RFC 9111 §3 to §5, RFC 9213, RFC 5861, RFC 9211, and what a route adds to them.

mod fields;
mod statuses;
