#![no_main]

use sluice::anomaly::model::invariants;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| invariants::check(bytes));
