#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sluice::auth::issuer::invariants::answer(bytes));
