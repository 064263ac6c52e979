//! The program itself, as people and scripts start it: what it prints, and how it ends.

pub mod process;

mod anomaly;
mod cache;
mod explain;
mod key;
mod read;
mod revoke;
mod run;
mod signals;
mod test;
mod token;
