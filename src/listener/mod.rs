//! Where connections come in.

pub mod development;
