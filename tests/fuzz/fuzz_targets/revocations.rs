#![no_main]
//! Any bytes as a file of revocations.

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sluice::auth::revocation::check_invariants(bytes));
