//! Counters in the memory of this process.

mod calendar;
mod cells;
pub(super) mod concurrency;
pub(super) mod quota;
pub(super) mod rate;
