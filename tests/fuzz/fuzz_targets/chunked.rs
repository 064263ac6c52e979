#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sluice::listener::framing::check_invariants(bytes));
