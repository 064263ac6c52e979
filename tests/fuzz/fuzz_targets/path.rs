#![no_main]

use sluice::route::properties;

libfuzzer_sys::fuzz_target!(|data: &[u8]| properties::path(data));
