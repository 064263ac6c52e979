//! From the two files to what runs: written (`model`), checked (`checked`), compiled (`compile`).

pub mod checked;
