//! Answers from memory: what is kept, who gets it, and when the upstream is asked.

mod operating;
mod reusing;
mod sharing;
mod storing;
pub mod support;
