#![no_main]

use libfuzzer_sys::fuzz_target;
use sluice::transform::forwarded::{Chain, Field, MAX_ENTRIES, Peer, TrustedProxies, assess};

#[path = "../../../src/transform/forwarded/invariants.rs"]
mod invariants;

fuzz_target!(|data: &[u8]| invariants::check(data));
