//! How much callers may, over real sockets: what docs/limits.md promises.

mod concurrency;
mod cost;
mod ends;
mod fairness;
mod fields;
mod keys;
mod many;
mod observe;
mod quotas;
mod rates;
mod refusals;
mod reload;
pub mod scene;
mod together;
