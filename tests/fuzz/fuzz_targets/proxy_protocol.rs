#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sluice::listener::proxy_protocol::check_invariants(bytes));
