//! A partner API to try the gateway against: an ordinary HTTP/1.1 upstream made from an OpenAPI 3 document.
//!
//! The document decides paths, methods, parameters, bodies and statuses. Answers are example data: the same request
//! has the same answer, on every machine and after every restart. Request fields and query parameters make an answer
//! late, failing, trickling, broken off or large (`controls`).

mod controls;
mod document;
mod example;
mod list;
mod percent;
mod problem;
mod respond;
mod seed;
mod server;
mod validate;

pub use document::{Document, Error, Fault};
pub use server::serve;

#[cfg(test)]
mod tests;
