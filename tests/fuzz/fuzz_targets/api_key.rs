#![no_main]

use sluice::auth::api_key;

libfuzzer_sys::fuzz_target!(|data: &[u8]| api_key::check(data));
