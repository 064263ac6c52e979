//! The program itself, as people and scripts start it: what it prints, and how it ends.

mod process;

mod explain;
mod read;
mod run;
mod signals;
