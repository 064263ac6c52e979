//! What the cache is worth, what it costs, and what it weighs: `cache replay`, `cache speed`, `cache fill`.
//!
//! `replay` sends streams of requests with popular and rare objects through the store, and through other ways to decide what stays;
//! time is simulated. `speed` prints the time of a look-up and what a purge of 10,000 answers does to others. `fill` compares the memory
//! of 100,000 small answers with what they weigh. Without arguments, each runs on a small scale, as a smoke test.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for the terminal")]

mod measure;
mod policies;
mod replay;
mod stream;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version};
use sluice::cache::freshness::Freshness;
use sluice::cache::key::Key;
use sluice::cache::storable::Rules;
use sluice::cache::stored::{Body, Groups, Head, Stored, StoredFields};

/// That of the gateway.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => {
            replay::run(1_000, 5_000);
            measure::speed(1_000);
            measure::fill(1_000);
        }
        ["replay"] => replay::run(100_000, 500_000),
        ["speed"] => measure::speed(100_000),
        ["fill"] => measure::fill(100_000),
        _ => {
            eprintln!("usage: cache [replay | speed | fill]");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// The key of an object, as long as keys are.
fn key(object: u32) -> Key {
    Key::from(format!("https|api.example.com|/v1/objects/{object:08}|partner").as_bytes())
}

/// An answer of JSON with the usual fields, in a route and with a tag.
fn answer(object: u32, size: u32, lifetime: Duration, received: Instant, tag: &str) -> Arc<Stored> {
    let fields = [("content-type", "application/json"), ("etag", "\"5f3c-8b1a\""), ("cache-control", "max-age=300")];
    let fields: HeaderMap = fields
        .into_iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
        .collect();
    let head = Head {
        key: key(object),
        status: StatusCode::OK,
        version: Version::HTTP_11,
        fields: StoredFields::new(&fields),
        freshness: Freshness { lifetime, initial_age: Duration::ZERO, received },
        rules: Rules::default(),
        groups: Groups { route: "orders".into(), partner: None, tags: Box::new([tag.into()]) },
    };
    let body = Body::new(vec![Bytes::from(vec![b'x'; size as usize])]);
    Arc::new(Stored::new(Arc::new(head), body))
}
