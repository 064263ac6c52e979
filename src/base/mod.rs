//! Words that every room uses; imports nothing of ours.

pub mod authority;
pub mod byte_size;
pub mod clock;
pub mod crypto;
pub mod deadline;
pub mod duration;
pub mod field;
pub mod host_pattern;
pub mod location;
pub mod query;
pub mod random;
pub mod reason;
pub mod rejection;
pub mod secret;
pub mod tasks;
pub mod timestamp;
pub mod trust;
