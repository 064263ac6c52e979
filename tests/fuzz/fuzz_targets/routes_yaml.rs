#![no_main]
//! Any bytes as a routes file: no panic, and every place that is reported lies inside the file.

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sluice::config::fuzz_routes(bytes));
