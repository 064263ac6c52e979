//! What is kept and for how long: RFC 9111 §3 to §5, RFC 9213, RFC 5861, RFC 9211, and what a route adds to them.

mod ages;
mod asked;
mod callers;
mod directives;
mod fields;
mod incomplete;
mod policy;
mod requests;
mod stale;
mod statuses;
mod targeted;
mod told;
mod versions;
