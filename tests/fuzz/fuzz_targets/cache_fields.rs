#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sluice::cache::served::invariants::check(bytes));
