//! From the two files to what runs: written (`model`), checked (`checked`), compiled (`compile`).

pub mod checked;

use std::path::Path;

/// Provisional.
#[derive(Debug)]
pub struct Report;

/// Provisional.
pub fn load_bootstrap(_: &Path) -> Result<checked::Bootstrap, Report> {
    Err(Report)
}
