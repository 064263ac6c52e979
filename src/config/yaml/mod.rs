//! YAML with the place of everything kept, read so that one mistake does not hide the next.
//!
//! serde stops at its first error and calls nobody back about the second; therefore the events of serde-saphyr's own
//! parser are kept as a tree, and the [`Reader`] takes typed values out of it and notes what is wrong.

mod hidden;
mod reader;
mod scalar;
mod suggest;
mod tree;

pub(crate) use reader::{At, Entry, Guarded, Keys, Read, Reader};
pub(crate) use scalar::Kind;
pub(crate) use suggest::{did_you_mean, list_of};
pub(crate) use tree::{NodeId, parse};
