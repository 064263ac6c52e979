#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sluice::listener::head::check_invariants(bytes));
