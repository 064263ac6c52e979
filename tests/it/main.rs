//! Behaviour of the whole program, one module each.

mod config;
