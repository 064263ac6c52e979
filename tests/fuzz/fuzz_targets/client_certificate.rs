#![no_main]

use sluice::listener::tls::client;

libfuzzer_sys::fuzz_target!(|data: &[u8]| client::check(data));
